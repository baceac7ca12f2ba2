"""Build the FastAPI app of every route but /graphql, which is served as raw ASGI for its speed."""

from fastapi import FastAPI, Request, Response

from onedoor.http import exports, health, permissions
from onedoor.http.pages import StaticFiles
from onedoor.http.responses import build_raw_response

NOT_FOUND_BODY = (
    b'{"errors":[{"message":"there is nothing here, ask at /graphql","extensions":{"code":"BAD_REQUEST"}}]}'
)


def build_routes(*pages: StaticFiles) -> FastAPI:
    """Build the app; it finds the state of the open server in `request.state.app_state`."""
    routes = FastAPI(
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        exception_handlers={404: respond_not_found, 405: respond_not_found},
    )
    for router in (health.router, exports.router, permissions.audited_router, permissions.router):
        routes.include_router(router)
    for files in pages:
        routes.include_router(files.build_router())
    return routes


async def respond_not_found(request: Request, error: Exception) -> Response:
    """Answer a path or a method that no route has."""
    headers = ((b"content-type", b"application/json"), (b"content-length", str(len(NOT_FOUND_BODY)).encode()))
    return build_raw_response(404, headers, NOT_FOUND_BODY)
