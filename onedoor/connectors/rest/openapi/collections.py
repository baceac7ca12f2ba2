"""Operations -> collections, tables, TOML."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from yarl import URL

from onedoor.codegen.models import (
    ApiReadOptions,
    DescribedColumn,
    DescribedReference,
    DescribedTable,
    SourceDescription,
)
from onedoor.codegen.naming import singularize_last, singularize_noun, split_words, to_snake_case
from onedoor.connectors.http_client import PublicAddressResolver, check_base_url
from onedoor.connectors.rest.client import OK, map_rest_error, map_rest_status, read_body
from onedoor.connectors.rest.config import SENDABLE_TYPES
from onedoor.connectors.rest.openapi.document import OpenApiDocument, parse_openapi_document
from onedoor.connectors.rest.openapi.operations import (
    OpenApiOperation,
    OpenApiParameter,
    count_operations,
    find_paging,
    find_read_operations,
    is_selected,
)
from onedoor.connectors.rest.openapi.rows import (
    OpenApiColumn,
    ResponseRows,
    SkippedOperation,
    clean_comment,
    find_openapi_columns,
    find_response_rows,
    map_column_type,
)
from onedoor.connectors.rest.openapi.schemas import SCALAR_TYPES
from onedoor.errors import ConfigurationError, ConnectorError
from onedoor.spi.capabilities import ColumnType

KEY_SUFFIXES = frozenset(
    {"id", "key", "uuid", "guid", "sha", "hash", "email", "login", "slug", "name", "number", "username"}
)
"""How a column ends that links may look for."""

ID_COLUMNS = ("id", "uuid", "guid", "key")

MAX_KEYS_PER_REQUEST = 50


def find_key_column(columns: Sequence[OpenApiColumn]) -> str:
    """What is called an id and is always there identifies a row."""
    names = {
        each.column.name
        for each in columns
        if not each.column.nullable and each.column.kind in SENDABLE_TYPES and each.path
    }
    return next((each for each in ID_COLUMNS if each in names), "")


def match_parameter_column(
    parameter: OpenApiParameter, operation: OpenApiOperation, columns: Sequence[OpenApiColumn]
) -> str:
    """The column that the last parameter of a row's path asks for."""
    kinds = {each.column.name: each.column.kind for each in columns}
    own, noun = (
        split_words(parameter.name),
        singularize_last(split_words(operation.static_segments[-1]) if operation.static_segments else ("row",)),
    )
    tried = [to_snake_case(own)]
    tried += [
        to_snake_case(own[start:])
        for start in range(1, len(own))
        if set(own[:start]) <= {*noun, *_find_path_nouns(operation)}
    ]
    tried += ["id"] if own[-1] == "id" else []
    return next((each for each in tried if kinds.get(each) is map_column_type(parameter.schema)), "")


def _find_path_nouns(operation: OpenApiOperation) -> set[str]:
    return {singularize_noun(word) for step in operation.static_segments[-2:] for word in split_words(step)}


def mark_not_null(columns: Sequence[OpenApiColumn], key: str) -> tuple[OpenApiColumn, ...]:
    return tuple(
        replace(each, column=replace(each.column, nullable=False)) if each.column.name == key else each
        for each in columns
    )


def find_filter_parameters(operation: OpenApiOperation, columns: Sequence[OpenApiColumn]) -> dict[str, str]:
    """Parameters that have a column's name and kind ask for equality; whether that is so, nothing can say but a try."""
    kinds = {each.column.name: each.column.kind for each in columns if each.path}
    found = {}
    for each in operation.query_parameters:
        name = to_snake_case(split_words(each.name))
        if (
            each.schema.type in SCALAR_TYPES
            and kinds.get(name) is map_column_type(each.schema)
            and kinds[name] in SENDABLE_TYPES
        ):
            found[name] = each.name
    return found


