"""Read an OpenAPI description from a file or a listed host, and describe its collections for `introspect`."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from yarl import URL

from onedoor.codegen.models import (
    ApiReadOptions,
    DescribedInput,
    DescribedReference,
    DescribedTable,
    DescribedWrite,
    SourceDescription,
)
from onedoor.connectors.http_client import BoundedHttpClient, HttpLimits
from onedoor.connectors.public_addresses import check_base_url
from onedoor.connectors.rest.client import OK
from onedoor.connectors.rest.openapi.collections import (
    OpenApiCollection,
    add_writes,
    build_collection_settings,
    build_openapi_collections,
    find_other_writes,
)
from onedoor.connectors.rest.openapi.document import (
    JsonNode,
    OpenApiDocument,
    UnresolvedReferences,
    find_unresolved_references,
    parse_openapi_document,
)
from onedoor.connectors.rest.openapi.operations import count_operations, find_read_operations, is_selected
from onedoor.connectors.rest.openapi.rows import SkippedOperation, clean_comment
from onedoor.connectors.rest.openapi.servers import find_main_server, is_absolute_url
from onedoor.connectors.rest.openapi.writes import OpenApiWrite
from onedoor.errors import ConfigurationError, ConnectorError

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024

FETCH_LIMITS = HttpLimits(timeout=30.0, max_concurrency=1, max_response_bytes=MAX_DOCUMENT_BYTES)

HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


MAX_LISTED_REFERENCES = 5

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")

TABLE_SETTINGS = ("columns", "keys", "filters", "writes")
"""Settings that have a line for each of their entries."""


async def describe(location: str, options: ApiReadOptions) -> SourceDescription:
    """Describe the API. Raises ConfigurationError when it cannot be read, or leads to a host that is not listed."""
    document = parse_openapi_document(await _load_document(location, options))
    all_operations = find_read_operations(document, options.given, options.base_url)
    operations = [
        operation
        for operation in all_operations
        if is_selected((*operation.tags, operation.original_path), options.only)
    ]
    unresolved = _summarize_unresolved(find_unresolved_references(document))
    if not operations:
        reasons = "".join(f"; {line}" for line in unresolved)
        raise ConfigurationError(f"the description has no operation that reads and is meant: see `--only`{reasons}")
    base_url = _resolve_base_url(document, location, options)
    reading, skipped = build_openapi_collections(document, operations)
    if not reading:
        reasons = "".join(f"; {line}" for line in unresolved or _summarize_skipped(skipped))
        raise ConfigurationError(f"no operation of the description answers with rows that it describes{reasons}")
    collections, refused = add_writes(document, reading)
    refused += find_other_writes(document, reading, options.only)
    summary = (
        f"{count_operations(document)} operations, {len(operations)} of them read and are meant:"
        f" {len(collections)} collections"
    )
    is_private = options.private_addresses or urlsplit(base_url).scheme == "http"
    return SourceDescription(
        tables=_build_tables(collections),
        settings={
            "kind": "rest",
            "base_url": base_url,
            **({"private_addresses": True} if is_private else {}),
            **_find_credential_headers(document, options),
        },
        notes=(
            summary,
            *unresolved,
            *_summarize_skipped(skipped),
            *_summarize_writes(collections, refused),
            *_list_doubts(collections),
            *_summarize_left_out(collections),
            *_summarize_query_credentials(document),
        ),
    )


def _list_doubts(collections: Sequence[OpenApiCollection]) -> list[str]:
    return [
        f"`{collection.operation.original_path}`: {doubt}" for collection in collections for doubt in collection.doubts
    ]


def _summarize_skipped(skipped: Sequence[SkippedOperation]) -> list[str]:
    """Name the operations that were left out, by reason; those of the commonest first."""
    paths: dict[str, list[str]] = {}
    for operation in skipped:
        paths.setdefault(operation.reason, []).append(operation.path)
    by_count = sorted(paths.items(), key=lambda reason: -len(reason[1]))
    return [f"left {len(own_paths)}: {reason}: {', '.join(own_paths)}" for reason, own_paths in by_count]


def _summarize_writes(collections: Sequence[OpenApiCollection], refused: Sequence[SkippedOperation]) -> list[str]:
    count = sum(len(collection.writes) for collection in collections)
    offered = [f"{count} operations change rows and are offered as mutations"] if count else []
    return [*offered, *(f"no mutation: {line}" for line in _summarize_skipped(refused))]


def _summarize_unresolved(unresolved: UnresolvedReferences) -> list[str]:
    lines = []
    if unresolved.external:
        lines.append(
            f"{len(unresolved.external)} references lead to another file or address and were not followed, put the"
            f" description together to one file first: {_list_some(unresolved.external)}"
        )
    if unresolved.dangling:
        lines.append(f"{len(unresolved.dangling)} references lead nowhere: {_list_some(unresolved.dangling)}")
    return lines


def _list_some(references: Sequence[str]) -> str:
    more = len(references) - MAX_LISTED_REFERENCES
    listed = ", ".join(f"`{reference}`" for reference in references[:MAX_LISTED_REFERENCES])
    return f"{listed} and {more} more" if more > 0 else listed


def _summarize_left_out(collections: Sequence[OpenApiCollection]) -> list[str]:
    affected = [collection for collection in collections if collection.left_out]
    if not affected:
        return []
    count = sum(len(collection.left_out) for collection in affected)
    return [
        f"{count} values of {len(affected)} collections have no column: the file that declares them names each, with"
        " its reason"
    ]


def _summarize_query_credentials(document: OpenApiDocument) -> list[str]:
    """Say which credentials the API takes that are sent in no header."""
    return [
        f"the API takes credentials in `{scheme.get('name')}` of its {scheme['in']}, which are not sent"
        for scheme in _iterate_security_schemes(document)
        if scheme.get("type") == "apiKey" and scheme.get("in") in ("query", "cookie")
    ]


def _iterate_security_schemes(document: OpenApiDocument) -> Iterator[JsonNode]:
    components = document.root.get("components")
    schemes = components.get("securitySchemes") if isinstance(components, Mapping) else None
    yield from map(document.resolve, schemes.values() if isinstance(schemes, Mapping) else ())


async def _load_document(location: str, options: ApiReadOptions) -> bytes:
    if is_absolute_url(location):
        return await _fetch_document(location, options)
    return _read_document_file(Path(location))


def _read_document_file(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_DOCUMENT_BYTES:
            raise ConfigurationError(f"the description is over the limit of {MAX_DOCUMENT_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"`{path.name}` cannot be read: {error.strerror}") from None


async def _fetch_document(url: str, options: ApiReadOptions) -> bytes:
    """Fetch a document from a listed host; redirects are not followed."""
    _check_host_is_listed(url, options)
    limits = replace(FETCH_LIMITS, private_addresses=options.private_addresses)
    client = BoundedHttpClient(limits, headers={"accept-encoding": "gzip"})
    try:
        async with client.open_response("GET", URL(url, encoded=True)) as response:
            if response.status != OK:
                raise client.map_status(response.status)
            return await client.read_body(response)
    except ConnectorError as error:
        raise ConfigurationError(f"the description cannot be read: {error.reason}") from None
    finally:
        await client.close()


def _check_host_is_listed(url: str, options: ApiReadOptions) -> None:
    """Raise ConfigurationError for a host that is not listed, and for one that may be in this network."""
    parts = urlsplit(url)
    try:
        check_base_url(f"{parts.scheme}://{parts.netloc}{parts.path}", private_addresses=options.private_addresses)
    except ValueError as error:
        reason = str(error).replace("`base_url`", "an address").replace("`private_addresses`", "`--private`")
        raise ConfigurationError(reason) from None
    if parts.hostname not in options.hosts:
        raise ConfigurationError(
            f"the host `{parts.hostname}` is not listed: add `--host {parts.hostname}` if it is meant"
        )


def _resolve_base_url(document: OpenApiDocument, location: str, options: ApiReadOptions) -> str:
    """Return the given base URL, or the description's: that of a file is believed, a fetched one must be listed.

    Raises ConfigurationError for one that the source would refuse.
    """
    if options.base_url:
        return _check_settings_url(options.base_url, "`--base-url`")
    is_remote = is_absolute_url(location)
    server_url = find_main_server(document)
    url = urljoin(location, server_url or "/") if is_remote else server_url
    if not is_absolute_url(url) or "{" in url:
        place = f", whose path is `{server_url}`" if server_url else ""
        raise ConfigurationError(f"the description does not say where its API is{place}: say it with `--base-url`")
    if is_remote:
        _check_host_is_listed(url, options)
    return _check_settings_url(url, "the address of its API")


def _check_settings_url(url: str, name: str) -> str:
    try:
        return check_base_url(url, private_addresses=True, name="base_url")
    except ValueError as error:
        raise ConfigurationError(str(error).replace("`base_url`", name)) from None


def _find_credential_headers(document: OpenApiDocument, options: ApiReadOptions) -> dict[str, str]:
    """Return the headers that carry credentials: the given ones, and those of the description's security schemes."""
    names = [*options.headers]
    for scheme in _iterate_security_schemes(document):
        if scheme.get("type") == "apiKey" and scheme.get("in") == "header":
            names.append(str(scheme.get("name", "")))
        elif scheme.get("type") in ("http", "oauth2", "openIdConnect"):
            names.append("authorization")
    lowercase = dict.fromkeys(name.lower() for name in names if HEADER_NAME.fullmatch(name))
    return {f"headers.{name}": "" for name in lowercase}


