"""Parse and check the collections that the settings of a `rest` source declare."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onedoor.connectors.json_rows import SENDABLE_TYPES, parse_json_column_setting, parse_json_path_setting
from onedoor.connectors.rest.model import (
    LimitParameter,
    OrderParameter,
    PagingStyle,
    RequestField,
    RestCollection,
    RestKeyLookup,
    RestPaging,
    WriteOperation,
    find_path_parameters,
    is_url_path,
)
from onedoor.connectors.setting_readers import (
    SettingReader,
    build_dataclass_reader,
    build_enum_reader,
    build_table_reader,
    parse_boolean_setting,
    parse_count_setting,
    parse_dataclass_setting,
    parse_json_object_setting,
    parse_table_setting,
    parse_text_list_setting,
    parse_text_setting,
)
from onedoor.errors import ErrorCode
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import ChangeKind

WRITE_METHODS = ("POST", "PUT", "PATCH", "DELETE")

DECLARABLE_ERROR_CODES = (
    ErrorCode.NOT_FOUND,
    ErrorCode.ALREADY_EXISTS,
    ErrorCode.VERSION_CONFLICT,
    ErrorCode.BAD_USER_INPUT,
)
"""What a status may be declared to mean."""

VERSION_COLUMN_TYPES = frozenset({ColumnType.TEXT, ColumnType.INTEGER})

HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")

ID_PLACEHOLDER = "{id}"


def parse_rest_collections(settings: Mapping[str, Any]) -> dict[str, RestCollection]:
    """Parse the section `collections`. Raises ValueError, which names the setting that is wrong."""
    if not settings:
        raise ValueError("declare at least one collection, as `collections.users.path`")
    return {
        name: _parse_collection(name, parse_table_setting(section, f"collections.{name}"))
        for name, section in settings.items()
    }


def load_described_collections(path: Path) -> Mapping[str, Any]:
    """Load the section `collections` of a TOML file that holds nothing else."""
    try:
        sections = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ValueError(f"`described` names `{path.name}`, which is not there or is no TOML") from None
    if set(sections) - {"collections"}:
        raise ValueError(f"`{path.name}` may hold `collections` and nothing else")
    return parse_table_setting(sections.get("collections", {}), "collections")


def _parse_collection(name: str, section: Mapping[str, Any]) -> RestCollection:
    setting = f"collections.{name}"
    collection: RestCollection = parse_dataclass_setting(
        RestCollection, {**section, "name": name}, setting, COLLECTION_READERS
    )
    for check in COLLECTION_CHECKS:
        check(collection, setting)
    return collection


def _parse_writes_setting(value: Any, setting: str) -> Mapping[ChangeKind, WriteOperation]:
    operations = {}
    for name, section in parse_table_setting(value, setting).items():
        if name not in list(ChangeKind):
            raise ValueError(f"there is no setting `{setting}.{name}`, known are " + ", ".join(ChangeKind))
        operations[ChangeKind(name)] = parse_dataclass_setting(
            WriteOperation, section, f"{setting}.{name}", WRITE_READERS
        )
    return operations


def _parse_method_setting(value: Any, setting: str) -> str:
    if value not in WRITE_METHODS:
        raise ValueError(f"`{setting}` must be one of " + ", ".join(f"`{method}`" for method in WRITE_METHODS))
    return str(value)


def _parse_header_name_setting(value: Any, setting: str) -> str:
    if not HEADER_NAME.fullmatch(parse_text_setting(value, setting)):
        raise ValueError(f"`{setting}` must be the name of a header")
    return parse_text_setting(value, setting)


def _parse_success_statuses_setting(value: Any, setting: str) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or not all(type(status) is int and 200 <= status < 300 for status in value):
        raise ValueError(f"`{setting}` must be a list of HTTP statuses that begin with 2")
    return tuple(value)


def _parse_error_statuses_setting(value: Any, setting: str) -> Mapping[int, ErrorCode]:
    codes = {}
    for status, code in parse_table_setting(value, setting).items():
        if not re.fullmatch(r"4\d\d", str(status)) or code not in DECLARABLE_ERROR_CODES:
            raise ValueError(
                f"`{setting}` names for an HTTP status that begins with 4 one of " + ", ".join(DECLARABLE_ERROR_CODES)
            )
        codes[int(status)] = ErrorCode(code)
    return codes


def _parse_request_field_setting(value: Any, setting: str) -> RequestField:
    """Read the place of a column in a body; a text alone is the path to it."""
    section = {"at": value} if isinstance(value, str) else parse_table_setting(value, setting)
    field: RequestField = parse_dataclass_setting(RequestField, section, setting, REQUEST_FIELD_READERS)
    if not field.at:
        raise ValueError(f"`{setting}` must say where the column stands in what is sent")
    return field


REQUEST_FIELD_READERS: Mapping[str, SettingReader] = {
    "at": parse_json_path_setting,
    "list": parse_boolean_setting,
    "number": parse_boolean_setting,
}

WRITE_READERS: Mapping[str, SettingReader] = {
    "method": _parse_method_setting,
    "path": parse_text_setting,
    "columns": build_table_reader(_parse_request_field_setting),
    "fixed": parse_json_object_setting,
    "only": parse_json_object_setting,
    "id": parse_text_setting,
    "mark": parse_text_setting,
    "by": parse_text_list_setting,
    "id_header": _parse_header_name_setting,
    "version_header": _parse_header_name_setting,
    "rows": parse_json_path_setting,
    "answers": parse_boolean_setting,
    "statuses": _parse_success_statuses_setting,
    "refusals": _parse_error_statuses_setting,
}

COLLECTION_READERS: Mapping[str, SettingReader] = {
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
        by=build_enum_reader(PagingStyle),
        parameter=parse_text_setting,
        next=parse_json_path_setting,
        more=parse_json_path_setting,
        last=parse_json_path_setting,
        first=parse_count_setting,
        size_parameter=parse_text_setting,
        size=parse_count_setting,
    ),
    "single": parse_boolean_setting,
    "each": parse_text_setting,
    "text": parse_boolean_setting,
    "writes": _parse_writes_setting,
    "version": parse_text_setting,
}


def _check_paths(collection: RestCollection, setting: str) -> None:
    optional = (collection.each, *(lookup.path for lookup in collection.keys.values()))
    for path in (collection.path, *filter(None, optional)):
        _check_url_path(path, f"{setting}.path")


def _check_url_path(path: str, setting: str) -> None:
    if not is_url_path(path):
        raise ValueError(f"`{setting}` must begin with `/` and hold no `?`, `#` or `..`")


def _check_columns(collection: RestCollection, setting: str) -> None:
    if not collection.columns:
        raise ValueError(f"`{setting}.columns` is missing")
    order_columns = collection.order.columns if collection.order else ()
    for name in (*collection.keys, *collection.filters, *order_columns):
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
    row_columns = set(find_path_parameters(collection.each)) - set(collection.path_columns)
    if len(row_columns) != 1 or not row_columns <= set(collection.columns) or collection.single:
        raise ValueError(f"`{setting}.each` holds one column of the rows of a list, as `/users/{{login}}`")


def _check_keys(collection: RestCollection, setting: str) -> None:
    for name, lookup in collection.keys.items():
        if (lookup.parameter and lookup.path) or not (lookup.parameter or lookup.path or collection.path_columns):
            raise ValueError(f"`{setting}.keys.{name}` takes either `parameter` or `path`")
        if lookup.path and (
            sorted(find_path_parameters(lookup.path)) != sorted((*collection.path_columns, name)) or lookup.most != 1
        ):
            raise ValueError(f"`{setting}.keys.{name}.path` holds `{{{name}}}` once, for one key a call")
        if lookup.most < 1:
            raise ValueError(f"`{setting}.keys.{name}.most` must be at least 1")


def _check_sendable_columns(collection: RestCollection, setting: str) -> None:
    for name in (*collection.keys, *collection.filters):
        if collection.columns[name].kind not in SENDABLE_TYPES:
            raise ValueError(
                f"`{setting}` cannot send `{name}`: only text, integer, boolean and date are written one way"
            )


def _check_order(collection: RestCollection, setting: str) -> None:
    if collection.order is None:
        return
    if any(lookup.path for lookup in collection.keys.values()):
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
    if paging.by is PagingStyle.CURSOR and not paging.next:
        raise ValueError(f"`{setting}.paging.next` is missing: where a response has the next cursor")
    if paging.next and paging.by not in (PagingStyle.CURSOR, PagingStyle.LINK):
        raise ValueError(f"`{setting}.paging.next` belongs to `cursor` and `link`, whose responses name the next page")
    if paging.more and paging.last:
        raise ValueError(f"`{setting}.paging` takes `more` or `last`: both say whether another page follows")
    if (paging.by is PagingStyle.LINK) == bool(paging.parameter):
        raise ValueError(f"`{setting}.paging.parameter` is needed, but for `link`")
    if paging.size < 1:
        raise ValueError(f"`{setting}.paging.size` must be at least 1")


def _check_version(collection: RestCollection, setting: str) -> None:
    if not collection.version:
        return
    column = collection.columns.get(collection.version)
    if column is None or column.kind not in VERSION_COLUMN_TYPES:
        raise ValueError(f"`{setting}.version` names a column of text or whole numbers")


def _check_writes(collection: RestCollection, setting: str) -> None:
    """Check that each change can be sent, and can be found again."""
    for kind, operation in collection.writes.items():
        operation_setting = f"{setting}.writes.{kind}"
        _check_url_path(operation.path, f"{operation_setting}.path")
        _check_write_columns(collection, operation, operation_setting)
        _check_change_id_column(collection, operation, operation_setting)
        if kind is not ChangeKind.CREATE:
            if not collection.keys:
                raise ValueError(f"`{setting}` has no `keys`: a row that is changed is found by one")
        elif not operation.id and not _names_a_key(collection, operation):
            raise ValueError(f"`{operation_setting}.id` is missing: the column by which a change is found again")


def _names_a_key(collection: RestCollection, operation: WriteOperation) -> bool:
    """Tell whether a new row has a key among the columns that it is given."""
    columns = {*operation.columns, *find_path_parameters(operation.path)}
    return any({*collection.path_columns, key} <= columns for key in collection.keys)


def _check_write_columns(collection: RestCollection, operation: WriteOperation, setting: str) -> None:
    path_columns = find_path_parameters(operation.path)
    id_columns = (operation.id,) if operation.id else ()
    for name in (*operation.columns, *operation.only, *operation.by, *path_columns, *id_columns):
        if name not in collection.columns:
            raise ValueError(f"`{setting}` names the column `{name}`, which the collection does not have")
    for name in path_columns:
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


COLLECTION_CHECKS = (
    _check_paths,
    _check_columns,
    _check_path_columns,
    _check_single,
    _check_each,
    _check_keys,
    _check_sendable_columns,
    _check_order,
    _check_paging,
    _check_version,
    _check_writes,
)
"""In this order: later checks rely on earlier ones."""
