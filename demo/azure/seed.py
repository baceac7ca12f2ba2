"""Keys and a scale to the two accounts, and all that Acme keeps in them."""

from demo.azure.words import Account, Kept, Root
from demo.world import stored
from demo.world.sizes import NOW
from demo.world.stored import Stored

FILES_ACCOUNT, BLOB_ACCOUNT = "acmefiles", "acmeblobs"
SHARE, CONTAINER = "acme-documents", "acme-exports"


def accounts(files_key: bytes, blob_key: bytes, scale: float, page: int) -> tuple[Account, Account]:
    files = Account(service="file", name=FILES_ACCOUNT, key=files_key, page=page)
    files.roots[SHARE] = Root(top=top(SHARE), kept=in_directories(list(stored.documents(scale))))
    blobs = Account(service="blob", name=BLOB_ACCOUNT, key=blob_key, page=page)
    blobs.roots[CONTAINER] = Root(top=top(CONTAINER), kept={each.path: kept(each) for each in stored.exports(scale)})
    return files, blobs


def top(name: str) -> Kept:
    return Kept(name=name, modified=NOW, etag="0x8DE0000000000000")


def kept(given: Stored) -> Kept:
    return Kept(
        name=given.path, body=bytearray(given.body), content_type=given.content_type, modified=given.modified,
        etag=given.version,
    )  # fmt: skip


def in_directories(files: list[Stored]) -> dict[str, Kept]:
    """The files, and every directory on the way to them."""
    found = {each.path.lower(): kept(each) for each in files}
    for each in files:
        steps = each.path.split("/")
        for count in range(1, len(steps)):
            path = "/".join(steps[:count])
            found.setdefault(path.lower(), Kept(name=path, modified=NOW, etag="0x8DE0000000000001"))
    return found
