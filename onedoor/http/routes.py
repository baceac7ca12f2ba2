"""Build the FastAPI app of every route but /graphql, which is served as raw ASGI for its speed."""

from collections.abc import Iterable

from fastapi import APIRouter, FastAPI, Request, Response

from onedoor.http import exports, health, permissions
from onedoor.http.cors import Header
from onedoor.http.negotiation import accepts_html
from onedoor.http.pages import StaticFiles
from onedoor.http.responses import build_raw_response

NOT_FOUND_BODY = (
    b'{"errors":[{"message":"there is nothing here, ask at /graphql","extensions":{"code":"BAD_REQUEST"}}]}'
)


GRAPHIQL_PATH = "/graphiql"

JSON_HEADER = (b"content-type", b"application/json")

root_router = APIRouter()


def build_routes(*pages: StaticFiles, routers: Iterable[APIRouter] = ()) -> FastAPI:
    """Build the app; it finds the state of the open server in `request.state.app_state`.

    `routers` are those of what a company has configured.
    """
    routes = FastAPI(
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        exception_handlers={404: respond_not_found, 405: respond_not_found},
    )
    own_routers = (root_router, health.router, exports.router, permissions.audited_router, permissions.router)
    for router in (*own_routers, *routers):
        routes.include_router(router)
    for files in pages:
        routes.include_router(files.build_router())
    return routes


async def respond_not_found(request: Request, error: Exception) -> Response:
    """Answer a path or a method that no route has."""
    return build_not_found_response()


def build_not_found_response(*headers: Header) -> Response:
    length = (b"content-length", str(len(NOT_FOUND_BODY)).encode())
    return build_raw_response(404, (JSON_HEADER, length, *headers), NOT_FOUND_BODY)


@root_router.api_route("/", methods=["GET", "HEAD"])
async def lead_on(request: Request) -> Response:
    """Lead who typed the address into a browser to GraphiQL, and tell any other client where to ask."""
    if not accepts_html(request.headers.get("accept", "")):
        return build_not_found_response((b"vary", b"Accept"))
    location = (b"location", f"{request.scope.get('root_path', '')}{GRAPHIQL_PATH}".encode())
    return build_raw_response(307, (location, (b"vary", b"Accept"), (b"content-length", b"0")))
