"""Serve an API that keeps to an OpenAPI document, over real HTTP: rows, pages, filters, keys.

It shares nothing with what reads such documents for the product. A row differs from the next, and one path's from
another's; what stands in a path or in a filter has its value in the rows.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from zlib import crc32

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

Node = Mapping[str, Any]
ROWS = 7
PAGES = ("page", "per_page", "count", "limit", "offset", "cursor", "order", "sort", "direction", "from", "to")
DEEP = 5
FORMATS = {
    "date-time": "2026-10-{day:02}T08:00:00Z", "date": "2026-10-{day:02}", "uri": "https://row.example/{name}/{number}",
    "email": "{name}{number}@row.example",
}  # fmt: skip


class Described:
    """`asked` are the targets of all calls so far; `required` is the header without which nothing is told."""

    def __init__(self, document: Node, required: tuple[str, str] | None = None) -> None:
        self.document = document
        self.required = required
        self.requests: list[str] = []
        self.routes = [
            (re.compile(re.sub(r"\\\{(.+?)\\\}", r"(?P<p_\1>[^/]+)", re.escape(path)) + "$"), item["get"])
            for path, item in sorted(document["paths"].items(), key=lambda one: one[0].count("{"))
            if "get" in item
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        self.requests.append(request.url.path + (f"?{request.url.query}" if request.url.query else ""))
        await self.answer(request)(scope, receive, send)

    def answer(self, request: Request) -> Response:
        if self.required and request.headers.get(self.required[0]) != self.required[1]:
            return Response(b"{}", 401)
        for pattern, operation in self.routes:
            if match := pattern.match(request.url.path):
                places = {name.removeprefix("p_"): value for name, value in match.groupdict().items()}
                return self.respond(request, operation, places)
        return Response(b"{}", 404)

    def respond(self, request: Request, operation: Node, places: Mapping[str, str]) -> Response:
        schema = self.schema(operation)
        if schema is None:
            return Response(b"text", media_type="text/plain")
        if self.resolve_reference(schema).get("type") == "array":
            rows, link = self.page(request, self.rows(request, self.resolve_reference(schema)["items"]))
            return json_response(rows, link)
        result = self.value(schema, "", crc32(request.url.path.encode()) % 1000)
        lists = [name for name, item in result.items() if isinstance(item, list)]
        declared = self.resolve_reference(schema).get("properties", {})
        if "total_count" in result and len(lists) == 1:
            rows, link = self.page(request, self.rows(request, self.resolve_reference(declared[lists[0]])["items"]))
            return json_response({**result, "total_count": ROWS, lists[0]: rows}, link)
        return json_response(self.keyed(request, result, places))

    def schema(self, operation: Node) -> Node | None:
        content = self.resolve_reference(operation["responses"].get("200", {})).get("content", {})
        return content["application/json"]["schema"] if "application/json" in content else None

    def rows(self, request: Request, schema: Node) -> list[Any]:
        """Those of the path, of which each filter leaves what is equal; each path numbers its own."""
        start = crc32(request.url.path.encode()) % 1000 * 100
        rows = [self.value(schema, "row", start + number) for number in range(1, ROWS + 1)]
        for name, value in request.query_params.items():
            if name not in PAGES:
                rows = [row for row in rows if not isinstance(row, dict) or name not in row or text(row[name]) == value]
        return rows

    def keyed(self, request: Request, made: dict[str, Any], places: Mapping[str, str]) -> Any:
        """The row of the list above that has what stands last in the path; or, where there is no list, one that has."""
        above, _, last = request.url.path.rpartition("/")
        for pattern, operation in self.routes:
            schema = self.schema(operation) if pattern.match(above) else None
            if schema and places and self.resolve_reference(schema).get("type") == "array":
                scope = {**request.scope, "path": above, "raw_path": above.encode(), "query_string": b""}
                rows = self.rows(Request(scope), self.resolve_reference(schema)["items"])
                return next((row for row in rows if isinstance(row, dict) and last in map(text, row.values())), made)
        known = {name: value for name, value in places.items() if isinstance(made.get(name), str | int)}
        return {**made, **{name: type(made[name])(value) for name, value in known.items()}}

    def page(self, request: Request, rows: Sequence[Any]) -> tuple[list[Any], str]:
        given = request.query_params
        size = int(given.get("per_page") or given.get("count") or given.get("limit") or 3)
        size, number = min(size, 3), int(given.get("page", 1))
        more = len(rows) > size * number
        return list(rows[size * (number - 1) : size * number]), (
            f'<{request.url.include_query_params(page=number + 1)}>; rel="next"' if more else ""
        )

    def resolve_reference(self, node: Node) -> Node:
        while "$ref" in node:
            parts = node["$ref"].removeprefix("#/").split("/")
            node = self.document
            for item in parts:
                node = node[item]
        return node

    def value(self, schema: Node, name: str, number: int, deep: int = 0) -> Any:
        """What is nullable is null in every third row."""
        node = self.resolve_reference(schema)
        if node.get("nullable") and number % 3 == 0:
            return None
        for word in ("oneOf", "anyOf"):
            if word in node:
                return self.value(node[word][0], name, number, deep)
        if "allOf" in node:
            parts = [self.value(item, name, number, deep) for item in node["allOf"]]
            merged: dict[str, Any] = {}
            for item in parts:
                merged |= item if isinstance(item, dict) else {}
            return merged or parts[0]
        if node.get("enum"):
            return node["enum"][number % len(node["enum"])]
        match node.get("type"):
            case "object":
                return dict(self.members(node, number, deep))
            case "array":
                return (
                    [self.value(node["items"], name, number + item, deep + 1) for item in (0, 1)] if deep < DEEP else []
                )
            case "integer":
                return number
            case "number":
                return number + 0.5
            case "boolean":
                return number % 2 == 0
        return FORMATS.get(node.get("format", ""), "{name} {number}").format(
            name=name.replace(" ", "-"), number=number, day=number % 28 + 1
        )

    def members(self, node: Node, number: int, deep: int) -> Iterator[tuple[str, Any]]:
        for name, item in node.get("properties", {}).items() if deep < DEEP else ():
            if name in node.get("required", ()) or number % 4:
                yield name, self.value(item, name, number, deep + 1)


def text(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def json_response(found: Any, link: str = "") -> Response:
    return Response(orjson.dumps(found), media_type="application/json", headers={"link": link} if link else {})