def find_key_parameters(
    operation: OpenApiOperation, columns: Sequence[OpenApiColumn], excluded: Mapping[str, Any]
) -> dict[str, Mapping[str, Any]]:
    """Parameters that take several values of a column, or one of a column that links may look for."""
    kinds = {each.column.name: each.column.kind for each in columns if each.path}
    found: dict[str, Mapping[str, Any]] = {}
    for each in operation.query_parameters:
        own = split_words(each.name)
        name = next(
            (
                one
                for one in (to_snake_case(own), to_snake_case((*own[:-1], singularize_noun(own[-1]))))
                if one in kinds
            ),
            "",
        )
        if not name or name in excluded or kinds[name] not in SENDABLE_TYPES:
            continue
        if each.schema.type == "array":
            most = min(each.schema.maximum or MAX_KEYS_PER_REQUEST, MAX_KEYS_PER_REQUEST)
            found[name] = {"parameter": each.name, "most": most, **({"separator": ","} if each.comma_separated else {})}
        elif own[-1] in KEY_SUFFIXES and map_column_type(each.schema) is kinds[name]:
            found[name] = {"parameter": each.name}
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PathColumn:
    """A column that stands in the path, and the parameter it stands there for."""

    column: DescribedColumn
    parameter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenApiCollection:
    """A collection. `shown` are the columns of its rows, without those given; `key` is the column its rows have alone.

    `shape` is that of its path, and `item` that of the path of one of its rows.
    """

    name: str
    operation: OpenApiOperation
    rows_path: str
    columns: tuple[OpenApiColumn, ...]
    path_columns: tuple[PathColumn, ...]
    single: bool = False
    key: str = ""
    keys: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    filters: Mapping[str, str] = field(default_factory=dict)
    paging: Mapping[str, Any] | None = None
    comment: str = ""
    path_shape: tuple[str, ...]
    item_shape: tuple[str, ...] = ()


def build_openapi_collections(
    document: OpenApiDocument, operations: Iterable[OpenApiOperation]
) -> tuple[list[OpenApiCollection], list[SkippedOperation]]:
    """Every operation is in the one or the other, or is the path of a row of the one."""
    answers, left = find_response_rows(document, operations)
    lists = {each.operation.path_shape: each for each in answers if not each.single}
    folded: dict[tuple[str, ...], ResponseRows] = {}
    found: list[OpenApiCollection] = []
    items = {
        each.operation.path_shape: each for each in answers if each.single and each.operation.path_shape[-1:] == ("",)
    }
    for each in lists.values():
        made = _build_list_collection(document, each, items.get((*each.operation.path_shape, "")))
        if made.item_shape:
            folded[made.item_shape] = items[made.item_shape]
        found.append(made)
    for each in answers:
        if each.single and each.operation.path_shape not in folded:
            found.append(_build_single_collection(document, each))
    empty = [each for each in found if not each.columns and not each.operation.returns_text]
    left += [
        SkippedOperation(path=each.operation.original_path, reason="its rows have no plain values") for each in empty
    ]
    return _assign_names([each for each in found if each not in empty]), left


def _build_list_collection(
    document: OpenApiDocument, response_rows: ResponseRows, item: ResponseRows | None
) -> OpenApiCollection:
    """A list; where one of its rows has a path of its own, that is how it is found by its key."""
    shown = find_openapi_columns(document, response_rows.row_schema)
    given = _build_path_columns(response_rows.operation, shown, avoid_column_names=True)
    key = find_key_column(shown)
    keys: dict[str, Mapping[str, Any]] = {}
    shape: tuple[str, ...] = ()
    if item is not None and (
        column := match_parameter_column(item.operation.path_parameters[-1], response_rows.operation, shown)
    ):
        theirs = {each.column.name: each for each in find_openapi_columns(document, item.row_schema)}
        both = tuple(each for each in shown if each.column.name in theirs)
        if column in theirs and len(both) * 2 >= len(shown):
            shown, key, shape = mark_not_null(both, column), column, item.operation.path_shape
            path = rename_path_parameters(
                item.operation.path, (*given, _build_key_path_column(item.operation.path_parameters[-1], column))
            )
            keys = {column: {"path": path, **({"rows": item.path} if item.path else {})}}
    if key and key not in keys and given:
        keys = {key: {}}
    assert response_rows.operation.response is not None
    return OpenApiCollection(
        name=".".join(response_rows.operation.static_segments) or "root", operation=response_rows.operation, rows_path=response_rows.path, columns=shown, path_columns=given, key=key,
        keys={**find_key_parameters(response_rows.operation, shown, keys), **keys}, filters=find_filter_parameters(response_rows.operation, shown),
        paging=find_paging(document, response_rows.operation, response_rows.operation.response), path_shape=response_rows.operation.path_shape, item_shape=shape, comment=response_rows.row_schema.comment,
    )  # fmt: skip


