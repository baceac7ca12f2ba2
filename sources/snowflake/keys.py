"""Rows of SHOW ... KEYS in, keys and references by table out: tables as Snowflake has them, columns in lower case."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from operator import itemgetter

from engine.words import Row
from introspect.words import Reference

Names = tuple[str, ...]
Keys = Mapping[str, tuple[Names, ...]]
FIRST = itemgetter(0)
"""A part's place in its key, by which alone it is sorted: parts all said to be the first stay as they came."""


def keys(rows: Iterable[Row]) -> Keys:
    """The columns of each key, of the rows of SHOW PRIMARY KEYS or of SHOW UNIQUE KEYS.

    Created, database, schema, table, column, the place in the key, the name of the key, ...
    """
    found: dict[Names, list[tuple[int, str]]] = defaultdict(list)
    for _, _, _, table, column, place, name, *_ in rows:
        found[table, name].append((place, column.lower()))
    made: dict[str, list[Names]] = defaultdict(list)
    for (table, _), parts in found.items():
        made[table].append(tuple(column for _, column in sorted(parts, key=FIRST)))
    return {table: tuple(sorted(each, key=lambda key: (len(key), key))) for table, each in made.items()}


def references(rows: Iterable[Row], *unique: Keys) -> Mapping[str, tuple[Reference, ...]]:
    """Within one schema, of the rows of SHOW IMPORTED KEYS.

    Created, then database, schema, table, column of what is led to, the same of what leads, the place in the key,
    rules for updates and for deletes, the name of the reference, ...
    """
    found: dict[Names, list[tuple[int, str, str]]] = defaultdict(list)
    for _, base, schema, to, there, own_base, own_schema, table, here, place, _, _, name, *_ in rows:
        if (base, schema) == (own_base, own_schema):
            found[table, name, to].append((place, here.lower(), there.lower()))
    made: dict[str, list[Reference]] = defaultdict(list)
    for (table, _, to), parts in found.items():
        _, columns, there = zip(*sorted(parts, key=FIRST), strict=True)
        alone = any(set(key) <= set(columns) for each in unique for key in each.get(table, ()))
        made[table].append(Reference(columns=columns, to=to.lower(), there=there, alone=alone))
    return {table: tuple(sorted(each, key=lambda one: (one.columns, one.to))) for table, each in made.items()}
