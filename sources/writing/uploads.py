"""An upload in, what is to be there out, or Unmade with what is wrong about it; and how long it may take."""

from collections.abc import Callable
from typing import TypeVar

from engine.change.addresses import Upload
from engine.change.words import Change, Unmade, Verb
from engine.errors import Code
from sources.writing.change import judged, surely
from sources.writing.words import Filed, Keeper, Standing

UPLOAD_BYTES = 2**30
"""Of one file that is uploaded past us."""
UPLOAD_SECONDS = 300
"""How long an address takes a file, at the most."""
Wished = TypeVar("Wished")


def seconds(wanted: int) -> int:
    return max(1, min(wanted, UPLOAD_SECONDS))


def awaited(upload: Upload, wished: Callable[[Change], Wished]) -> Wished:
    """As if it came with a change. Raises Unmade."""
    if not 0 <= upload.size <= UPLOAD_BYTES:
        raise Unmade(f"`size` must be from 0 to {UPLOAD_BYTES} bytes", Code.LIMIT_EXCEEDED)
    verb = Verb.PUT if upload.replace else Verb.CREATE
    given = {"text": "", "content_type": upload.content_type}
    return wished(
        Change(id=upload.change, collection=upload.collection, verb=verb, key=upload.key, values=given)
    )  # fmt: skip


async def before(keeper: Keeper, filed: Filed) -> Standing | None:
    """What stands where it is to come. Raises Unmade."""
    standing = await surely(keeper.standing(filed.id))
    judged(filed, standing)
    return standing
