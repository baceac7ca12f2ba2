"""Define what the settings of a `rest` source declare of its collections, and what these then promise."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from onedoor.connectors.json_rows import MAX_KEYS_PER_SCAN, JsonColumn, JsonPath
from onedoor.errors import ErrorCode
from onedoor.spi.capabilities import Capabilities, Column
from onedoor.spi.connector import ChangeKind, WriteCapabilities
from onedoor.spi.predicates import Op

PATH_PARAMETER = re.compile(r"\{(\w+)\}")
"""A place in a path that takes the value of a column."""


class PagingStyle(StrEnum):
    """What a request for the next page names: its number, its first row, a cursor, or the URL that a response has."""

    PAGE = "page"
    OFFSET = "offset"
    CURSOR = "cursor"
    LINK = "link"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestKeyLookup:
    """How an API finds rows by one column: by many keys in a parameter, or by one in a path such as `/users/{id}`.

    Keys are joined by `separator`; without one the parameter is repeated. `most`: keys in one call. `rows`: where the
    one row of a `path` lies. With neither, the rows under the collection's own path are searched.
    """

    parameter: str = ""
    path: str = ""
    most: int = 1
    separator: str = ""
    rows: JsonPath = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderParameter:
    """The parameter that sorts rows by these columns, none of which is ever null; text sorts by code point."""

    parameter: str
    columns: tuple[str, ...]
    ascending: str = ""
    descending: str = "-"
    separator: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitParameter:
    """The parameter that limits the number of rows, and the largest limit it takes."""

    parameter: str
    most: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class RestPaging:
    """How pages follow each other.

    `next`: the place of a cursor in a response, or of the next page's URL where that is not in the Link header.
    `more`, `last`: the place of the boolean that says that another page follows, or that none does. `first`: the number
    of the first page, or of the first row.
    """

    by: PagingStyle
    parameter: str = ""
    next: JsonPath = ()
    more: JsonPath = ()
    last: JsonPath = ()
    first: int | None = None
    size_parameter: str = ""
    size: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestField:
    """The place of a column in a request's body. `list`: it is a list of one. `number`: money is a number, not text."""

    at: JsonPath
    list: bool = False
    number: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOperation:
    """How an API makes one kind of change: `columns` are those that a change may set, `fixed` goes with each call.

    `only`: the one value a column can take, as in `/runs/{id}/cancel`; it is not sent.
    `id`: the column that holds the id of a change, written as `mark` says, after its own text. Without it a change
    counts as made when the row holds its values. `by`: the columns that narrow the search for a row with the mark.
    `id_header`, `version_header`: headers that take the id of the change, and the version of its row.
    `rows`: where the row lies in the response; when `answers` is false it is not there, and is read afterwards.
    `statuses` mean that the change was made, `refusals` that it was not, and why; others mean what HTTP says.
    """

    method: str
    path: str
    columns: Mapping[str, RequestField] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    only: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""
    mark: str = "{id}"
    by: tuple[str, ...] = ()
    id_header: str = ""
    version_header: str = ""
    rows: JsonPath = ()
    answers: bool = True
    statuses: tuple[int, ...] = (200, 201, 202, 204)
    refusals: Mapping[int, ErrorCode] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestCollection:
    """A collection whose rows lie at `rows` of the response to `path`.

    Every scan must give the columns that stand in `path`, as in `/repos/{repo}/runs`; in its rows they have these
    values. `filters`: by column, the parameter that asks for equality. `single`: the response is one row and no list;
    `text`: it is a text, which is the row. `each`: the path of one whole row, for a list that shows too little of it.
    `version`: the column that every change gives a new value.
    """

    name: str
    path: str
    columns: Mapping[str, JsonColumn]
    rows: JsonPath = ()
    keys: Mapping[str, RestKeyLookup] = field(default_factory=dict)
    filters: Mapping[str, str] = field(default_factory=dict)
    order: OrderParameter | None = None
    limit: LimitParameter | None = None
    paging: RestPaging | None = None
    single: bool = False
    text: bool = False
    each: str = ""
    writes: Mapping[ChangeKind, WriteOperation] = field(default_factory=dict)
    version: str = ""

    @property
    def path_columns(self) -> tuple[str, ...]:
        return find_path_parameters(self.path)

    @property
    def has_scalar_rows(self) -> bool:
        """Whether a row is a text or a number by itself, and no object."""
        return not any(column.at for name, column in self.columns.items() if name not in self.path_columns)


def is_url_path(path: str) -> bool:
    """Tell whether a text is a path from the base URL on, and nothing beside or above it."""
    return path.startswith("/") and not {"?", "#"} & {*path} and ".." not in path.split("/")


def find_path_parameters(path: str) -> tuple[str, ...]:
    return tuple(PATH_PARAMETER.findall(path))


def build_rest_capabilities(collection: RestCollection) -> Capabilities:
    """Promise equality filters, keys, an order where no scan needs several calls, and always the limit."""
    return Capabilities(
        columns={name: _build_column(collection, name) for name in collection.columns},
        max_keys=_compute_max_keys(collection),
        key_columns=_build_key_columns(collection),
        required_columns=collection.path_columns,
        limit=True,
    )


def _build_column(collection: RestCollection, name: str) -> Column:
    return Column(
        type=collection.columns[name].kind,
        filters=frozenset({Op.EQ} if name in collection.filters else ()),
        sortable=collection.order is not None and name in collection.order.columns,
    )


def _build_key_columns(collection: RestCollection) -> frozenset[tuple[str, ...]]:
    path_alone = {collection.path_columns} if collection.path_columns else set()
    return frozenset(path_alone | {(*collection.path_columns, name) for name in collection.keys})


def _compute_max_keys(collection: RestCollection) -> int:
    if not collection.keys:
        return MAX_KEYS_PER_SCAN if collection.path_columns else 0
    if collection.order is None:
        return MAX_KEYS_PER_SCAN
    return min(lookup.most for lookup in collection.keys.values())


def build_rest_write_capabilities(collection: RestCollection) -> WriteCapabilities | None:
    """Promise the declared changes; None where there are none."""
    if not collection.writes:
        return None
    return WriteCapabilities(
        settable_columns={
            kind: _find_settable_columns(kind, operation) for kind, operation in collection.writes.items()
        },
        version_column=collection.version or None,
    )


def _find_settable_columns(kind: ChangeKind, operation: WriteOperation) -> frozenset[str]:
    """Return the columns that a change may set; a new row also has those that stand in its path."""
    path_columns = find_path_parameters(operation.path) if kind is ChangeKind.CREATE else ()
    return frozenset({*operation.columns, *operation.only, *path_columns})
