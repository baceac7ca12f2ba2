"""What a call makes itself depend on: an ETag, a lease, or that there is nothing yet; a Refusal where it is not so."""

from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit
from uuid import UUID

from demo.azure.words import Account, Call, Kept, Refusal, Reply

META = "x-ms-meta-"


def metadata(call: Call) -> dict[str, str]:
    return {name: value for name, value in call.headers.items() if name.startswith(META)}


def matched(call: Call, found: Kept | None) -> None:
    """Of a blob: who may only create one writes over none."""
    if found is not None and "sig" in call.query and "w" not in call.query.get("sp", "") and call.method == "PUT":
        raise Refusal(403, "UnauthorizedBlobOverwrite", "This request is not authorized to perform blob overwrites.")
    if call.headers.get("if-none-match") == "*" and found is not None:
        raise Refusal(409, "BlobAlreadyExists", "The specified blob already exists.")
    wanted = call.headers.get("if-match")
    if wanted is not None and (found is None or wanted.strip('"') != found.etag):
        raise Refusal(412, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met.")


def origin(call: Call, account: Account) -> Kept:
    """What a copy is made of, in this same account. Raises Refusal."""
    parts = [unquote(each) for each in urlsplit(call.headers["x-ms-copy-source"]).path.split("/")[1:]]
    root = account.roots.get(parts[1]) if parts[0] == account.name and len(parts) > 2 else None
    name = "/".join(parts[2:])
    found = None if root is None else root.kept.get(name.lower() if account.service == "file" else name)
    if found is None or found.body is None:
        raise Refusal(404, "CannotVerifyCopySource", "The specified resource does not exist.")
    wanted = call.headers.get("x-ms-source-if-match")
    if wanted is not None and wanted.strip('"') != found.etag:
        raise Refusal(412, "SourceConditionNotMet", "The source condition is not met.")
    return found


def copied(call: Call, account: Account, name: str) -> Kept:
    """With the metadata of the call where it says any, else with that of what it is a copy of."""
    source = origin(call, account)
    said = metadata(call) or dict(source.metadata)
    return Kept(name=name, body=bytearray(source.body or b""), content_type=source.content_type, metadata=said)


def held(call: Call, found: Kept, header: str = "x-ms-lease-id") -> None:
    """Who writes to a file that is leased must say by which lease. Raises Refusal."""
    said = call.headers.get(header)
    if found.lease is None and said is not None:
        raise Refusal(412, "LeaseNotPresentWithFileOperation", "There is currently no lease on the file.")
    if found.lease is not None and said is None:
        raise Refusal(412, "LeaseIdMissing", "There is currently a lease on the file and no lease ID was specified.")
    if found.lease != said:
        raise Refusal(412, "LeaseIdMismatchWithFileOperation", "The lease ID did not match the lease on the file.")


def lease(call: Call, found: Kept) -> Reply:
    """Acquired without an end, released, or broken; the file is the same afterwards."""
    action, said = call.headers.get("x-ms-lease-action"), call.headers.get("x-ms-lease-id")
    if action == "acquire":
        wanted = str(UUID(call.headers.get("x-ms-proposed-lease-id", "")))
        if call.headers.get("x-ms-lease-duration") != "-1" or found.lease not in (None, wanted):
            raise Refusal(409, "LeaseAlreadyPresent", "There is already a lease present.")
        found.lease = wanted
        return Reply(status=201, headers={"x-ms-lease-id": wanted, **standing(found)})
    if action == "release" and found.lease != said:
        raise Refusal(409, "LeaseIdMismatchWithLeaseOperation", "The lease ID specified did not match the lease ID.")
    if action not in ("release", "break"):
        raise Refusal(400, "InvalidHeaderValue", "The value for one of the HTTP headers is not in the correct format.")
    found.lease = None
    return Reply(status=200 if action == "release" else 202, headers=standing(found))


def standing(found: Kept) -> dict[str, str]:
    now = datetime.now(UTC)
    return {"etag": f'"{found.etag}"', "date": f"{now:%a, %d %b %Y %H:%M:%S} GMT"}
