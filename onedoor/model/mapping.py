"""Where a type's values live: its collection, its links, and the fields that are computed or looked up."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from onedoor.spi.predicates import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Relationship:
    """From rows of one type to rows of another: `here` columns equal `there` columns. May cross sources."""

    to: str
    local: str | tuple[str, ...]
    remote: str | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputedField:
    """A field computed for all rows at once from other fields of its type, whose guards it must carry.

    `compute` takes rows (one value per name in `needs`, in that order) and gives one value per row.
    """

    needs: tuple[str, ...]
    compute: Callable[[Sequence[Row]], Sequence[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A field whose value is a column of a row in another collection, which need not be that of any type.

    The row is the one whose `there` equal this row's `here`, and whose columns named by `arguments` equal what was
    given for them. An argument that was not given decides nothing; a list is a tuple, an object its JSON text with
    sorted keys. Of several rows, the least value; of none, null.
    """

    source: str
    collection: str
    local: str | tuple[str, ...]
    remote: str | tuple[str, ...]
    column: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    """By argument of the field, the column it is compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeMapping:
    """Where the values of one type come from.

    A field's column is its name in snake_case unless `columns` says otherwise; `key` names the columns that
    identify a row, and make up its `id`.
    """

    type: str
    source: str
    collection: str
    key: tuple[str, ...] = ("id",)
    columns: Mapping[str, str] = field(default_factory=dict)
    relationships: Mapping[str, Relationship] = field(default_factory=dict)
    computed_fields: Mapping[str, ComputedField] = field(default_factory=dict)
    lookups: Mapping[str, Lookup] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    """Columns that the collection does not have, each with its value in every row: which store a file is in."""
