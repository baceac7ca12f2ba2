"""One change and the transaction it is made in, in; the row before and after out."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from engine.change.words import Change, Made, Unmade, Values, Verb
from engine.errors import Code
from engine.words import Ask, Keys
from sources.sql.compiled import Statements
from sources.sql.writing.statements import Changing, encoded
from sources.sql.writing.values import kept, key_of, taken
from sources.sql.writing.words import Objected, Objection, Session, Sort, Target, Ways


class Changes:
    """How rows of one database are changed. Its methods raise Unmade and Objected."""

    def __init__(self, ways: Ways, statements: Statements, changing: Changing) -> None:
        self.ways = ways
        self.statements = statements
        self.changing = changing

    async def make(self, session: Session, change: Change, target: Target) -> Made:
        try:
            return await self._made(session, change, target)
        except Objected as reason:
            if not reason.objection.key:
                raise
            columns = self.ways.unique.get((target.name, reason.objection.key), ())
            raise Objected(replace(reason.objection, columns=columns)) from None

    async def _made(self, session: Session, change: Change, target: Target) -> Made:
        given = taken(change, target)
        if change.verb is Verb.CREATE:
            return await self._created(session, change, target, given)
        key = key_of(change, target)
        before = await self._row(session, target, key, self.ways.locked)
        if before is None and change.verb is Verb.PUT and change.version is None:
            return await self._put(session, target, given)
        if before is None:
            raise Unmade(f"there is no such row of `{target.name}`", Code.NOT_FOUND)
        expected(change, target, before)
        if change.verb is Verb.DELETE:
            await self._run(session, self.changing.delete(target), encoded(target.key, before, target))
            return Made(before=before, after=None)
        return await self._updated(session, target, before, {n: v for n, v in given.items() if n not in target.key})

    async def _put(self, session: Session, target: Target, given: dict[str, Any]) -> Made:
        """Of a row that was not there; one that came meanwhile is found when all is tried again."""
        try:
            return await self._inserted(session, target, given)
        except Objected as reason:
            found = reason.objection
            columns = found.columns or self.ways.unique.get((target.name, found.key), ())
            if found.sort is Sort.UNIQUE and set(columns) == set(target.key):
                raise Objected(Objection(sort=Sort.BUSY)) from None
            raise

    async def _created(self, session: Session, change: Change, target: Target, given: dict[str, Any]) -> Made:
        if change.version is not None:
            raise Unmade("a row that is created has no version yet")
        return await self._inserted(session, target, given)

    async def _inserted(self, session: Session, target: Target, given: dict[str, Any]) -> Made:
        values = given if target.version is None else {**given, target.version: 1}
        names = tuple(sorted(values))
        made = self.changing.insert(target, names)
        told = await session.run(made.text, made.order(encoded(names, values, target)))
        found = {name: given[name] for name in target.key if name in given}
        missing = [each for each in target.key if each not in found]
        if made.read:
            found |= {name: decoded(value, each) for (name, each), value in zip(made.read, told.rows[0], strict=True)}
        elif missing and (len(missing) > 1 or not told.number):
            raise Unmade(", ".join(f"`{each}`" for each in missing) + " must have a value")
        elif missing:
            found[missing[0]] = told.number
        after = await self._row(session, target, tuple(found[each] for each in target.key))
        return Made(before=None, after=whole(given, after, target))

    async def _updated(self, session: Session, target: Target, before: Values, given: Mapping[str, Any]) -> Made:
        values = dict(given)
        if target.version is not None:
            values[target.version] = (before[target.version] or 0) + 1
        if not values:
            return Made(before=before, after=before)
        names = tuple(sorted(values))
        await self._run(
            session, self.changing.update(target, names),
            [*encoded(names, values, target), *encoded(target.key, before, target)],
        )  # fmt: skip
        after = await self._row(session, target, tuple(before[each] for each in target.key))
        return Made(before=before, after=whole(given, after, target))

    async def _row(self, session: Session, target: Target, key: tuple[Any, ...], locked: str = "") -> Values | None:
        columns = tuple(target.stock.columns)
        made, values = self.statements.of(Ask(collection=target.name, columns=columns, keys=Keys(target.key, (key,))))
        rows = made.rows((await session.run(made.text + locked, values)).rows)
        return dict(zip(columns, rows[0], strict=True)) if rows else None

    async def _run(self, session: Session, made: Any, values: list[Any]) -> None:
        await session.run(made.text, made.order(values))


def whole(given: Mapping[str, Any], after: Values | None, target: Target) -> Values:
    if after is None:
        raise Unmade(f"the database keeps no such row of `{target.name}`", Code.CANNOT_ANSWER)
    kept(given, after, target)
    return after


def expected(change: Change, target: Target, before: Values) -> None:
    """Raises Unmade unless the row is at the version that the change was told for."""
    if change.version is None:
        return
    if target.version is None:
        raise Unmade(f"rows of `{target.name}` have no version that a change could name")
    if str(before[target.version] or 0) != change.version:
        raise Unmade(
            f"the row of `{target.name}` has been changed since: it is at version {before[target.version] or 0}",
            Code.VERSION_CONFLICT,
        )


def decoded(value: Any, stored: Any) -> Any:
    decode: Callable[[Any], Any] | None = stored.decode
    return value if value is None or decode is None else decode(value)
