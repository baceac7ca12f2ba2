"""A transaction's changes in; the foreign key that one of them breaks out, as SQLite itself names none."""

from collections.abc import Mapping, Sequence

from engine.change.words import Change, Made, Values
from sources.sql.columns import Stock
from sources.sql.writing.statements import encoded_value
from sources.sql.writing.words import Facts, Objected, Objection, Reference, Session, Sort


class Checks:
    """Foreign keys, which SQLite sees to at the end of a transaction, and of which it then names none."""

    def __init__(self, facts: Facts, stocks: Mapping[str, Stock]) -> None:
        self.facts = facts
        self.stocks = stocks

    async def checked(self, session: Session, changes: Sequence[Change], made: Sequence[Made]) -> None:
        for change, each in zip(changes, made, strict=True):
            for reference in self.facts.references:
                if reference.table == change.collection and each.after is not None:
                    await self._none(session, reference, self.facts.keys[reference.table], each.after)
                if reference.to == change.collection and each.before is not None and reference.table in self.stocks:
                    await self._none(session, reference, reference.columns, _named(reference, each.before))

    async def _none(self, session: Session, reference: Reference, by: Sequence[str], row: Values) -> None:
        """Raises Objected where one of these rows leads nowhere."""
        stored = self.stocks[reference.table].columns
        if not set(by) <= set(stored) or any(row.get(each) is None for each in by):
            return
        told = await session.run(nowhere(reference, by), [encoded_value(row[each], stored[each]) for each in by])
        if told.rows:
            raise Objected(Objection(sort=Sort.REFERENCE, reference=reference))


def _named(reference: Reference, row: Values) -> Values:
    """What those that refer to a row hold."""
    return {column: row.get(there) for column, there in zip(reference.columns, reference.there, strict=True)}


def nowhere(reference: Reference, by: Sequence[str]) -> str:
    table, to = quoted(reference.table), quoted(reference.to)
    filled = " AND ".join(f"{table}.{quoted(each)} IS NOT NULL" for each in reference.columns)
    pairs = zip(reference.columns, reference.there, strict=True)
    equal = " AND ".join(f"there.{quoted(there)} = {table}.{quoted(here)}" for here, there in pairs)
    met = " AND ".join(f"{table}.{quoted(each)} = ?" for each in by)
    led = f"EXISTS (SELECT 1 FROM {to} AS there WHERE {equal})"
    return f"SELECT 1 FROM {table} WHERE {met} AND {filled} AND NOT {led} LIMIT 1"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
