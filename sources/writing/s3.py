"""A client of S3 and a bucket in, its objects put, copied and deleted out; S3 itself compares what stood before.

`call` runs what is asked on a thread and says in our words what failed (`sources/s3.py`).
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from engine.change.addresses import Address, Step
from engine.change.words import Unmade, Values
from engine.errors import Code
from sources.content.media import media_type
from sources.writing.change import missing_origin
from sources.writing.marks import NAME, left, read, written
from sources.writing.uploads import seconds
from sources.writing.words import Filed, Outrun, Standing, by_path

MARKS = NAME.replace("_", "-")
"""S3 takes either; not every server on the way does."""
OCTETS = "application/octet-stream"
NOT_THERE = frozenset({404})
RACED = frozenset({404, 409, 412})
"""Another was faster, now or a moment ago."""
UNSURE = frozenset({408, 429})
Listed = Mapping[str, Any]


class Bucket:
    """As sources.writing.words.Keeper. `row`: what a listing says of an object in, all columns out."""

    def __init__(
        self, client: Any, bucket: str, call: Callable[[Callable[[], Any]], Awaitable[Any]],
        row: Callable[[Listed], Values],
    ) -> None:  # fmt: skip
        self.client = client
        self.bucket = bucket
        self.call = call
        self.row = row

    async def standing(self, id: str) -> Standing | None:
        found: Standing | None = await self.call(partial(self.found, id))
        return found

    async def placed(self, filed: Filed, before: Standing | None) -> Values:
        values: Values = await self.call(partial(self.put, filed, before))
        return values

    async def removed(self, filed: Filed, before: Standing) -> None:
        await self.call(partial(self.deleted, filed, before))

    async def address(self, filed: Filed, before: Standing | None, size: int, wanted: int) -> Address:
        address: Address = await self.call(partial(self.signed, filed, before, size, wanted))
        return address

    def known(self, filed: Filed) -> Values:
        return by_path(filed)

    def found(self, id: str) -> Standing | None:
        try:
            told = self.client.head_object(Bucket=self.bucket, Key=id)
        except ClientError as error:
            if status(error) in NOT_THERE:
                return None
            raise
        listed = {"Key": id, "Size": told["ContentLength"], **{name: told[name] for name in ("ETag", "LastModified")}}
        marks = read(told.get("Metadata", {}).get(MARKS))
        return Standing(values=self.row(listed), marks=marks, more={"type": told.get("ContentType", OCTETS)})

    def put(self, filed: Filed, before: Standing | None) -> Values:
        given = {**self.where(filed), **matching(before), "Metadata": {MARKS: written(left(filed, before))}}
        if filed.copy_of is None:
            sized, etag = len(filed.octets or b""), self.sent(filed, given)
        else:
            sized, etag = self.copied(filed, given)
        return self.after(filed.id, {**by_path(filed), "size": sized, "version": etag})

    def sent(self, filed: Filed, given: Listed) -> str:
        put = partial(self.client.put_object, Body=filed.octets, ContentType=media(filed), **given)
        return bare(surely(put)["ETag"])

    def copied(self, filed: Filed, given: Listed) -> tuple[int, str]:
        """S3 copies it as it stands now, or not at all. Its size comes with the ETag."""
        assert filed.copy_of is not None  # INVARIANT: asked for nowhere else
        origin = self.found(filed.copy_of)
        if origin is None:
            raise missing_origin()
        source = {"CopySource": {"Bucket": self.bucket, "Key": filed.copy_of}, "CopySourceIfMatch": origin.version}
        kind = filed.content_type or origin.more["type"]
        copy = partial(self.client.copy_object, MetadataDirective="REPLACE", ContentType=kind, **source, **given)
        return origin.values["size"], bare(surely(copy)["CopyObjectResult"]["ETag"])

    def after(self, id: str, known: Values) -> Values:
        """It is there: what cannot be looked at now, or is another's by now, is told as far as it is known."""
        try:
            stands = self.found(id)
        except (ClientError, BotoCoreError):
            return known
        return stands.values if stands is not None and stands.version == known["version"] else known

    def deleted(self, filed: Filed, before: Standing) -> None:
        surely(partial(self.client.delete_object, **self.where(filed), **matching(before)))

    def signed(self, filed: Filed, before: Standing | None, size: int, wanted: int) -> Address:
        """Signed here, without a call: the key, the type, the length, what stood before, and the mark."""
        marks, span = written(left(filed, before)), seconds(wanted)
        given = {**self.where(filed), **matching(before), "ContentType": media(filed), "Metadata": {MARKS: marks}}
        ends = datetime.now(UTC) + timedelta(seconds=span)
        url = self.client.generate_presigned_url("put_object", Params={**given, "ContentLength": size}, ExpiresIn=span)
        condition = {"if-none-match": "*"} if before is None else {"if-match": before.version}
        headers = {"content-type": media(filed), f"x-amz-meta-{MARKS}": marks, **condition}
        step = Step(method="PUT", url=url, headers=headers, first=0, length=size)
        return Address(id=filed.id, steps=(step,), expires=ends, bounded=True)

    def where(self, filed: Filed) -> dict[str, Any]:
        return {"Bucket": self.bucket, "Key": filed.id}


def matching(before: Standing | None) -> Mapping[str, str]:
    return {"IfNoneMatch": "*"} if before is None else {"IfMatch": before.version}


def media(filed: Filed) -> str:
    return filed.content_type or media_type(filed.id.rpartition("/")[2]) or OCTETS


def bare(etag: str) -> str:
    return etag.strip('"')


def status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def surely(call: Callable[[], Any]) -> Any:
    """Raises Outrun where another was faster, Unmade where S3 said no; else it is not known what came of it."""
    try:
        return call()
    except ClientError as error:
        answered = status(error)
        if answered in RACED and error.response["Error"].get("Code") != "NoSuchBucket":
            raise Outrun from error
        if 400 <= answered < 500 and answered not in UNSURE:
            raise Unmade(refusal(error), Code.SOURCE_UNAVAILABLE) from error
        raise


def refusal(error: ClientError) -> str:
    denied = status(error) in (401, 403)
    return "s3 does not let this be written" if denied else "s3 refused the change"
