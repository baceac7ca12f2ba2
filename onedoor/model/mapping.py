"""Map the types of the schema to collections, columns, relationships and computed fields."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from onedoor.model.masks import FieldMasks
from onedoor.model.row_rules import RowRules
from onedoor.spi.predicates import Row

CHANGE_SIDES = ("before", "after")
"""The rows of each change: the row as it was before, where there was one, and as it was after."""


def name_side_column(side: str, column: str) -> str:
    """Name the column of changes that holds what a column of the row held on one side."""
    return f"{side}.{column}"


def name_side_id(side: str) -> str:
    """Name the column of changes that is null where there was no row on one side."""
    return f"{side}_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Relationship:
    """Lead from rows of one type to the rows of another whose `remote` columns equal their `local` columns.

    The other type may be in another source.
    """

    to: str
    local: str | tuple[str, ...]
    remote: str | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputedField:
    """Compute a field for all rows at once from other fields of its type, whose access rules it must have too.

    `compute` takes rows of the values that `needs` names, in that order, and returns one value for each row.
    """

    needs: tuple[str, ...]
    compute: Callable[[Sequence[Row]], Sequence[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """Take a field's value from a column of another collection, which need not be that of any type.

    Its row is the one whose `remote` columns equal this row's `local` columns, and whose columns named by `arguments`
    equal the values of these. An argument that is not given is not compared; a list is compared as a tuple, an object
    as JSON text with sorted keys. Of several rows the least value is taken; of none, null.
    """

    source: str
    collection: str
    local: str | tuple[str, ...]
    remote: str | tuple[str, ...]
    column: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    """By argument of the field, the column that it is compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeMapping:
    """Say where the values of one type come from.

    A field's column is its name in snake_case unless `columns` says otherwise; `key` names the columns that identify
    a row and make up its `id`.
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
    """Columns that the collection does not have, each with its value in every row, such as a file's store."""
    rows: RowRules | None = None
    """By group, the rows that its members see, and ALL_ROWS for those who see all; None: everyone sees all. A row that
    a person does not see does not exist for them: in lists, counts, links, filters, orders, changes, events."""
    mask: Mapping[str, FieldMasks] = field(default_factory=dict)
    """By field and group, the part of a value that the group's members see, as a String, in place of the value."""
    change_of: str | None = None
    """The type whose rows' changes these are, under the rules of that type: shown is a change of a row that is seen now
    and was, by what it held, before and after. A mutation shows its caller the change that it has made."""
