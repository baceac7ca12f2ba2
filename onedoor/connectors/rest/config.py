"""Declared collections and writes."""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import orjson

from onedoor.errors import ErrorCode
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.connector import ChangeKind, WriteCapabilities
from onedoor.spi.predicates import Op

JsonPath: TypeAlias = tuple[str, ...]
"""Where something lies in a JSON value, step by step; of no steps: the value itself."""

PATH_PARAMETER = re.compile(r"\{(\w+)\}")
"""Where a path takes the value of a column."""

MAX_KEYS_PER_SCAN = 1000
"""Keys of one read, where they may travel in several calls."""


class PagingStyle(StrEnum):
    """How the next page is asked for."""

    PAGE = "page"
    OFFSET = "offset"
    CURSOR = "cursor"
    LINK = "link"


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonColumn:
    """A column: what it holds, and where it lies in a row."""

    kind: ColumnType
    at: JsonPath


@dataclass(frozen=True, slots=True, kw_only=True)
class RestKeyLookup:
    """How rows are asked for by one column: many in a parameter, or one in a path such as `/users/{id}`.

    Values are joined by `separator`; without one the parameter is repeated. `rows`: where a path's one row lies. With
    neither, they are looked for among the rows that the columns of the collection's own path lead to.
    """

    parameter: str = ""
    path: str = ""
    most: int = 1
    separator: str = ""
    rows: JsonPath = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderParameter:
    """The parameter that orders rows by these columns, none of which is ever null; text by code point."""

    parameter: str
    columns: tuple[str, ...]
    ascending: str = ""
    descending: str = "-"
    separator: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitParameter:
    """The parameter that says how many rows are wanted, and the most it takes."""

    parameter: str
    most: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class RestPaging:
    """How pages follow each other; `next` is where a cursor lies in an answer, `first` the number of the first page."""

    by: PagingStyle
    parameter: str = ""
    next: JsonPath = ()
    first: int = 1
    size_parameter: str = ""
    size: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestField:
    """Where a column stands in what is sent. `list`: as a list of one. `number`: money as a number, not a text."""

    at: JsonPath
    list: bool = False
    number: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOperation:
    """How an API is told to do one verb: `columns` are those that may be given, `fixed` goes along with each call.

    `only`: what a column can become, as in `/runs/{id}/cancel`, which is not sent. `id`: the column that keeps the id
    of a change, as `mark` says, after what else it says; without one a change was made where the row holds what was
    given. `by`: columns that narrow the search for it. `id_header` and `version_header` take a change's id and the
    version of its row. `rows`: where the row lies in the answer; with `answers` false it has none, and is read.
    `statuses` say that it was done, `refusals` that it was not, and why; all others mean what they mean to HTTP.
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
    """Rows lie at `rows` of what `path` answers; `filters` names the parameter that asks for equality, by column.

    Columns that stand in `path`, as in `/repos/{repo}/runs`, must be given by every read, and have no other value.
    `single`: it answers with one row, not with a list. `text`: with a text, which is the row. `each`: where each row of
    the list is found in full, for a list that says too little. `version`: the column that every change makes another.
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
        """The columns that stand in its path, in their order there."""
        return find_path_parameters(self.path)

    @property
    def has_scalar_rows(self) -> bool:
        """Whether a row is a text or a number by itself, and no object."""
        return not any(held.at for name, held in self.columns.items() if name not in self.path_columns)


def find_path_parameters(path: str) -> tuple[str, ...]:
    return tuple(PATH_PARAMETER.findall(path))


def build_rest_capabilities(collection: RestCollection) -> Capabilities:
    """A limit is always kept: what comes over it is cut. An order is, where no read needs more than one call."""
    return Capabilities(
        columns={name: _build_rest_column(collection, name, held) for name, held in collection.columns.items()},
        max_keys=_compute_max_keys(collection),
        key_columns=_build_key_columns(collection),
        required_columns=collection.path_columns,
        limit=True,
    )


def _build_rest_column(collection: RestCollection, name: str, column: JsonColumn) -> Column:
    orders = collection.order is not None and name in collection.order.columns
    return Column(type=column.kind, filters=frozenset({Op.EQ} if name in collection.filters else ()), sortable=orders)


