"""Changes in, the statements that make them out; their values are bound, their names those that were reflected."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auth.mistake import Mistake, unknown
from engine.change.words import Change, Unmade, Values, Verb, Writes
from engine.words import Ask, Keys, Kind, Row
from sources.snowflake.render import mark, render
from sources.snowflake.sql import Sql, glued, prefixed, quoted
from sources.snowflake.tables import Table
from sources.snowflake.values import bind, holdable
from sources.typed import IS, same

COLUMNS_SQL = (
    "SELECT TABLE_NAME, COLUMN_NAME, IS_NULLABLE, CHARACTER_MAXIMUM_LENGTH FROM INFORMATION_SCHEMA.COLUMNS "
    "WHERE TABLE_SCHEMA = ?"
)
VERSION = "version"
AT_ONCE = 200
"""Rows of one statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A table that may be changed. `needed`: columns that always have a value; `letters`: how many a text may have."""

    name: str
    table: Table
    key: tuple[str, ...]
    writes: Writes
    needed: frozenset[str]
    letters: Mapping[str, int]


def targets(
    writable: Mapping[str, Any], versions: Mapping[str, Any], tables: Mapping[str, Table], columns: Iterable[Row]
) -> Mapping[str, Target]:
    """`writable`: by collection the columns of its key, as Snowflake sees to none. Raises Mistake."""
    facts = {(table, column): (nullable == "NO", letters) for table, column, nullable, letters in columns}
    for name in (*writable, *versions):
        if name not in tables:
            raise unknown("collection", name, tables)
    return {name: _target(name, tables[name], key, versions.get(name), facts) for name, key in writable.items()}


def _target(name: str, table: Table, key: Any, version: Any, facts: Mapping[Any, tuple[bool, Any]]) -> Target:
    if not isinstance(key, list) or not key or not set(key) <= set(table.columns):
        raise Mistake(f"`writable.{name}` must be a list of the columns of `{name}` that name a row")
    at = VERSION if version is None else version
    counted = at in table.columns and table.columns[at].kind is Kind.INTEGER
    if version is not None and not counted:
        raise Mistake(f"`versions.{name}` must be a column of whole numbers of `{name}`")
    settable = frozenset(table.columns) - ({at} if counted else set())
    rest = settable - set(key)
    verbs = {Verb.CREATE: settable, Verb.UPDATE: rest, Verb.PUT: rest, Verb.DELETE: frozenset[str]()}
    told = {each: facts.get((table.name, column.name), (False, None)) for each, column in table.columns.items()}
    return Target(
        name=name,
        table=table,
        key=tuple(key),
        writes=Writes(verbs=verbs, version=at if counted else None, together=True, fenced=True),
        needed=frozenset(each for each, (needed, _) in told.items() if needed) | set(key),
        letters={each: int(letters) for each, (_, letters) in told.items() if letters},
    )


def taken(change: Change, target: Target) -> dict[str, Any]:
    """By column, all that the change gives, its key too. Raises Unmade for what the table cannot hold."""
    given = {**change.key, **change.values} if change.verb is Verb.CREATE else dict(change.key)
    if set(given) & set(target.key) != set(target.key) or not set(change.key) <= set(target.key):
        raise Unmade(f"a row of `{target.name}` is named by " + ", ".join(f"`{each}`" for each in target.key))
    for name in change.values:
        if name not in target.writes.verbs[change.verb]:
            raise Unmade(f"`{name}` of `{target.name}` is not to be set by a change")
    given |= change.values
    for name, value in given.items():
        _fitting(name, value, target)
    return given


def _fitting(name: str, value: Any, target: Target) -> None:
    stored = target.table.columns[name]
    if value is None and name not in target.needed:
        return
    if value is None:
        raise Unmade(f"`{name}` must have a value")
    if not IS[stored.kind](value):
        raise Unmade(f"`{name}` takes values of the kind {stored.kind}")
    try:
        holds = holdable(value, stored)
    except ArithmeticError:
        holds = False
    if not holds or (stored.kind is Kind.TEXT and not _letters(value, name, target)):
        raise Unmade(f"`{name}` cannot hold the value given")


def _letters(value: str, name: str, target: Target) -> bool:
    """As of a database's text, no NUL is among them."""
    return "\0" not in value and len(value) <= target.letters.get(name, len(value))


def filled(given: Values, target: Target) -> None:
    """Raises Unmade where a row that is created lacks a value."""
    for name in sorted(target.needed):
        if given.get(name) is None:
            raise Unmade(f"`{name}` must have a value")


def kept(given: Values, after: Values, target: Target) -> None:
    """Raises Unmade unless a read gives back what was given."""
    for name, value in given.items():
        if not same(value, after[name], target.table.columns[name].kind):
            raise Unmade(f"`{name}` cannot hold the value given without making it another")


def read(target: Target, keys: Sequence[Row]) -> tuple[Ask, Sql]:
    columns = tuple(target.table.columns)
    ask = Ask(collection=target.name, columns=columns, keys=Keys(target.key, tuple(keys)))
    return ask, render(ask, {target.name: target.table})


def inserted(target: Target, rows: Sequence[Values]) -> Sql:
    """All of them give the same columns."""
    names = sorted(rows[0])
    columns = ", ".join(quoted(target.table.columns[each].name) for each in names)
    values = [_row(target, names, row) for row in rows]
    return prefixed(f"INSERT INTO {quoted(target.table.name)} ({columns}) VALUES ", glued(", ", values))


def updated(target: Target, key: Values, values: Values) -> Sql:
    set_to = glued(", ", [_equal(target, name, values[name]) for name in sorted(values)])
    return glued(" ", (Sql(f"UPDATE {quoted(target.table.name)} SET"), set_to, Sql("WHERE"), _named(target, key)))


def deleted(target: Target, key: Values) -> Sql:
    return glued(" ", (Sql(f"DELETE FROM {quoted(target.table.name)} WHERE"), _named(target, key)))


def _named(target: Target, key: Values) -> Sql:
    return glued(" AND ", [_equal(target, each, key[each]) for each in target.key])


def _equal(target: Target, name: str, value: Any) -> Sql:
    stored = target.table.columns[name]
    return Sql(f"{quoted(stored.name)} = {mark(stored)}", (_bound(target, name, value),))


def _row(target: Target, names: Sequence[str], row: Values) -> Sql:
    marks = ", ".join(mark(target.table.columns[each]) for each in names)
    return Sql(f"({marks})", tuple(_bound(target, each, row[each]) for each in names))


def _bound(target: Target, name: str, value: Any) -> Any:
    return None if value is None else bind(value, target.table.columns[name])


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A change of a row, what it gives, and its key."""

    change: Change
    target: Target
    given: Values

    @property
    def key(self) -> Row:
        return tuple(self.given[each] for each in self.target.key)

    @property
    def kind(self) -> Any:
        return self.target.name, self.change.verb, frozenset(self.given)


def runs(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Those that stand next to each other and are of one kind, each of another row."""
    run: list[Step] = []
    for step in steps:
        if run and (len(run) == AT_ONCE or step.kind != run[0].kind or step.key in {each.key for each in run}):
            yield run
            run = []
        run.append(step)
    if run:
        yield run
