"""Changes of a Snowflake schema's tables in, what was made of them out: one transaction for all, or none.

Snowflake sees to no key, so whoever changes something first holds one row of the marker table, and is alone.
"""

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence

from engine.change.words import Change, Made, Unmade, Values, Verb, Writes
from engine.errors import Code, SourceFailed
from engine.words import Row
from sources import outcome
from sources.shielded import Shielded
from sources.snowflake.changes import (
    COLUMNS_SQL,
    Step,
    Target,
    deleted,
    filled,
    inserted,
    kept,
    read,
    runs,
    taken,
    targets,
    updated,
)
from sources.snowflake.options import Options
from sources.snowflake.rows import shown, shown_by
from sources.snowflake.sessions import Sessions
from sources.snowflake.sql import Sql, glued, prefixed
from sources.snowflake.sql import kept as kept_name
from sources.snowflake.tables import MARKER, Table
from sources.snowflake.transactions import Busy, Lost, Transaction, begun

MARKER_SQL = f"CREATE TABLE IF NOT EXISTS {MARKER} (ID TEXT NOT NULL, OUTCOME TEXT, MADE_AT TIMESTAMP_TZ)"
THERE_SQL = "SELECT COUNT(*) FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?"
LOCK = ""
"""The id of the row that is held."""
LOCKED_SQL = f"UPDATE {MARKER} SET MADE_AT = CURRENT_TIMESTAMP() WHERE ID = ?"
FOUND_SQL = f"SELECT ID, OUTCOME FROM {MARKER} WHERE ID IN "
KEPT_SQL = f"INSERT INTO {MARKER} (ID, OUTCOME, MADE_AT) VALUES "
KEPT_ROW = "(?, ?, CURRENT_TIMESTAMP())"
SECONDS = 10.0
"""How long a turn is waited for."""
PAUSE = 0.05
BUSY = "snowflake is busy with other changes, ask again"
UNKNOWN = "whether the change was made is not known: snowflake left before it could say so"


async def writer(sessions: Sessions, options: Options, tables: Mapping[str, Table]) -> "Writer":
    """Makes the marker table if it is missing. Raises SourceFailed and Mistake."""
    schema = kept_name(options.schema)
    [(there,)] = await sessions.run(Sql(THERE_SQL, (schema, MARKER)))
    if not there:
        await sessions.run(Sql(MARKER_SQL))
    [(locks,)] = await sessions.run(Sql(f"SELECT COUNT(*) FROM {MARKER} WHERE ID = ?", (LOCK,)))
    if not locks:
        await sessions.run(prefixed(KEPT_SQL, Sql(KEPT_ROW, (LOCK, None))))
    columns = await sessions.run(Sql(COLUMNS_SQL, (schema,)))
    return Writer(targets(options.writable, options.versions, tables, columns), sessions)