def _build_key_columns(collection: RestCollection) -> frozenset[tuple[str, ...]]:
    alone = {collection.path_columns} if collection.path_columns else set()
    return frozenset(alone | {(*collection.path_columns, name) for name in collection.keys})


def _compute_max_keys(collection: RestCollection) -> int:
    if not collection.keys:
        return MAX_KEYS_PER_SCAN if collection.path_columns else 0
    return MAX_KEYS_PER_SCAN if collection.order is None else min(each.most for each in collection.keys.values())


def build_rest_write_capabilities(collection: RestCollection) -> WriteCapabilities | None:
    """What may be changed, None where nothing is declared. A new row takes what stands in its path, too."""
    if not collection.writes:
        return None
    return WriteCapabilities(
        settable_columns={
            verb: frozenset(
                {*each.columns, *each.only, *(find_path_parameters(each.path) if verb is ChangeKind.CREATE else ())}
            )
            for verb, each in collection.writes.items()
        },
        version_column=collection.version or None,
    )


SettingsType = TypeVar("SettingsType")

SENDABLE_TYPES = frozenset({ColumnType.TEXT, ColumnType.INTEGER, ColumnType.BOOLEAN, ColumnType.DATE})
"""Kinds whose values are written in one way only, so that they can be keys and filters."""


def parse_dataclass_setting(
    settings_type: type[SettingsType], settings: Any, setting: str, readers: Mapping[str, Callable[[Any, str], Any]]
) -> SettingsType:
    """A frozen dataclass of a table: each field by its reader."""
    known = {each.name: each for each in fields(settings_type)}  # type: ignore[arg-type]
    for name in parse_table_setting(settings, setting):
        if name not in known:
            raise ValueError(f"there is no setting `{setting}.{name}`, known are " + ", ".join(sorted(readers)))
    for name, each in known.items():
        if name not in settings and each.default is MISSING and each.default_factory is MISSING:
            raise ValueError(f"`{setting}.{name}` is missing")
    return settings_type(**{name: readers[name](value, f"{setting}.{name}") for name, value in settings.items()})


def parse_table_setting(value: Any, setting: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"`{setting}` must be a section")
    return value


def parse_text_setting(value: Any, setting: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"`{setting}` must be text")
    return value


def parse_text_list_setting(value: Any, setting: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"`{setting}` must be a list of texts")
    return tuple(value)


def parse_count_setting(value: Any, setting: str) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"`{setting}` must be a whole number, not below 0")
    return value


def parse_boolean_setting(value: Any, setting: str) -> bool:
    if type(value) is not bool:
        raise ValueError(f"`{setting}` must be true or false")
    return value


def parse_json_path_setting(value: Any, setting: str) -> JsonPath:
    """`data.items` as its steps; an empty text is no step."""
    return tuple(step for step in parse_text_setting(value, setting).split(".") if step)


def build_table_reader(read_value: Callable[[Any, str], Any]) -> Callable[[Any, str], Mapping[str, Any]]:
    def reading(value: Any, where: str) -> Mapping[str, Any]:
        return {name: read_value(one, f"{where}.{name}") for name, one in parse_table_setting(value, where).items()}

    return reading