def _build_tables(collections: Sequence[OpenApiCollection]) -> tuple[DescribedTable, ...]:
    rows = {collection.item_shape: collection for collection in collections if collection.item_shape}
    lists = {collection.path_shape: collection for collection in collections if not collection.single}
    return tuple(
        DescribedTable(
            name=collection.name,
            columns=collection.all_columns,
            key=collection.key_columns if collection.key or collection.single else (),
            references=tuple(_find_path_references(collection, rows, lists)),
            comment=clean_comment(collection.comment),
            needs=tuple(path_column.column.name for path_column in collection.path_columns),
            declared=_render_collection(collection),
            writes=tuple(_describe_write(write) for write in collection.writes),
        )
        for collection in collections
    )


def _describe_write(write: OpenApiWrite) -> DescribedWrite:
    inputs = tuple(DescribedInput(column=entry.column, required=entry.required) for entry in write.inputs)
    return DescribedWrite(kind=str(write.kind), inputs=inputs, comment=write.comment)


def _find_path_references(
    collection: OpenApiCollection,
    rows: Mapping[tuple[str, ...], OpenApiCollection],
    lists: Mapping[tuple[str, ...], OpenApiCollection],
) -> Iterator[DescribedReference]:
    """Yield the reference to the row whose path is the longest part of the collection's own."""
    for end in range(len(collection.path_shape) - 1, 0, -1):
        shape = collection.path_shape[:end]
        if shape[-1] != "" or shape == collection.item_shape:
            continue
        target = rows.get(shape) or lists.get(shape[:-1])
        if target is None or target is collection:
            continue
        path_columns = tuple(path_column.column.name for path_column in collection.path_columns)
        local, remote = path_columns[: shape.count("")], target.key_columns
        if len(local) == len(remote) and _have_same_types(collection, local, target, remote):
            yield DescribedReference(columns=local, to=target.name, there=remote)
            return


