"""Changes of one transaction in, what was made out; where the source did not say, it is asked once."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from engine.change import guarded
from engine.change.words import Change, Made, Unmade
from engine.change.workshop import Workshop
from engine.errors import Code, SourceFailed


class Unknown(Exception):
    """It may have been made, or not, or may yet be. `reason` is safe to show a client."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


async def make(shop: Workshop, source: str, changes: Sequence[Change]) -> Sequence[Made]:
    """Raises Unmade where nothing of it was made, and Unknown."""
    try:
        made = await guarded.write(shop.guards[source], changes)
    except Unmade:
        raise
    except Exception as failure:  # whatever it was, the change may stand
        return await _after(shop, source, changes, _reason(source, failure))
    return made if len(made) == len(changes) else await _after(shop, source, changes, f"`{source}` answered wrongly")


async def _after(shop: Workshop, source: str, changes: Sequence[Change], reason: str) -> Sequence[Made]:
    made = await asked(shop, source, changes)
    if made is not None:
        return made
    if not _fenced(shop, source, changes):
        raise Unknown(reason)
    raise Unmade(reason, Code.SOURCE_UNAVAILABLE)


async def settled(shop: Workshop, source: str, changes: Sequence[Change], begun: datetime) -> Sequence[Made] | None:
    """What came of changes told at `begun`; None: they were not made, and will not be. Raises Unknown."""
    made = await asked(shop, source, changes)
    waited = shop.ledger.now() - begun >= timedelta(seconds=shop.unfenced_seconds)
    if made is None and not waited and not _fenced(shop, source, changes):
        raise Unknown(f"`{source}` has not made it so far")
    return made


async def asked(shop: Workshop, source: str, changes: Sequence[Change]) -> Sequence[Made] | None:
    """What the source says it made of them; raises Unknown."""
    try:
        found = [await guarded.made(shop.guards[source], each) for each in changes]
    except Exception as failure:  # a source that fails has not said
        raise Unknown(_reason(source, failure)) from None
    made = [each for each in found if each is not None]
    if made and len(made) < len(changes):
        raise Unknown(f"`{source}` made a part of one transaction")
    return made or None


def _fenced(shop: Workshop, source: str, changes: Sequence[Change]) -> bool:
    promises = [guarded.writes(shop.guards[source], each.collection) for each in changes]
    return all(each is not None and each.fenced for each in promises)


def _reason(source: str, failure: Exception) -> str:
    return failure.reason if isinstance(failure, SourceFailed) else f"`{source}` failed"
