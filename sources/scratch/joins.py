"""A scratch table and what lies beyond a key of its rows in, the statement out that gives both next to each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.source import Beyond
from engine.words import Kind, Row
from sources.scratch.values import TYPES, Field, encoded, operand, places
from sources.scratch.words import Sql


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """`rows` of `fields` are the table of keys `k`, made before; `sql` gives the longer rows, `added` what is new."""

    fields: tuple[Field, ...]
    rows: Sequence[Row]
    sql: Sql
    added: Mapping[str, Field]


def joining(table: str, fields: Mapping[str, Field], here: Sequence[str], beyond: Beyond) -> Joining:
    """No value of a column is like a key that cannot be kept as one, so that it is left out."""
    keys = [fields[each] for each in here]
    values = [*beyond.rows.values(), beyond.absent]
    new = [Field(kind=kind, at=at, places=_places(kind, at, values)) for at, kind in enumerate(beyond.kinds.values())]
    there = [*keys, *new, Field(kind=Kind.BOOLEAN, at=0)]
    kept = tuple(_at(field, at) for at, field in enumerate(there))
    added = [_at(field, len(fields) + at) for at, field in enumerate(new)]
    rows = [(*key, *values, True) for key, values in beyond.rows.items() if _is_kept(key, keys)]
    return Joining(
        fields=kept,
        rows=rows,
        sql=_sql(table, keys, kept, added, beyond.absent),
        added=dict(zip(beyond.kinds, added, strict=True)),
    )


def _places(kind: Kind, at: int, rows: Sequence[Row]) -> int:
    return places([row[at] for row in rows]) if kind is Kind.DECIMAL else 0


def _at(field: Field, at: int) -> Field:
    return Field(kind=field.kind, at=at, places=field.places)


def _is_kept(key: Row, fields: Sequence[Field]) -> bool:
    return all(operand(value, field) is not None for value, field in zip(key, fields, strict=True))


def _sql(table: str, keys: Sequence[Field], there: Sequence[Field], added: Sequence[Field], absent: Row) -> Sql:
    hit = f"k.{there[-1].value}"
    beyond = there[len(keys) : -1]
    (nothing,) = encoded([absent], beyond)
    taken = [
        f"CASE WHEN {hit} THEN k.{theirs} ELSE CAST(? AS {TYPES[old.kind] if theirs == old.value else 'SMALLINT'}) END"
        f" AS {mine}"
        for old, new in zip(beyond, added, strict=True)
        for theirs, mine in zip(old.kept, new.kept, strict=True)
    ]
    equal = " AND ".join(f"r.{mine.value} = k.{its.value}" for mine, its in zip(keys, there, strict=False))
    return Sql(f"SELECT r.*, {', '.join(taken)} FROM {table} r LEFT JOIN k ON {equal}", nothing)