def _have_same_types(
    collection: OpenApiCollection, columns: Sequence[str], target: OpenApiCollection, target_columns: Sequence[str]
) -> bool:
    types = {column.name: column.kind for column in collection.all_columns}
    target_types = {column.name: column.kind for column in target.all_columns}
    return all(types[column] is target_types[other] for column, other in zip(columns, target_columns, strict=True))


def _render_collection(collection: OpenApiCollection) -> str:
    """Render `[collections."repos.runs"]` and a line for each setting; what has no column is a comment."""
    comments = [f"# no column: {_render_comment(text)}" for text in collection.left_out]
    lines = [f"[collections.{_render_key(collection.name)}]", *_render_lines(build_collection_settings(collection))]
    return "\n".join([*lines, *comments]) + "\n"


def _render_comment(text: str) -> str:
    """Render a text of the document on one line, as TOML wants it."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _render_lines(settings: Mapping[str, Any]) -> Iterator[str]:
    for name, value in settings.items():
        if name in TABLE_SETTINGS:
            yield from (f"{name}.{_render_key(key)} = {_render_value(entry)}" for key, entry in value.items())
        else:
            yield f"{name} = {_render_value(value)}"


def _render_key(name: str) -> str:
    return name if BARE_KEY.fullmatch(name) else _render_text(name)


def _render_value(value: Any) -> str:
    match value:
        case Mapping():
            entries = ", ".join(f"{_render_key(key)} = {_render_value(entry)}" for key, entry in value.items())
            return f"{{ {entries} }}" if entries else "{}"
        case bool():
            return "true" if value else "false"
        case str():
            return _render_text(value)
        case _:
            return json.dumps(value)


def _render_text(text: str) -> str:
    """Render text as JSON does, and escape DEL, which TOML wants escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
