"""Serve /graphiql/permissions.json: the groups that may see each field, which the GraphiQL page adds to its docs.

Introspection carries no applied directive, so the page asks here, with the same key. It names what introspection shows:
where everyone is shown their own view of the schema, the fields of that view.
"""

import zlib
from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from graphql import GraphQLSchema

from auth.policy import AccessPolicy, SchemaCoordinate, minimize_requirements
from onedoor.audit.record import Surface
from onedoor.http.audited_route import AuditedRoute
from onedoor.http.cors import Header
from onedoor.http.negotiation import accepts_gzip
from onedoor.http.requests import READ_METHODS, RequestContext, begin_request, parse_head
from onedoor.http.responses import (
    ALL_METHODS,
    GZIP_LEVEL,
    GZIP_WINDOW_BITS,
    build_common_headers,
    build_raw_response,
)
from onedoor.http.state import AppState
from onedoor.query.audited import Conclusion
from onedoor.query.context import find_or_make, view_for

PATH = "/graphiql/permissions.json"

CONTENT_TYPE = (b"content-type", b"application/json")

OWN_PAGES_ALONE = frozenset[str]()
"""The origins of other pages that read this: GraphiQL alone does."""


class PermissionsRoute(AuditedRoute):
    surface = Surface.PERMISSIONS

    def build_refusal(self, app_state: AppState, context: RequestContext, conclusion: Conclusion) -> Response:
        """Build an empty object: the page reads no errors here."""
        headers = tuple((name.encode(), value.encode()) for name, value in conclusion.headers.items())
        return _build_json_response(context, conclusion.status, b"{}", *headers)


router = APIRouter()

audited_router = APIRouter(route_class=PermissionsRoute)


@audited_router.api_route(PATH, methods=list(READ_METHODS))
async def serve_permissions(request: Request) -> Response:
    """Answer with the permissions of the fields in the principal's view of the schema."""
    app_state: AppState = request.state.app_state
    context: RequestContext = request.state.context
    assert context.principal is not None
    engine, principal = app_state.engine, context.principal
    view = await view_for(engine, principal)
    key = "permissions", view.requirements_met if engine.catalog.schema_for_groups else None

    def describe() -> dict[str, bytes]:
        permissions = list_field_permissions(engine.catalog.policy, view.schema, engine.catalog.groups.contacts)
        return {"permissions": zlib.compress(orjson.dumps(permissions), GZIP_LEVEL, GZIP_WINDOW_BITS)}

    described = await find_or_make(
        engine, principal, engine.introspection_cache, key, describe, lambda made: len(made["permissions"])
    )
    if accepts_gzip(context.head.accept_encoding):
        return _build_json_response(context, 200, described["permissions"], (b"content-encoding", b"gzip"))
    return _build_json_response(context, 200, zlib.decompress(described["permissions"], GZIP_WINDOW_BITS))


@router.api_route(PATH, methods=[method for method in ALL_METHODS if method not in READ_METHODS])
async def refuse_method(request: Request) -> Response:
    """Refuse a method that does not read, before any key is looked at."""
    context = begin_request(parse_head(request.scope), Surface.PERMISSIONS)
    return _build_json_response(context, 405, b"{}", (b"allow", b"GET, HEAD"))


def list_field_permissions(
    policy: AccessPolicy, schema: GraphQLSchema, contacts: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """List by `Type.field` of a schema its `groups`, one of each list of which is needed, its `owner` and `contact`.

    What the policy knows beside the schema is not named: a view leaves out types of which no field is left, too.
    """
    fields = ((name, field) for name, type in schema.type_map.items() for field in getattr(type, "fields", ()))
    coordinates = [coordinate for coordinate in fields if coordinate in policy.requirements]
    return {".".join(coordinate): _describe_permission(policy, coordinate, contacts) for coordinate in coordinates}


def _describe_permission(
    policy: AccessPolicy, coordinate: SchemaCoordinate, contacts: Mapping[str, str]
) -> dict[str, Any]:
    owner = policy.owners.get(coordinate)
    contact = contacts.get(owner or "")
    return {
        "groups": minimize_requirements(policy.requirements[coordinate]),
        **({"owner": owner} if owner else {}),
        **({"contact": contact} if contact else {}),
    }


def _build_json_response(context: RequestContext, status: int, body: bytes, *headers: Header) -> Response:
    common = build_common_headers(context, OWN_PAGES_ALONE)
    length = (b"content-length", str(len(body)).encode())
    return build_raw_response(
        status, (CONTENT_TYPE, length, *common, *headers), b"" if context.head.method == "HEAD" else body
    )
