"""Find the operations of an OpenAPI document that change the rows of a collection, and declare them as its writes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from onedoor.codegen.naming import split_words, to_snake_case
from onedoor.connectors.json_rows import JsonPath, build_json_path_setting
from onedoor.connectors.rest.openapi.document import JsonNode, OpenApiDocument
from onedoor.connectors.rest.openapi.envelopes import EnvelopeReader, FoundList
from onedoor.connectors.rest.openapi.operations import OpenApiParameter, parse_parameters, parse_success_response
from onedoor.connectors.rest.openapi.rows import OpenApiColumn, find_openapi_columns, map_column_type
from onedoor.connectors.rest.openapi.schemas import ResolvedSchema, resolve_schema
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import ChangeKind

MAX_BODY_DEPTH = 2

LIST_METHODS: Mapping[str, ChangeKind] = {"post": ChangeKind.CREATE}

ROW_METHODS: Mapping[str, ChangeKind] = {
    "patch": ChangeKind.UPDATE,
    "put": ChangeKind.PUT,
    "delete": ChangeKind.DELETE,
}
"""PUT replaces a row (RFC 9110, section 9.3.4): what it is not given does not stay as it is."""

SUCCESS_STATUSES = ("200", 200, "201", 201, "202", 202, "2XX")

DESCRIBED_HEADERS = frozenset({"accept", "content-type", "authorization"})
"""Headers that OpenAPI describes in other places than parameters."""

IDEMPOTENCY_HEADERS = frozenset({"idempotency_key", "x_idempotency_key"})

REFERENCE_COLUMNS = (
    "external_id", "external_reference", "external_ref", "client_reference", "client_reference_id", "reference",
    "reference_id", "correlation_id", "custom_id", "idempotency_key", "integration_id",
)  # fmt: skip
"""Columns that APIs keep for the ids of others, so that a change can write its own there."""

NOTE_COLUMNS = ("notes", "note", "comment", "comments", "memo", "remarks", "internal_note", "description")
"""Columns that take any words, so that a change can write its id after them."""

NOTE_MARK = "(change {id})"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteInput:
    """A column that a change may set."""

    column: str
    required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenApiWrite:
    """An operation that changes rows, as the setting `writes.<kind>` declares it."""

    kind: ChangeKind
    settings: Mapping[str, Any]
    inputs: tuple[WriteInput, ...]
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedWrite:
    """An operation that changes rows in a way that cannot be declared, and why."""

    place: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteTarget:
    """The collection whose rows are changed: where its list and one of its rows are, and what its rows hold.

    Paths are those of the document; in `settings_path` and `row_settings_path` parameters have the names of columns.
    """

    path: str
    settings_path: str
    row_path: str
    row_settings_path: str
    columns: Sequence[OpenApiColumn]
    path_columns: tuple[str, ...]
    key: str


def find_writes(document: OpenApiDocument, target: WriteTarget) -> Iterator[OpenApiWrite | RefusedWrite]:
    """Yield the changes of a collection's rows, and those that the description tells too little of."""
    places = (
        (target.path, target.settings_path, LIST_METHODS, target.path_columns),
        (target.row_path, target.row_settings_path, ROW_METHODS, (*target.path_columns, target.key)),
    )
    for path, settings_path, methods, path_columns in places:
        item = document.resolve(document.root["paths"].get(path)) if path else {}
        for method, kind in methods.items():
            operation = item.get(method)
            if isinstance(operation, Mapping):
                place = f"{method.upper()} {path}"
                reader = WriteReader(
                    document=document, target=target, item=item, operation=operation, path_columns=path_columns
                )
                write = reader.read(kind, method.upper(), settings_path)
                yield RefusedWrite(place=place, reason=write) if isinstance(write, str) else write


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyFields:
    """What the body of a request holds: its columns with their places, what is fixed, and why it cannot be sent."""

    places: Mapping[str, JsonPath] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteReader:
    """Read one operation that changes rows."""

    document: OpenApiDocument
    target: WriteTarget
    item: JsonNode
    operation: JsonNode
    path_columns: tuple[str, ...]

    def read(self, kind: ChangeKind, method: str, path: str) -> OpenApiWrite | str:
        """Return the write, or why it cannot be declared."""
        parameters = list(parse_parameters(self.document, self.item, self.operation))
        demanded = [parameter.name for parameter in parameters if self._is_demanded(parameter)]
        if demanded:
            return f"it asks for {', '.join(f'`{name}`' for name in demanded)}, which is no column"
        body = BodyFields() if kind is ChangeKind.DELETE else self._read_body()
        if body.fault:
            return body.fault
        if kind is not ChangeKind.DELETE and not body.places:
            return "its body sets no column"
        settings: dict[str, Any] = {"method": method, "path": path}
        if body.places:
            settings["columns"] = {name: build_json_path_setting(place) for name, place in body.places.items()}
        if body.fixed:
            settings["fixed"] = body.fixed
        if kind is ChangeKind.CREATE and not self._names_a_key(body):
            mark = self._choose_mark(body)
            if not mark:
                return "nothing says how its row is found again: declare `writes.create.id` by hand"
            settings |= mark
        header = next((name for name in map(_get_idempotency_header, parameters) if name), "")
        settings |= {"id_header": header} if header else {}
        settings |= {} if kind is ChangeKind.DELETE else self._find_row()
        return OpenApiWrite(
            kind=kind,
            settings=settings,
            inputs=tuple(self._list_inputs(kind, body, str(settings.get("id", "")))),
            comment=str(self.operation.get("summary") or "").strip(),
        )

    def _is_demanded(self, parameter: OpenApiParameter) -> bool:
        is_sent = parameter.location == "path" or _get_idempotency_header(parameter)
        is_described_elsewhere = parameter.location == "header" and parameter.name.lower() in DESCRIBED_HEADERS
        return parameter.required and not is_sent and not is_described_elsewhere

    def _read_body(self) -> BodyFields:
        content = self.document.resolve(self.operation.get("requestBody")).get("content") or {}
        media = [entry for name, entry in content.items() if str(name).partition(";")[0].strip().endswith("json")]
        if not media or not isinstance(media[0], Mapping):
            return BodyFields(fault="its body is no JSON")
        schema = resolve_schema(self.document, media[0].get("schema", {}))
        if schema.type != "object" or not schema.properties:
            return BodyFields(fault="its body is no object of known values")
        return self._read_fields(*self._unwrap(schema))

    def _unwrap(self, schema: ResolvedSchema) -> tuple[ResolvedSchema, JsonPath]:
        """Return the object in the only member of a body, as in `{"shop": {...}}`, and its path."""
        if len(schema.properties) == 1:
            ((name, node),) = schema.properties.items()
            member = resolve_schema(self.document, node)
            if member.type == "object" and member.properties:
                return member, (name,)
        return schema, ()

    def _read_fields(self, schema: ResolvedSchema, prefix: JsonPath) -> BodyFields:
        by_path = {column.path: column for column in self.target.columns}
        by_name = {column.column.name: column for column in self.target.columns}
        places: dict[str, JsonPath] = {}
        required: set[str] = set()
        fixed: Mapping[str, Any] = {}
        for path, member, is_required in self._iterate_values(schema, ()):
            column = by_path.get(path) or by_name.get(_name_path(path))
            if column is not None and _takes(column, member) and column.column.name not in places:
                places[column.column.name] = (*prefix, *path)
                required |= {column.column.name} if is_required else set()
            elif is_required and _name_path(path) not in self.path_columns:
                value = member.default if member.default is not None else _get_only_value(member)
                if value is None:
                    return BodyFields(fault=f"it asks for `{'.'.join(path)}`, which is no column")
                fixed = _put_at_path(fixed, (*prefix, *path), value)
        return BodyFields(places=places, required=frozenset(required), fixed=fixed)

    def _iterate_values(
        self, schema: ResolvedSchema, place: JsonPath, *, is_required: bool = True
    ) -> Iterator[tuple[JsonPath, ResolvedSchema, bool]]:
        """Yield each value of a body with its path, and whether a body must have it."""
        for name, node in schema.properties.items():
            member, path = resolve_schema(self.document, node), (*place, name)
            needed = is_required and name in schema.required
            if member.read_only:
                continue
            if member.type == "object" and member.properties and len(path) < MAX_BODY_DEPTH:
                yield from self._iterate_values(member, path, is_required=needed)
            else:
                yield path, member, needed

    def _names_a_key(self, body: BodyFields) -> bool:
        return bool(self.target.key) and self.target.key in body.required

    def _choose_mark(self, body: BodyFields) -> Mapping[str, Any]:
        """Return the settings of the column by which a change is found again; none where no column is for that."""
        texts = {
            column.column.name
            for column in self.target.columns
            if column.column.kind is ColumnType.TEXT and not column.column.values and column.column.name in body.places
        }
        for name in (*REFERENCE_COLUMNS, *NOTE_COLUMNS):
            if name in texts:
                return {"id": name, **({"mark": NOTE_MARK} if name in NOTE_COLUMNS else {})}
        return {}

    def _find_row(self) -> Mapping[str, Any]:
        """Return the settings of where the response has the whole row, or of that it has none."""
        response = parse_success_response(self.document, self.operation, SUCCESS_STATUSES).schema
        if response is None or response.type != "object" or not response.properties:
            return {"answers": False}
        segments = tuple(split_words(segment) for segment in self.target.path.split("/") if "{" not in segment)
        reader = EnvelopeReader(document=self.document, segments=segments, has_pages=False, is_row_path=True)
        rows = reader.find_rows(response)
        if isinstance(rows, FoundList):
            path, schema = (*rows.path, "0"), resolve_schema(self.document, rows.array.items)
        else:
            path, schema = rows.path, rows.schema
        names = {column.column.name for column in find_openapi_columns(self.document, schema).columns}
        if not {column.column.name for column in self.target.columns} <= names:
            return {"answers": False}
        return {"rows": build_json_path_setting(path)} if path else {}

    def _list_inputs(self, kind: ChangeKind, body: BodyFields, mark_column: str) -> Iterator[WriteInput]:
        is_whole = kind in (ChangeKind.CREATE, ChangeKind.PUT)
        if kind is ChangeKind.CREATE:
            yield from (WriteInput(column=name, required=True) for name in self.target.path_columns)
        for name in body.places:
            is_note = name == mark_column and mark_column not in NOTE_COLUMNS
            if not is_note and (kind is ChangeKind.CREATE or name != self.target.key):
                yield WriteInput(column=name, required=is_whole and name in body.required)


def _get_idempotency_header(parameter: OpenApiParameter) -> str:
    is_known = parameter.location == "header" and to_snake_case(split_words(parameter.name)) in IDEMPOTENCY_HEADERS
    return parameter.name.lower() if is_known else ""


def _name_path(path: JsonPath) -> str:
    return to_snake_case(tuple(word for step in path for word in split_words(step)))


def _takes(column: OpenApiColumn, member: ResolvedSchema) -> bool:
    """Tell whether a member of a body takes the values of a column."""
    if column.column.kind is ColumnType.LIST:
        return member.type == "array"
    return member.type not in ("object", "array", "") and map_column_type(member) is column.column.kind


def _get_only_value(member: ResolvedSchema) -> Any:
    return member.enum_values[0] if len(member.enum_values) == 1 else None


def _put_at_path(target: Mapping[str, Any], path: JsonPath, value: Any) -> Mapping[str, Any]:
    first, *rest = path
    return {**target, first: _put_at_path(target.get(first, {}), tuple(rest), value) if rest else value}