def _build_single_collection(document: OpenApiDocument, response_rows: ResponseRows) -> OpenApiCollection:
    """What answers with one row: found by all that stands in its path, which is what identifies it."""
    shown = find_openapi_columns(document, response_rows.row_schema)
    ends = response_rows.operation.path_shape[-1:] == ("",)
    given = _build_path_columns(response_rows.operation, shown, avoid_column_names=not ends)
    names = {each.column.name for each in given}
    if response_rows.operation.returns_text:
        shown = tuple(replace(each, column=replace(each.column, name="text")) for each in shown)
    return OpenApiCollection(
        name=".".join(response_rows.operation.static_segments) or "root", operation=response_rows.operation, rows_path=response_rows.path, path_columns=given, single=True,
        columns=tuple(each for each in shown if each.column.name not in names), path_shape=response_rows.operation.path_shape,
        item_shape=response_rows.operation.path_shape if given else (), comment=response_rows.row_schema.comment,
    )  # fmt: skip


def _build_path_columns(
    operation: OpenApiOperation, columns: Sequence[OpenApiColumn], *, avoid_column_names: bool
) -> tuple[PathColumn, ...]:
    """`apart`: a parameter is not what a column of the row is, though they have one name."""
    taken = {each.column.name for each in columns} if avoid_column_names else set()
    found = []
    for place, each in enumerate(operation.path_parameters):
        own = split_words(each.name)
        above = (
            (singularize_noun(operation.static_segments[min(place, len(operation.static_segments) - 1)]),)
            if operation.static_segments and len(own) == 1
            else ("given",)
        )
        name = next(
            one
            for one in (
                to_snake_case(own),
                to_snake_case((*above, *own)),
                *(to_snake_case((*own, str(n))) for n in range(2, 1000)),
            )
            if one not in taken
        )
        taken.add(name)
        kind = map_column_type(each.schema)
        large = kind is ColumnType.INTEGER and each.schema.format != "int32"
        column = DescribedColumn(
            name=name, kind=kind, nullable=False, large=large, comment=_shorten_comment(each.comment)
        )
        found.append(PathColumn(column=column, parameter=each.name))
    return tuple(found)


def _build_key_path_column(parameter: OpenApiParameter, column: str) -> PathColumn:
    return PathColumn(
        column=DescribedColumn(name=column, kind=ColumnType.TEXT, nullable=False), parameter=parameter.name
    )


def _shorten_comment(comment: str) -> str:
    line = comment.strip().partition("\n")[0].partition(". ")[0].replace("`", "")
    return line if len(line) < 100 else ""


def rename_path_parameters(path: str, path_columns: Iterable[PathColumn]) -> str:
    """A path with the names of columns for those of parameters."""
    for each in path_columns:
        path = path.replace(f"{{{each.parameter}}}", f"{{ {each.column.name} }}")
    return path.replace("{ ", "{").replace(" }", "}")


def _assign_names(collections: Sequence[OpenApiCollection]) -> list[OpenApiCollection]:
    """No name twice: the shorter path keeps it, another says what it is found by."""
    taken: set[str] = set()
    named = []
    for each in sorted(collections, key=lambda one: (len(one.path_shape), one.single, one.operation.path)):
        name = next(one for one in _generate_names(each) if one not in taken)
        taken.add(name)
        named.append(replace(each, name=name))
    return named


def _generate_names(collection: OpenApiCollection) -> Iterator[str]:
    yield collection.name
    head, _, last = collection.name.rpartition(".")
    dot = f"{head}." if head else ""
    by = [each.column.name for each in collection.path_columns]
    noun = to_snake_case(singularize_last(split_words(last))) if collection.single else last
    if by:
        yield f"{dot}{noun}_by_{by[-1]}"
        yield f"{dot}{noun}_by_{'_'.join(by)}"
    yield from (f"{dot}{last}_{number}" for number in range(2, 10_000))


BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def render_section(name: str, declared: Mapping[str, Any]) -> str:
    """`[collections."repos.runs"]` and a line for each thing it says; columns, keys and filters a line each."""
    return "\n".join([f"[collections.{render_key(name)}]", *_render_lines(declared)]) + "\n"


def _render_lines(declared: Mapping[str, Any]) -> Iterator[str]:
    for name, value in declared.items():
        if name in ("columns", "keys", "filters"):
            yield from (f"{name}.{render_key(each)} = {render_value(one)}" for each, one in value.items())
        else:
            yield f"{name} = {render_value(value)}"


def render_key(name: str) -> str:
    return name if BARE_KEY.fullmatch(name) else render_text(name)


def render_value(value: Any) -> str:
    match value:
        case Mapping():
            parts = ", ".join(f"{render_key(name)} = {render_value(each)}" for name, each in value.items())
            return f"{{ {parts} }}" if parts else "{}"
        case bool():
            return "true" if value else "false"
        case str():
            return render_text(value)
        case _:
            return json.dumps(value)


