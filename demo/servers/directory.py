"""Serve the offices, desks and shifts of Acme over GraphQL."""

import hmac
import json
import os
import sys
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, TypeAlias

from graphql import GraphQLError, build_schema, graphql_sync
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from demo.data import operations
from demo.servers.run import build_parser, end_with_parent, serve

PAGE = 100
"""The most rows of a page."""

GraphQLObject: TypeAlias = Mapping[str, Any]


class DirectoryRoot:
    """The root value for graphql-core: a method for each field."""

    def __init__(self, scale: Fraction | float = 1) -> None:
        self._offices = {office.id: _format_office(office) for office in operations.OFFICES}
        self._desks = [_format_desk(desk, self._offices) for desk in operations.desks(scale)]
        self._shifts = {shift.id: _format_shift(shift) for shift in operations.shifts(scale)}

    def offices(self, _: Any) -> Sequence[GraphQLObject]:
        return list(self._offices.values())

    def office(self, _: Any, id: str) -> GraphQLObject | None:
        return self._offices.get(id)

    def desks(
        self, _: Any, first: int, after: str | None = None, ids: Sequence[str] | None = None,
        office: str | None = None, floor: int | None = None, staffNumbers: Sequence[str] | None = None,  # noqa: N803
    ) -> GraphQLObject:  # fmt: skip
        rows = [
            desk
            for desk in self._desks
            if (ids is None or desk["id"] in ids)
            and (office is None or desk["office"]["id"] == office)
            and (floor is None or desk["floor"] == floor)
            and (staffNumbers is None or (desk["person"] and desk["person"]["staffNumber"] in staffNumbers))
        ]
        result = _cut_page(rows, first, after)
        return {"nodes": [node for _, node in result[0]], "pageInfo": result[1]}

    def onCall(  # noqa: N802
        self, _: Any, first: int, after: str | None = None, service: str | None = None,
        staffNumber: str | None = None, level: str | None = None,  # noqa: N803
    ) -> GraphQLObject:  # fmt: skip
        rows = [
            shift
            for shift in self._shifts.values()
            if service in (None, shift["service"])
            and level in (None, shift["level"])
            and staffNumber in (None, shift["person"]["staffNumber"])
        ]
        result = _cut_page(rows, first, after)
        return {"edges": [{"cursor": cursor, "node": node} for cursor, node in result[0]], "pageInfo": result[1]}

    def shift(self, _: Any, id: str) -> GraphQLObject | None:
        return self._shifts.get(id)


def _format_office(office: operations.Office) -> GraphQLObject:
    return {
        "id": office.id,
        "name": office.name,
        "address": {"street": office.street, "city": office.city, "country": office.country},
    }


def _format_desk(desk: operations.Desk, offices: Mapping[str, GraphQLObject]) -> GraphQLObject:
    person = None if desk.employee is None else {"staffNumber": str(desk.employee)}
    return {"id": desk.id, "label": desk.label, "floor": desk.floor, "office": offices[desk.office], "person": person}


def _format_shift(shift: operations.Shift) -> GraphQLObject:
    return {
        "id": shift.id,
        "service": shift.service,
        "level": shift.level,
        "person": {"staffNumber": str(shift.employee)},
        "starts": shift.starts.isoformat(),
        "ends": shift.ends.isoformat(),
    }


def _cut_page(
    rows: Sequence[GraphQLObject], first: int, after: str | None
) -> tuple[Sequence[tuple[str, GraphQLObject]], GraphQLObject]:
    """Return rows with their cursors, and the page info."""
    if not 0 <= first <= PAGE:
        raise GraphQLError(f"`first` must be from 0 to {PAGE}", extensions={"code": "BAD_USER_INPUT"})
    start = 0 if after is None else _decode_cursor(after)
    results = [(_encode_cursor(place), row) for place, row in enumerate(rows[start : start + first], start + 1)]
    more = start + first < len(rows)
    return results, {"hasNextPage": more, "endCursor": results[-1][0] if results else None}


def _encode_cursor(place: int) -> str:
    return urlsafe_b64encode(f"row:{place}".encode()).decode()


def _decode_cursor(cursor: str) -> int:
    try:
        return int(urlsafe_b64decode(cursor.encode()).decode().removeprefix("row:"))
    except ValueError:
        raise GraphQLError("`after` is no cursor of ours", extensions={"code": "BAD_USER_INPUT"}) from None


