"""A query enters few modules, so that a stranger can follow it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from starlette.types import Receive, Scope, Send

from onedoor.app import App
from onedoor.query.context import GraphQLRequest
from onedoor.query.engine import execute
from tests import acme
from tests.http.conftest import RunningServer, keys, open_server, serve_app, server, state

__all__ = ["keys", "open_server", "server", "state"]

ROOT = Path(__file__).parents[2]

PRODUCT = (str(ROOT / "onedoor"), str(ROOT / "auth"))

QUERY = "{ customers(first: 3) { nodes { id name } } }"

ENGINE_MODULES_MAX = 36

ALL_MODULES_MAX = 52


IS_TRACED: ContextVar[bool] = ContextVar("is_traced", default=False)
"""Whether a call belongs to the request: its tasks inherit this, background work that runs meanwhile does not."""


@contextmanager
def collecting(entered: set[str]) -> Iterator[None]:
    """Collect the product's files whose functions are called for a request that is traced."""

    def trace(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and IS_TRACED.get() and frame.f_code.co_filename.startswith(PRODUCT):
            entered.add(str(Path(frame.f_code.co_filename).relative_to(ROOT)))

    before = sys.getprofile()
    sys.setprofile(trace)
    try:
        yield
    finally:
        sys.setprofile(before)


async def test_a_query_enters_few_modules_of_the_engine() -> None:
    engine, principal = acme.open_engine(acme.build_catalog()), acme.caller("sales")
    entered: set[str] = set()
    IS_TRACED.set(True)
    with collecting(entered):
        result = await execute(engine, principal, GraphQLRequest(query=QUERY))
    assert not result.errors
    assert len(entered) <= ENGINE_MODULES_MAX, "\n".join(sorted(entered))


async def test_a_query_enters_few_modules_from_its_request_to_its_response(server: RunningServer) -> None:
    app = App(None, None)  # type: ignore[arg-type]
    app.app_state = server.app_state

    async def traced_app(scope: Scope, receive: Receive, send: Send) -> None:
        """Serve each request in a task of its own, as the server starts it."""
        IS_TRACED.set(True)
        await app(scope, receive, send)

    await server.ask(QUERY.replace("3", "4"))  # what the first request of a process builds is no part of the route
    entered: set[str] = set()
    async with serve_app(traced_app) as port:
        with collecting(entered):
            response = await replace(server, port=port).ask(QUERY)
    assert response.status == 200
    assert len(entered) <= ALL_MODULES_MAX, "\n".join(sorted(entered))
