"""Serve tables as a GraphQL service over real HTTP: lists, connections, and lookups by keys."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import orjson
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    build_schema,
    execute_sync,
    parse,
    validate,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

MOST = 3
"""Rows of a page, however many are wished."""
SDL = """
scalar Day
scalar Moment
scalar Money
scalar Big
type Query {
  thing(ids: [ID!], name: String, code: String, done: Boolean, day: Day, parentId: Int, first: Int): [Thing]!
  oneThing(id: ID!): Thing
  things(name: String, first: Int, after: String): ThingPage!
  office: Office!
  empty(first: Int, after: String): EmptyPage!
}
type Office { parts(thingIds: [Int!], label: String, sort: Sort, first: Int, after: String): PartPage! }
enum Sort { LINE }
type Thing {
  id: ID!
  name: String
  code: String!
  amount: Money
  size: Size
  day: Day
  moment: Moment
  done: Boolean
  parentId: Int
}
type Size { big: Big, ratio: Float }
type Part { thingId: Int!, line: Int!, label: String, price: Money! }
type Empty { id: ID!, name: String }
type Info { hasNextPage: Boolean!, endCursor: String }
type ThingPage { edges: [ThingEdge]!, pageInfo: Info! }
type ThingEdge { node: Thing! }
type PartPage { nodes: [Part!]!, pageInfo: Info! }
type EmptyPage { nodes: [Empty!]!, pageInfo: Info! }
"""
Record = Mapping[str, Any]


class Service:
    """`asked` are the documents and variables of all calls so far."""

    def __init__(self, tables: Mapping[str, Sequence[Record]]) -> None:
        self.tables = {name: [format_row(row) for row in rows] for name, rows in tables.items()}
        self.schema = build_schema(SDL)
        self.documents: dict[str, tuple[DocumentNode, list[GraphQLError]]] = {}
        self.requests: list[tuple[DocumentNode, Mapping[str, Any]]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = orjson.loads(await Request(scope, receive).body())
        document, faults = self.read_document(given["query"])
        self.requests.append((document, given["variables"]))
        result = (
            ExecutionResult(None, faults)
            if faults
            else execute_sync(self.schema, document, self, variable_values=given["variables"])
        )
        reply = {"data": result.data} | (
            {"errors": [error.formatted for error in result.errors]} if result.errors else {}
        )
        await Response(orjson.dumps(reply), media_type="application/json")(scope, receive, send)

    def read_document(self, text: str) -> tuple[DocumentNode, list[GraphQLError]]:
        """Parse and validate a text at its first use: the same one comes again with other variables."""
        if text not in self.documents:
            document = parse(text)
            self.documents[text] = document, validate(self.schema, document)
        return self.documents[text]

    def thing(self, _: Any, ids: Iterable[str] | None = None, first: int | None = None, **equal: Any) -> list[Record]:
        rows = [row for row in self.tables["thing"] if ids is None or row["id"] in ids]
        return met(rows, equal)[:first]

    def oneThing(self, _: Any, id: str) -> Record | None:  # noqa: N802
        return next((row for row in self.tables["thing"] if row["id"] == id), None)

    def things(self, _: Any, first: int | None = None, after: str | None = None, **equal: Any) -> Record:
        result = page(met(self.tables["thing"], equal), first, after)
        return {"edges": [{"node": node} for node in result["nodes"]], "pageInfo": result["pageInfo"]}

    def office(self, _: Any) -> Any:
        return {"parts": self.parts}

    def parts(
        self, _: Any, thingIds: list[int] | None = None, sort: str | None = None,  # noqa: N803
        first: int | None = None, after: str | None = None, **equal: Any,
    ) -> Record:  # fmt: skip
        rows = [row for row in self.tables["part"] if thingIds is None or row["thingId"] in thingIds]
        rows = met(rows, equal)
        return page(sorted(rows, key=lambda row: row["line"]) if sort else rows, first, after)

    def empty(self, _: Any, first: int | None = None, after: str | None = None) -> Record:
        return page(self.tables["empty"], first, after)


def met(rows: Iterable[Record], equal: Mapping[str, Any]) -> list[Record]:
    return [row for row in rows if all(row[name] is not None and row[name] == value for name, value in equal.items())]


def page(rows: Sequence[Record], first: int | None, after: str | None) -> Record:
    start = int(after.removeprefix("at")) if after else 0
    end = start + min(MOST, MOST if first is None else first)
    return {"nodes": rows[start:end], "pageInfo": {"hasNextPage": end < len(rows), "endCursor": f"at{end}"}}


def format_row(row: Record) -> Record:
    """As the service names and writes it."""
    return {name: format_value(name, row) for name in (*row, "size")} | {
        camel: row[name] for name, camel in (("parent_id", "parentId"), ("thing_id", "thingId")) if name in row
    }


def format_value(name: str, row: Record) -> Any:
    value = row.get(name)
    if name == "size":
        return {"big": row.get("big"), "ratio": row.get("ratio")}
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if name == "id" else value