def render_text(value: str) -> str:
    """JSON's text is one of TOML's, but for a letter that TOML wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def build_openapi_tables(collections: Sequence[OpenApiCollection]) -> tuple[DescribedTable, ...]:
    rows = {each.item_shape: each for each in collections if each.item_shape}
    lists = {each.path_shape: each for each in collections if not each.single}
    return tuple(_build_openapi_table(each, rows, lists) for each in collections)


def _build_openapi_table(
    collection: OpenApiCollection,
    rows: Mapping[tuple[str, ...], OpenApiCollection],
    lists: Mapping[tuple[str, ...], OpenApiCollection],
) -> DescribedTable:
    given = tuple(each.column for each in collection.path_columns)
    key = (*(each.name for each in given), *((collection.key,) if collection.key else ()))
    return DescribedTable(
        name=collection.name,
        columns=(*given, *(each.column for each in collection.columns)),
        key=key if collection.key or collection.single else (),
        references=tuple(_find_path_references(collection, rows, lists)),
        comment=clean_comment(collection.comment),
        needs=tuple(each.name for each in given),
        declared=render_section(collection.name, build_collection_settings(collection)),
    )


def _find_path_references(
    collection: OpenApiCollection,
    rows: Mapping[tuple[str, ...], OpenApiCollection],
    lists: Mapping[tuple[str, ...], OpenApiCollection],
) -> Iterator[DescribedReference]:
    """To the row that the longest part of the path is the path of."""
    for end in range(len(collection.path_shape) - 1, 0, -1):
        part = collection.path_shape[:end]
        if part[-1] != "" or part == collection.item_shape:
            continue
        to = rows.get(part) or lists.get(part[:-1])
        columns = tuple(each.column.name for each in collection.path_columns)[: part.count("")]
        if to is None or to is collection:
            continue
        there = (*(each.column.name for each in to.path_columns), *((to.key,) if to.key else ()))
        if len(there) == len(columns) and _have_same_column_types(collection, columns, to, there):
            yield DescribedReference(columns=columns, to=to.name, there=there)
            return


def _have_same_column_types(
    collection: OpenApiCollection, columns: Sequence[str], to: OpenApiCollection, there: Sequence[str]
) -> bool:
    ours, theirs = _map_types_by_column(collection), _map_types_by_column(to)
    return all(ours[one] is theirs[other] for one, other in zip(columns, there, strict=True))


def _map_types_by_column(collection: OpenApiCollection) -> dict[str, Any]:
    columns: list[DescribedColumn] = [
        *(each.column for each in collection.path_columns),
        *(each.column for each in collection.columns),
    ]
    return {each.name: each.kind for each in columns}


def build_collection_settings(collection: OpenApiCollection) -> dict[str, Any]:
    """The collection as `[sources.<name>.collections.<collection>]` has it."""
    found: dict[str, Any] = {"path": rename_path_parameters(collection.operation.path, collection.path_columns)}
    if collection.rows_path:
        found["rows"] = collection.rows_path
    if collection.single:
        found["single"] = True
    if collection.operation.returns_text:
        found["text"] = True
    columns: dict[str, Any] = {each.column.name: str(each.column.kind) for each in collection.path_columns}
    for each in collection.columns:
        kind = str(each.column.kind)
        columns[each.column.name] = kind if each.path == each.column.name else {"kind": kind, "at": each.path}
    found["columns"] = columns
    for name, value in (("keys", collection.keys), ("filters", collection.filters), ("paging", collection.paging)):
        if value:
            found[name] = value
    return found


MAX_DOCUMENT_BYTES = 64 * 1024 * 1024

FETCH_TIMEOUT_SECONDS = 30.0

HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


async def describe(location: str, reading: ApiReadOptions) -> SourceDescription:
    """Raises Mistake where it cannot be read, or leads to a host that nobody listed."""
    found = parse_openapi_document(await _load_document(location, reading))
    wanted = [each for each in find_read_operations(found, reading.given) if is_selected(each, reading.only)]
    if not wanted:
        raise ConfigurationError("the description has no operation that reads and is meant: see `--only`")
    made, left = build_openapi_collections(found, wanted)
    return SourceDescription(
        tables=build_openapi_tables(made),
        settings={
            "kind": "rest",
            "base_url": _resolve_base_url(found, location, reading),
            **_find_credential_headers(found, reading),
        },
        notes=(
            f"{count_operations(found)} operations, {len(wanted)} of them read and are meant: {len(made)} collections",
            *_summarize_skipped_operations(left),
        ),
    )


def _summarize_skipped_operations(left: Sequence[SkippedOperation]) -> list[str]:
    return [f"left {count}: {why}" for why, count in Counter(each.reason for each in left).most_common()]


async def _load_document(location: str, reading: ApiReadOptions) -> bytes:
    if urlsplit(location).scheme in ("http", "https"):
        return await _fetch_document(location, reading)
    return _read_document_file(Path(location))


def _read_document_file(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_DOCUMENT_BYTES:
            raise ConfigurationError(f"the description is over the limit of {MAX_DOCUMENT_BYTES} bytes")
        return path.read_bytes()
    except OSError as reason:
        raise ConfigurationError(f"`{path.name}` cannot be read: {reason.strerror}") from None


async def _fetch_document(url: str, reading: ApiReadOptions) -> bytes:
    """Of a host that is listed, at the address that was judged; a redirect is a refusal."""
    check_host_is_listed(url, reading)
    resolver = None if reading.private_addresses else PublicAddressResolver()
    session = ClientSession(
        connector=TCPConnector(resolver=resolver), timeout=ClientTimeout(total=FETCH_TIMEOUT_SECONDS), cookie_jar=DummyCookieJar(),
        auto_decompress=False, headers={"accept-encoding": "gzip"},
    )  # fmt: skip
    try:
        async with session, session.get(URL(url, encoded=True), allow_redirects=False) as response:
            if response.status != OK:
                raise map_rest_status(response.status)
            return await read_body(response, MAX_DOCUMENT_BYTES)
    except ConnectorError as reason:
        raise ConfigurationError(f"the description cannot be read: {reason.reason}") from None
    except Exception as reason:
        raise ConfigurationError(
            f"the description cannot be read: {map_rest_error(reason, FETCH_TIMEOUT_SECONDS).reason}"
        ) from None


def check_host_is_listed(url: str, reading: ApiReadOptions) -> None:
    """Raises Mistake for a host that is not listed, and for one that could be in this network."""
    parts = urlsplit(url)
    try:
        check_base_url(f"{parts.scheme}://{parts.netloc}{parts.path}", private_addresses=reading.private_addresses)
    except ValueError as reason:
        raise ConfigurationError(str(reason).replace("`base_url`", "an address").replace("`private_addresses`", "`--private`")) \
            from None  # fmt: skip
    if parts.hostname not in reading.hosts:
        raise ConfigurationError(
            f"the host `{parts.hostname}` is not listed: add `--host {parts.hostname}` if it is meant"
        )


def _resolve_base_url(document: OpenApiDocument, location: str, reading: ApiReadOptions) -> str:
    """As it was given; or where the description says, which is heard only of a file, or of a host that is listed."""
    if reading.base_url:
        return reading.base_url.rstrip("/")
    servers = document.root.get("servers")
    server = servers[0] if isinstance(servers, list) and servers and isinstance(servers[0], Mapping) else {}
    variables = server.get("variables") or {}
    url = str(server.get("url", ""))
    for name, each in variables.items() if isinstance(variables, Mapping) else ():
        url = url.replace(f"{{{name}}}", str(each.get("default", "")) if isinstance(each, Mapping) else "")
    remote = urlsplit(location).scheme in ("http", "https")
    url = urljoin(location, url) if remote else url
    if urlsplit(url).scheme not in ("http", "https"):
        raise ConfigurationError("the description does not say where its API is: say it with `--base-url`")
    if remote:
        check_host_is_listed(url, reading)
    return url.rstrip("/")


def _find_credential_headers(document: OpenApiDocument, reading: ApiReadOptions) -> dict[str, str]:
    """The headers that carry credentials: those that were wished, and those that the description asks for."""
    components = document.root.get("components")
    schemes = components.get("securitySchemes") if isinstance(components, Mapping) else None
    names = [*reading.headers]
    for each in map(document.resolve, schemes.values()) if isinstance(schemes, Mapping) else ():
        if each.get("type") == "apiKey" and each.get("in") == "header":
            names.append(str(each.get("name", "")))
        elif each.get("type") in ("http", "oauth2", "openIdConnect"):
            names.append("authorization")
    return {
        f"headers.{name}": "" for name in dict.fromkeys(each.lower() for each in names if HEADER_NAME.fullmatch(each))
    }