def build_dataclass_reader(settings_type: type[Any], **readers: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    return lambda value, where: parse_dataclass_setting(settings_type, value, where, readers)


def check_url_path(path: str, setting: str) -> None:
    if not path.startswith("/") or "?" in path or "#" in path or ".." in path.split("/"):
        raise ValueError(f"`{setting}` must begin with `/` and hold no `?`, `#` or `..`")


WRITE_METHODS = ("POST", "PUT", "PATCH", "DELETE")

DECLARABLE_ERROR_CODES = (
    ErrorCode.NOT_FOUND,
    ErrorCode.ALREADY_EXISTS,
    ErrorCode.VERSION_CONFLICT,
    ErrorCode.BAD_USER_INPUT,
)
"""What a status may be declared to mean."""

HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")

ID_PLACEHOLDER = "{id}"


def parse_writes_setting(value: Any, setting: str) -> Mapping[ChangeKind, WriteOperation]:
    found = {}
    for name, each in parse_table_setting(value, setting).items():
        if name not in list(ChangeKind):
            raise ValueError(f"there is no setting `{setting}.{name}`, known are " + ", ".join(ChangeKind))
        found[ChangeKind(name)] = parse_dataclass_setting(WriteOperation, each, f"{setting}.{name}", WRITE_READERS)
    return found


def parse_method_setting(value: Any, setting: str) -> str:
    if value not in WRITE_METHODS:
        raise ValueError(f"`{setting}` must be one of " + ", ".join(f"`{each}`" for each in WRITE_METHODS))
    return str(value)


def parse_header_name_setting(value: Any, setting: str) -> str:
    if not HEADER_NAME.fullmatch(parse_text_setting(value, setting)):
        raise ValueError(f"`{setting}` must be the name of a header")
    return parse_text_setting(value, setting)


def parse_json_object_setting(value: Any, setting: str) -> Mapping[str, Any]:
    try:
        orjson.dumps(value)
    except TypeError:
        raise ValueError(f"`{setting}` must be what JSON can say") from None
    return parse_table_setting(value, setting)


def parse_success_statuses_setting(value: Any, setting: str) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or not all(type(each) is int and 200 <= each < 300 for each in value):
        raise ValueError(f"`{setting}` must be a list of HTTP statuses that begin with 2")
    return tuple(value)


def parse_error_statuses_setting(value: Any, setting: str) -> Mapping[int, ErrorCode]:
    found = {}
    for status, code in parse_table_setting(value, setting).items():
        if not re.fullmatch(r"4\d\d", str(status)) or code not in DECLARABLE_ERROR_CODES:
            raise ValueError(
                f"`{setting}` names for an HTTP status that begins with 4 one of " + ", ".join(DECLARABLE_ERROR_CODES)
            )
        found[int(status)] = ErrorCode(code)
    return found


def parse_request_field_setting(value: Any, setting: str) -> RequestField:
    """A text is where it stands."""
    written = {"at": value} if isinstance(value, str) else parse_table_setting(value, setting)
    found: RequestField = parse_dataclass_setting(
        RequestField,
        written,
        setting,
        {"at": parse_json_path_setting, "list": parse_boolean_setting, "number": parse_boolean_setting},
    )
    if not found.at:
        raise ValueError(f"`{setting}` must say where the column stands in what is sent")
    return found


WRITE_READERS: Mapping[str, Any] = {
    "method": parse_method_setting,
    "path": parse_text_setting,
    "columns": build_table_reader(parse_request_field_setting),
    "fixed": parse_json_object_setting,
    "only": parse_json_object_setting,
    "id": parse_text_setting,
    "mark": parse_text_setting,
    "by": parse_text_list_setting,
    "id_header": parse_header_name_setting,
    "version_header": parse_header_name_setting,
    "rows": parse_json_path_setting,
    "answers": parse_boolean_setting,
    "statuses": parse_success_statuses_setting,
    "refusals": parse_error_statuses_setting,
}


def check_writes(collection: RestCollection, setting: str) -> None:
    """Raises ValueError where a change could not be told, or not be found again."""
    if collection.version and (
        collection.version not in collection.columns
        or collection.columns[collection.version].kind not in VERSION_COLUMN_TYPES
    ):
        raise ValueError(f"`{setting}.version` names a column of text or whole numbers")
    for verb, each in collection.writes.items():
        here = f"{setting}.writes.{verb}"
        check_url_path(each.path, f"{here}.path")
        _check_write_columns(collection, each, here)
        _check_change_id_column(collection, each, here)
        if verb is not ChangeKind.CREATE and not collection.keys:
            raise ValueError(f"`{setting}` has no `keys`: a row that is changed is found by one")
        if (
            verb is ChangeKind.CREATE
            and not each.id
            and not find_named_key(collection, (*each.columns, *find_path_parameters(each.path)))
        ):
            raise ValueError(f"`{here}.id` is missing: the column by which a change is found again")


VERSION_COLUMN_TYPES = frozenset({ColumnType.TEXT, ColumnType.INTEGER})


def find_named_key(collection: RestCollection, columns: tuple[str, ...]) -> str | None:
    """The key that columns name together with those of the path."""
    return next((key for key in collection.keys if {*collection.path_columns, key} <= set(columns)), None)


def _check_write_columns(collection: RestCollection, operation: WriteOperation, setting: str) -> None:
    for name in (
        *operation.columns,
        *operation.only,
        *operation.by,
        *find_path_parameters(operation.path),
        *([operation.id] if operation.id else []),
    ):
        if name not in collection.columns:
            raise ValueError(f"`{setting}` names the column `{name}`, which the collection does not have")
    for name in find_path_parameters(operation.path):
        if collection.columns[name].kind not in SENDABLE_TYPES:
            raise ValueError(f"`{setting}.path` cannot hold `{name}`: take text, integer, boolean or date")
    for name in operation.by:
        if name not in collection.filters:
            raise ValueError(f"`{setting}.by` names `{name}`, which is no filter")


def _check_change_id_column(collection: RestCollection, operation: WriteOperation, setting: str) -> None:
    if operation.mark.count(ID_PLACEHOLDER) != 1:
        raise ValueError(f"`{setting}.mark` holds `{ID_PLACEHOLDER}` once")
    if operation.id and collection.columns[operation.id].kind is not ColumnType.TEXT:
        raise ValueError(f"`{setting}.id` names a column of text")


def parse_rest_collections(settings: Mapping[str, Any]) -> dict[str, RestCollection]:
    """By name; at least one."""
    if not settings:
        raise ValueError("declare at least one collection, as `collections.users.path`")
    return {
        name: parse_rest_collection(name, parse_table_setting(each, f"collections.{name}"))
        for name, each in settings.items()
    }


def load_described_collections(path: Path) -> Mapping[str, Any]:
    """The collections of a file that says nothing else."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ValueError(f"`described` names `{path.name}`, which is not there or is no TOML") from None
    if set(found) - {"collections"}:
        raise ValueError(f"`{path.name}` may hold `collections` and nothing else")
    return parse_table_setting(found.get("collections", {}), "collections")


def parse_rest_collection(name: str, settings: Mapping[str, Any]) -> RestCollection:
    where = f"collections.{name}"
    found: RestCollection = parse_dataclass_setting(
        RestCollection, {**settings, "name": name}, where, COLLECTION_READERS
    )
    for rule in (
        _check_paths,
        _check_columns,
        _check_path_columns,
        _check_single,
        _check_each,
        _check_keys,
        _check_filters,
        _check_order,
        _check_paging,
        check_writes,
    ):
        rule(found, where)
    return found


def parse_column_type_setting(value: Any, setting: str) -> ColumnType:
    if value not in list(ColumnType):
        raise ValueError(f"`{setting}` must be one of " + ", ".join(f"`{each}`" for each in ColumnType))
    return ColumnType(value)


def parse_paging_style_setting(value: Any, setting: str) -> PagingStyle:
    if value not in list(PagingStyle):
        raise ValueError(f"`{setting}` must be one of " + ", ".join(f"`{each}`" for each in PagingStyle))
    return PagingStyle(value)


def parse_json_column_setting(value: Any, setting: str) -> JsonColumn:
    """A kind alone means that the column lies where its name says."""
    written = {"kind": value} if isinstance(value, str) else parse_table_setting(value, setting)
    return parse_dataclass_setting(
        JsonColumn,
        {"at": setting.rpartition(".")[2], **written},
        setting,
        {"kind": parse_column_type_setting, "at": parse_json_path_setting},
    )


COLLECTION_READERS: Mapping[str, Callable[[Any, str], Any]] = {
    "name": parse_text_setting,
    "path": parse_text_setting,
    "rows": parse_json_path_setting,
    "columns": build_table_reader(parse_json_column_setting),
    "keys": build_table_reader(
        build_dataclass_reader(
            RestKeyLookup,
            parameter=parse_text_setting,
            path=parse_text_setting,
            most=parse_count_setting,
            separator=parse_text_setting,
            rows=parse_json_path_setting,
        )
    ),
    "filters": build_table_reader(parse_text_setting),
    "order": build_dataclass_reader(
        OrderParameter,
        parameter=parse_text_setting,
        columns=parse_text_list_setting,
        ascending=parse_text_setting,
        descending=parse_text_setting,
        separator=parse_text_setting,
    ),
    "limit": build_dataclass_reader(LimitParameter, parameter=parse_text_setting, most=parse_count_setting),
    "paging": build_dataclass_reader(
        RestPaging,
        by=parse_paging_style_setting,
        parameter=parse_text_setting,
        next=parse_json_path_setting,
        first=parse_count_setting,
        size_parameter=parse_text_setting,
        size=parse_count_setting,
    ),
    "single": parse_boolean_setting,
    "each": parse_text_setting,
    "text": parse_boolean_setting,
    "writes": parse_writes_setting,
    "version": parse_text_setting,
}


def _check_paths(collection: RestCollection, setting: str) -> None:
    paths = (collection.path, collection.each, *(by.path for by in collection.keys.values()))
    for each in (one for one in paths if one or one is collection.path):
        check_url_path(each, f"{setting}.path")


def _check_columns(collection: RestCollection, setting: str) -> None:
    if not collection.columns:
        raise ValueError(f"`{setting}.columns` is missing")
    ordered = collection.order.columns if collection.order else ()
    for name in (*collection.keys, *collection.filters, *ordered):
        if name not in collection.columns:
            raise ValueError(f"`{setting}` names the column `{name}`, which it does not have")


def _check_path_columns(collection: RestCollection, setting: str) -> None:
    for name in collection.path_columns:
        if name not in collection.columns:
            raise ValueError(f"`{setting}.path` names the column `{name}`, which it does not have")
        if collection.path_columns.count(name) > 1 or collection.columns[name].kind not in SENDABLE_TYPES:
            raise ValueError(f"`{setting}.path` cannot hold `{name}`: take text, integer, boolean or date, once")
        if name in collection.keys or name in collection.filters:
            raise ValueError(f"`{setting}` has `{name}` in its path, so it is neither a key nor a filter besides")
    if collection.path_columns and collection.order is not None:
        raise ValueError(f"`{setting}` has an order and a path with columns: rows of several calls have no order")


def _check_single(collection: RestCollection, setting: str) -> None:
    if collection.text and not (collection.single and collection.has_scalar_rows):
        raise ValueError(f"`{setting}` is a text: it is `single`, and of its columns one lies at an empty `at`")
    if collection.single and (collection.paging or collection.limit or collection.filters or collection.order):
        raise ValueError(f"`{setting}` is `single`: it has no pages, no limit, no filters and no order")


def _check_each(collection: RestCollection, setting: str) -> None:
    if not collection.each:
        return
    beside = set(find_path_parameters(collection.each)) - set(collection.path_columns)
    if len(beside) != 1 or not beside <= set(collection.columns) or collection.single:
        raise ValueError(f"`{setting}.each` holds one column of the rows of a list, as `/users/{{login}}`")


def _check_keys(collection: RestCollection, setting: str) -> None:
    for name, each in collection.keys.items():
        if (each.parameter and each.path) or not (each.parameter or each.path or collection.path_columns):
            raise ValueError(f"`{setting}.keys.{name}` takes either `parameter` or `path`")
        if each.path and (
            sorted(find_path_parameters(each.path)) != sorted((*collection.path_columns, name)) or each.most != 1
        ):
            raise ValueError(f"`{setting}.keys.{name}.path` holds `{{{name}}}` once, for one key a call")
        if each.most < 1:
            raise ValueError(f"`{setting}.keys.{name}.most` must be at least 1")


def _check_filters(collection: RestCollection, setting: str) -> None:
    for name in (*collection.keys, *collection.filters):
        if collection.columns[name].kind not in SENDABLE_TYPES:
            raise ValueError(
                f"`{setting}` cannot send `{name}`: only text, integer, boolean and date are written one way"
            )


def _check_order(collection: RestCollection, setting: str) -> None:
    if collection.order is None:
        return
    if any(each.path for each in collection.keys.values()):
        raise ValueError(
            f"`{setting}` has an order and a key's path: rows of several calls have no order, take one away"
        )
    if len(collection.order.columns) > 1 and not collection.order.separator:
        raise ValueError(f"`{setting}.order` of several columns needs a `separator`")


def _check_paging(collection: RestCollection, setting: str) -> None:
    paging = collection.paging
    if paging is None:
        return
    if collection.limit is not None:
        raise ValueError(f"`{setting}` has a limit and pages: say the size of a page instead")
    if (paging.by is PagingStyle.CURSOR) != bool(paging.next):
        raise ValueError(f"`{setting}.paging.next` says where a cursor lies, and belongs to `cursor` alone")
    if (paging.by is PagingStyle.LINK) == bool(paging.parameter):
        raise ValueError(f"`{setting}.paging.parameter` is needed, but for `link`")
    if paging.size < 1:
        raise ValueError(f"`{setting}.paging.size` must be at least 1")
