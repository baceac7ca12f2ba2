"""What the settings let be changed and what a database tells of its tables in, the tables that may be changed out."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from auth.mistake import Mistake, unknown
from engine.change.words import Verb, Writes
from engine.words import Kind
from sources.sql.columns import Stock
from sources.sql.writing.words import Facts, Reference, Target

VERSION = "version"
"""The column that holds a row's version where the settings name no other."""


def targets(
    writable: Sequence[str], versions: Mapping[str, Any], stocks: Mapping[str, Stock], facts: Facts
) -> Mapping[str, Target]:
    """`versions`: by collection, the column. Raises Mistake."""
    for name in (*writable, *versions):
        if name not in stocks:
            raise unknown("collection", name, stocks)
    for name in versions:
        if name not in writable:
            raise Mistake(f"`versions.{name}` needs `{name}` in `writable`")
    return {name: _target(stocks[name], name, versions.get(name), facts) for name in writable}


def _target(stock: Stock, name: str, version: Any, facts: Facts) -> Target:
    key = facts.keys.get(name, ())
    if not key or not set(key) <= set(stock.columns):
        raise Mistake(f"`{name}` cannot be written to: it has no primary key")
    version = _version(stock, name, version)
    settable = frozenset(
        each.name
        for each in stock.columns.values()
        if not (each.foreign or each.kind is Kind.LIST or (name, each.name) in facts.computed or each.name == version)
    )
    verbs = {
        Verb.CREATE: settable,
        Verb.UPDATE: settable - set(key),
        Verb.PUT: settable - set(key),
        Verb.DELETE: frozenset[str](),
    }
    writes = Writes(verbs=verbs, version=version, together=True, fenced=True)
    return Target(name=name, stock=stock, key=key, writes=writes, types=facts.types.get(name, {}))


def _version(stock: Stock, name: str, told: Any) -> str | None:
    column = stock.columns.get(VERSION if told is None else str(told))
    if column is not None and column.kind is Kind.INTEGER:
        return column.name
    if told is not None:
        raise Mistake(f"`versions.{name}` must be a column of whole numbers of `{name}`")
    return None


def facts(
    columns: Iterable[Sequence[Any]], references: Iterable[Sequence[Any]], unique: Iterable[Sequence[Any]] = ()
) -> Facts:
    """Of rows a column each, in their order.

    Columns: table, name, type, whether it is computed, its place in the key or 0. References: name, table, column,
    the table it leads to, the column there or None. Unique keys: table, name, column.
    """
    types, keys, computed = defaultdict[str, dict[str, str]](dict), defaultdict[str, list[Any]](list), set()
    for table, name, declared, made, place in columns:
        types[table][name] = declared
        if place:
            keys[table].append((place, name))
        if made:
            computed.add((table, name))
    whole = {table: tuple(name for _, name in sorted(each)) for table, each in keys.items()}
    by_name = defaultdict[tuple[str, str], list[str]](list)
    for table, name, column in unique:
        by_name[table, name].append(column)
    return Facts(
        keys=whole,
        types=types,
        computed=frozenset(computed),
        references=_references(references, whole),
        unique={key: tuple(each) for key, each in by_name.items()},
    )


def _references(rows: Iterable[Sequence[Any]], keys: Mapping[str, tuple[str, ...]]) -> tuple[Reference, ...]:
    parts = defaultdict[tuple[str, str, str], list[tuple[str, Any]]](list)
    for name, table, column, to, there in rows:
        parts[name, table, to].append((column, there))
    return tuple(
        Reference(
            name=name,
            table=table,
            columns=tuple(column for column, _ in each),
            to=to,
            there=keys.get(to, ()) if None in (there for _, there in each) else tuple(there for _, there in each),
        )
        for (name, table, to), each in parts.items()
    )
