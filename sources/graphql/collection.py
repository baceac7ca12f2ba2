"""What one collection of a GraphQL service is, as plain data: its columns, and the arguments it can be asked with."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.words import Can, Column, Op
from sources.rest.collection import KEYS, At, Held


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """`type` is as the service declares it, such as `[ID!]!`. `values`: of an enum, all it takes; of none, anything."""

    argument: str
    type: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """An argument that every call carries, of the collection's own field."""

    type: str
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ByKey:
    """How rows are asked for by one column: by an argument that takes a list of keys, or by one alias for each key.

    `most`: keys in one document. `field`: where it is not the collection's own; then `rows` is where its rows lie, of
    no steps: the field's value is a row or a list of them; and `paged` says that it has pages, as the collection has.
    """

    argument: str
    type: str
    field: At = ()
    rows: At = ()
    paged: bool = False
    most: int = 50
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The argument that says how many rows are wanted, and the most it takes."""

    argument: str
    type: str = "Int"
    most: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """The arguments by which the pages of a connection follow each other; `cursor` is the type of `after`."""

    size: int = 100
    first: str = "first"
    after: str = "after"
    cursor: str = "String"


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """Rows lie at `rows` of what `field` gives, a field of the root or of what lies below it."""

    name: str
    field: At
    columns: Mapping[str, Held]
    rows: At = ()
    arguments: Mapping[str, Given] = dataclasses.field(default_factory=dict)
    keys: Mapping[str, ByKey] = dataclasses.field(default_factory=dict)
    filters: Mapping[str, Argument] = dataclasses.field(default_factory=dict)
    limit: Cut | None = None
    paging: Paging | None = None


def promise(collection: Collection) -> Can:
    """A limit is always kept: what comes over it is cut. No order is: nobody says how a service compares text."""
    return Can(
        columns={
            name: Column(kind=held.kind, filters=frozenset({Op.EQ} if name in collection.filters else ()))
            for name, held in collection.columns.items()
        },
        keys=KEYS if collection.keys else 0,
        key_columns=frozenset((name,) for name in collection.keys),
        limit=True,
    )