class Writer:
    """The changes of one schema."""

    def __init__(self, targets: Mapping[str, Target], sessions: Sessions) -> None:
        self.targets = targets
        self.sessions = sessions
        self.shielded = Shielded()

    def writes(self, collection: str) -> Writes | None:
        target = self.targets.get(collection)
        return target.writes if target else None

    async def write(self, changes: Sequence[Change], *, dry: bool = False) -> Sequence[Made]:
        for each in changes:
            if each.collection not in self.targets:
                raise Unmade(f"`{each.collection}` is not to be changed", Code.CANNOT_ANSWER)
        try:
            return await self.shielded.run(self._written(changes, dry=dry))
        except Busy:
            raise Unmade(BUSY, Code.SOURCE_OVERLOADED) from None
        except Lost as reason:
            raise Unmade(reason.failure.reason, reason.failure.code) from None

    async def made(self, change: Change) -> Made | None:
        try:
            return await self.shielded.run(self._looked_up(change))
        except Busy:
            raise SourceFailed(BUSY, Code.SOURCE_OVERLOADED) from None
        except Lost as reason:
            raise reason.failure from None

    async def close(self) -> None:
        await self.shielded.close()

    async def _written(self, changes: Sequence[Change], *, dry: bool) -> Sequence[Made]:
        async with begun(self.sessions, self._alone) as transaction:
            made = await self._known(transaction, changes)
            fresh = {each.id: each for each in changes if each.id not in made}
            steps = [self._step(each) for each in fresh.values()]
            for run in runs(steps):
                made |= await self._run(transaction, run)
            if not dry:
                await self._keep(transaction, {id: outcome.kept(made[id]) for id in fresh})
                await _committed(transaction)
            return [made[each.id] for each in changes]

    async def _alone(self, transaction: Transaction) -> None:
        """Raises Busy where others hold the row, and do not let go of it in time."""
        until = asyncio.get_running_loop().time() + SECONDS
        while True:
            try:
                await transaction.begin()
                await transaction.run(Sql(LOCKED_SQL, (LOCK,)))
            except Busy:
                await transaction.undo()
                if asyncio.get_running_loop().time() > until:
                    raise
                await asyncio.sleep(random.uniform(PAUSE / 2, PAUSE))
            else:
                return

    async def _known(self, transaction: Transaction, changes: Sequence[Change]) -> dict[str, Made]:
        found = await self._markers(transaction, [each.id for each in changes])
        if None in found.values():
            raise Unmade("the change was given up before it was made: tell it anew", Code.CANNOT_ANSWER)
        return {id: outcome.found(text) for id, text in found.items() if text is not None}

    async def _markers(self, transaction: Transaction, ids: Sequence[str]) -> dict[str, str | None]:
        marks = ", ".join("?" * len(ids))
        return dict(await transaction.run(Sql(f"{FOUND_SQL}({marks})", tuple(ids))))

    async def _keep(self, transaction: Transaction, outcomes: Mapping[str, str | None]) -> None:
        if outcomes:
            rows = [Sql(KEPT_ROW, (id, text)) for id, text in outcomes.items()]
            await transaction.run(prefixed(KEPT_SQL, glued(", ", rows)))

    def _step(self, change: Change) -> Step:
        target = self.targets[change.collection]
        return Step(change=change, target=target, given=taken(change, target))

    async def _run(self, transaction: Transaction, run: Sequence[Step]) -> dict[str, Made]:
        befores = await self._rows(transaction, run)
        for each in run:
            expected(each, befores.get(each.key))
        for statement in statements(run, befores):
            await transaction.run(statement)
        afters = await self._rows(transaction, run)
        for each in run:
            if each.change.verb is not Verb.DELETE:
                kept(each.given, afters[each.key], each.target)
        return {
            each.change.id: Made(before=befores.get(each.key), after=afters.get(each.key)) for each in run
        }  # fmt: skip

    async def _rows(self, transaction: Transaction, run: Sequence[Step]) -> dict[Row, Values]:
        target = run[0].target
        ask, sql = read(target, [each.key for each in run])
        found: dict[Row, Values] = {}
        for row in shown(await transaction.run(sql), shown_by(ask, {target.name: target.table})):
            values = dict(zip(ask.columns, row, strict=True))
            key = tuple(values[each] for each in target.key)
            if key in found:
                raise Unmade(f"several rows of `{target.name}` have this key", Code.CANNOT_ANSWER)
            found[key] = values
        return found

    async def _looked_up(self, change: Change) -> Made | None:
        async with begun(self.sessions, self._alone) as transaction:
            found = await self._markers(transaction, [change.id])
            if change.id in found:
                text = found[change.id]
                return None if text is None else outcome.found(text)
            await self._keep(transaction, {change.id: None})
            await _committed(transaction)
            return None


def expected(step: Step, before: Values | None) -> None:
    """Raises Unmade unless the row is as the change needs it to be."""
    change, target = step.change, step.target
    if change.verb is Verb.CREATE and before is not None:
        named = ", ".join(f"`{each}`" for each in target.key)
        raise Unmade(f"there already is a row of `{target.name}` with this {named}", Code.ALREADY_EXISTS)
    if change.verb is Verb.CREATE and change.version is not None:
        raise Unmade("a row that is created has no version yet")
    if before is None and (change.verb in (Verb.UPDATE, Verb.DELETE) or change.version is not None):
        raise Unmade(f"there is no such row of `{target.name}`", Code.NOT_FOUND)
    if before is None:
        filled(step.given, target)
    elif change.version is not None:
        _at_version(change, target, before)


def _at_version(change: Change, target: Target, before: Values) -> None:
    version = target.writes.version
    if version is None:
        raise Unmade(f"rows of `{target.name}` have no version that a change could name")
    at = before[version] or 0
    if str(at) != change.version:
        told = f"the row of `{target.name}` has been changed since: it is at version {at}"
        raise Unmade(told, Code.VERSION_CONFLICT)


def statements(run: Sequence[Step], befores: Mapping[Row, Values]) -> Iterator[Sql]:
    """Rows that are new are inserted by one statement."""
    target, version = run[0].target, run[0].target.writes.version
    new = [each.given if version is None else {**each.given, version: 1} for each in run if each.key not in befores]
    if new:
        yield inserted(target, new)
    for each in run:
        before = befores.get(each.key)
        if before is not None and each.change.verb is Verb.DELETE:
            yield deleted(target, before)
        elif before is not None:
            given = {name: value for name, value in each.given.items() if name not in target.key}
            values = given if version is None else {**given, version: (before[version] or 0) + 1}
            if values:
                yield updated(target, before, values)


async def _committed(transaction: Transaction) -> None:
    """Raises SourceFailed where nobody can say whether it was."""
    try:
        await transaction.commit()
    except Lost:
        raise SourceFailed(UNKNOWN) from None