SDL = """
"A time with its zone, as ISO 8601 writes it."
scalar Time

"Everything the office team knows."
type Query {
  offices: [Office!]!
  office(id: ID!): Office
  desks(ids: [ID!], office: ID, staffNumbers: [ID!], floor: Int, first: Int = 20, after: String): DeskConnection!
  onCall(service: String, staffNumber: ID, level: Level, first: Int = 20, after: String): ShiftConnection!
  shift(id: ID!): Shift
}

"A place where people work."
type Office {
  id: ID!
  name: String!
  address: Address!
}

type Address {
  street: String!
  city: String!
  "ISO 3166 code, two letters."
  country: String!
}

"A place to sit."
type Desk {
  id: ID!
  "What is written on it."
  label: String!
  "Counted from the street."
  floor: Int!
  office: Office!
  "Who sits there, if anyone does."
  person: Person
}

type Person {
  staffNumber: ID!
}

"A week in which someone answers for a service."
type Shift {
  id: ID!
  service: String!
  "Who is called first, and who next."
  level: Level!
  person: Person!
  starts: Time!
  ends: Time!
}

enum Level {
  PRIMARY
  SECONDARY
}

type PageInfo {
  hasNextPage: Boolean!
  endCursor: String
}

type DeskConnection {
  nodes: [Desk!]!
  pageInfo: PageInfo!
}

type ShiftConnection {
  edges: [ShiftEdge!]!
  pageInfo: PageInfo!
}

type ShiftEdge {
  cursor: String!
  node: Shift!
}
"""

NOBODY = {"errors": [{"message": "who are you?", "extensions": {"code": "UNAUTHENTICATED"}}]}

UNREADABLE = {"errors": [{"message": "send JSON with a `query`"}]}


def app(token: str, rows: DirectoryRoot) -> Starlette:
    schema = build_schema(SDL)

    async def answer(request: Request) -> JSONResponse:
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(key.encode(), token.encode()):
            return JSONResponse(NOBODY, 401)
        graphql_request = _parse_request(await request.body())
        if graphql_request is None:
            return JSONResponse(UNREADABLE, 400)
        result = graphql_sync(
            schema,
            graphql_request["query"],
            rows,
            variable_values=graphql_request.get("variables"),
            operation_name=graphql_request.get("operationName"),
        )
        return JSONResponse(result.formatted)

    return Starlette(routes=[Route("/graphql", answer, methods=["POST"])])


def _parse_request(body: bytes) -> dict[str, Any] | None:
    try:
        payload = json.loads(body)
    except ValueError:
        return None
    return payload if isinstance(payload, dict) and isinstance(payload.get("query"), str) else None


SECRETS = {"DIRECTORY_AUTHORIZATION": "Bearer acme-directory", "DIRECTORY_TOKEN": "acme-directory"}
"""What Onedoor sends, and what the server accepts."""

SECTION = """
[sources.directory]
kind = "graphql"
url = "URL"
private_addresses = true
headers.authorization = { env = "DIRECTORY_AUTHORIZATION" }

[sources.directory.collections.office]
field = "offices"
columns.id = "text"
columns.name = "text"
columns.street = { kind = "text", at = "address.street" }
columns.city = { kind = "text", at = "address.city" }
columns.country = { kind = "text", at = "address.country" }
keys.id = { field = "office", argument = "id", type = "ID!" }

[sources.directory.collections.desk]
field = "desks"
rows = "nodes"
columns.id = "text"
columns.label = "text"
columns.floor = "integer"
columns.office_id = { kind = "text", at = "office.id" }
columns.employee_id = { kind = "integer", at = "person.staffNumber" }
keys.id = { argument = "ids", type = "[ID!]", most = 100 }
keys.office_id = { argument = "office", type = "ID", most = 10 }
keys.employee_id = { argument = "staffNumbers", type = "[ID!]", most = 100 }
filters.floor = { argument = "floor", type = "Int" }
paging = { size = 100 }

[sources.directory.collections.shift]
field = "onCall"
rows = "edges.node"
columns.id = "text"
columns.service = "text"
columns.level = "text"
columns.employee_id = { kind = "integer", at = "person.staffNumber" }
columns.starts_at = { kind = "time", at = "starts" }
columns.ends_at = { kind = "time", at = "ends" }
keys.id = { field = "shift", argument = "id", type = "ID!" }
keys.service = { argument = "service", type = "String", most = 12 }
keys.employee_id = { argument = "staffNumber", type = "ID", most = 20 }
filters.service = { argument = "service", type = "String" }
filters.level = { argument = "level", type = "Level", values = ["PRIMARY", "SECONDARY"] }
paging = { size = 100 }
"""


def build_settings(url: str) -> str:
    return SECTION.replace("URL", f"{url}/graphql")


def main() -> None:
    chosen = build_parser("directory").parse_args()
    end_with_parent(chosen.parent)
    if not (token := os.environ.get("DIRECTORY_TOKEN")):
        sys.exit("DIRECTORY_TOKEN is not set; set it to the token that the server shall accept")
    serve(app(token, DirectoryRoot(chosen.scale)), chosen.port)


if __name__ == "__main__":
    main()
