"""Changes in, what was made of them out: one transaction for all, in which each leaves its marker; or none at all."""

import asyncio
from collections.abc import Mapping, Sequence

from sqlalchemy.engine.interfaces import Dialect as Compiler

from engine.change.words import Change, Made, Unmade, Writes
from engine.errors import Code, SourceFailed
from sources import outcome
from sources.shielded import Shielded
from sources.sql.compiled import Statements
from sources.sql.writing.changing import Changes
from sources.sql.writing.refusals import UNKNOWN, failed, refused
from sources.sql.writing.statements import Changing
from sources.sql.writing.words import Objected, Reference, Session, Sort, Target, Ways

SECONDS = 10.0
"""Until a transaction that was not committed is undone."""
LOCK_SECONDS = 2.0
"""How long a statement waits for what another transaction holds."""
ATTEMPTS = 2


class Writer:
    """The changes of one database."""

    def __init__(self, targets: Mapping[str, Target], ways: Ways, statements: Statements, compiler: Compiler) -> None:
        self.targets = targets
        self.ways = ways
        self.changing = Changing(ways, compiler)
        self.changes = Changes(ways, statements, self.changing)
        self.shielded = Shielded()

    def writes(self, collection: str) -> Writes | None:
        target = self.targets.get(collection)
        return target.writes if target else None

    async def write(self, changes: Sequence[Change], *, dry: bool = False) -> Sequence[Made]:
        """As `Writable.write`. Who leaves meanwhile is let go when the transaction has ended, one way or the other."""
        for each in changes:
            if each.collection not in self.targets:
                raise Unmade(f"`{each.collection}` is not to be changed", Code.CANNOT_ANSWER)
        return await self.shielded.run(self._patiently(changes, dry=dry))

    async def made(self, change: Change) -> Made | None:
        """As `Writable.made`: where there is no marker, one that stands in its way is left."""
        try:
            return await self.shielded.run(self._looked_up(change))
        except Objected as reason:
            raise failed(reason.objection) from None
        except TimeoutError:
            raise SourceFailed("the database does not answer") from None

    async def close(self) -> None:
        await self.shielded.close()
        await self.ways.close()

    async def _patiently(self, changes: Sequence[Change], *, dry: bool) -> Sequence[Made]:
        """What another's transaction stood in the way of is tried once more."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._once(changes, dry=dry)
            except Objected as reason:
                if reason.objection.sort is not Sort.BUSY or attempt == ATTEMPTS:
                    raise refused(reason.objection, None) from None
        raise AssertionError

    async def _once(self, changes: Sequence[Change], *, dry: bool) -> Sequence[Made]:
        """Raises Objected where a transaction did not even begin, or is to be tried again."""
        try:
            async with asyncio.timeout(SECONDS) as clock, self.ways.session() as session:
                made = [await self._marked(session, each, dry=dry) for each in changes]
                await self._checked(session, changes, made)
                if not dry:
                    clock.reschedule(None)
                    await _committed(session)
                return made
        except TimeoutError:
            raise Unmade("the database did not make the change in time, ask again", Code.SOURCE_OVERLOADED) from None

    async def _marked(self, session: Session, change: Change, *, dry: bool) -> Made:
        claimed = await session.run(self.changing.claim.text, self.changing.claim.order((change.id,)))
        if not claimed.changed:
            return _known(await self._found(session, change))
        try:
            made = await self.changes.make(session, change, self.targets[change.collection])
        except Objected as reason:
            raise self._about(reason, change) from None
        if not dry:
            values = (change.id, outcome.kept(made))
            await session.run(self.changing.keep.text, self.changing.keep.order(values))
        return made

    async def _checked(self, session: Session, changes: Sequence[Change], made: Sequence[Made]) -> None:
        try:
            await self.ways.checked(session, changes, made)
        except Objected as reason:
            raise self._about(reason, _concerned(reason.objection.reference, changes)) from None

    def _about(self, reason: Objected, change: Change) -> Exception:
        return reason if reason.objection.sort is Sort.BUSY else refused(reason.objection, change)

    async def _looked_up(self, change: Change) -> Made | None:
        async with asyncio.timeout(SECONDS), self.ways.session() as session:
            claimed = await session.run(self.changing.claim.text, self.changing.claim.order((change.id,)))
            if claimed.changed:
                await session.commit()
                return None
            return await self._found(session, change)

    async def _found(self, session: Session, change: Change) -> Made | None:
        """None: what stands there says that it is not to be made any more."""
        told = await session.run(self.changing.found.text, self.changing.found.order((change.id,)))
        return outcome.found(told.rows[0][0]) if told.rows and told.rows[0][0] is not None else None


def _known(made: Made | None) -> Made:
    if made is None:
        raise Unmade("the change was given up before it was made: tell it anew", Code.CANNOT_ANSWER)
    return made


def _concerned(reference: Reference | None, changes: Sequence[Change]) -> Change:
    """The last change of a table that the reference leads from or to; of none, the last."""
    tables = (reference.table, reference.to) if reference else ()
    return next((each for each in reversed(changes) if each.collection in tables), changes[-1])


async def _committed(session: Session) -> None:
    """Raises SourceFailed where nobody can say whether it was."""
    try:
        async with asyncio.timeout(SECONDS):
            await session.commit()
    except TimeoutError:
        raise SourceFailed(UNKNOWN) from None
    except Objected as reason:
        if reason.objection.sort is Sort.LOST:
            raise SourceFailed(UNKNOWN) from None
        raise
