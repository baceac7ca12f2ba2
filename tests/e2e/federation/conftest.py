"""The door as a subgraph on a real port, another team's beside it, and a gateway of Apollo's over both."""

import asyncio
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import strawberry
import uvicorn
from strawberry.asgi import GraphQL

from onedoor.http.server import bind_socket
from onedoor.model.catalog import Catalog
from onedoor.schema.builder import build_document
from onedoor.schema.federation import build_subgraph
from onedoor.schema.visibility import build_visible_schema
from tests import acme
from tests.acme import load_schema_modules
from tests.e2e.clients.conftest import NODE, Door, standing

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
TOOLS = os.environ.get("APOLLO_GATEWAY")
"""The folder whose node_modules hold @apollo/gateway and @apollo/server."""
SECONDS = 60
DOCUMENT = build_document(load_schema_modules())


@strawberry.federation.type(keys=["id"])
class Customer:
    """The door's own type, with what another team knows of it."""

    id: strawberry.ID
    visits: int

    @classmethod
    def resolve_reference(cls, id: strawberry.ID) -> "Customer":
        return cls(id=id, visits=10 * int(id))


@strawberry.type
class Query:
    @strawberry.field
    def visited(self) -> list[Customer]:
        return [Customer(id=strawberry.ID(each), visits=10 * int(each)) for each in ("3", "1", "2")]


def house(*, own: bool = False) -> Catalog:
    """Acme as a subgraph; `own`: each is shown their own view."""
    made = acme.house()
    return build_subgraph(
        replace(made, schema_for_groups=partial(build_visible_schema, DOCUMENT, made.policy)) if own else made, DOCUMENT
    )


@pytest.fixture(scope="session")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with standing(tmp_path_factory.mktemp("journal"), house()) as open_door:
        yield open_door


@pytest.fixture(scope="session")
def visits() -> Iterator[str]:
    """The url of the other team's subgraph."""
    with serving(GraphQL(strawberry.federation.Schema(query=Query))) as url:
        yield url


@contextmanager
def serving(app: Any) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
    listener = bind_socket("127.0.0.1", 0)
    listener.listen()
    thread = Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()


Composed = Callable[..., Mapping[str, Any]]


@pytest.fixture(scope="session")
def composed(door: Door, visits: str) -> Composed:
    """What a gateway over both answers: it composes them by what their `_service` tells, and hands the key on."""
    if TOOLS is None:
        pytest.skip("Onedoor below a gateway: name the folder of @apollo/gateway and @apollo/server in APOLLO_GATEWAY")

    def run(text: str) -> Mapping[str, Any]:
        given = {"APOLLO_GATEWAY": str(TOOLS), "ONEDOOR_URL": door.url, "ONEDOOR_KEY": door.key, "VISITS_URL": visits}
        done = subprocess.run(
            [NODE, HERE / "gateway.cjs", text],
            cwd=ROOT, env={"PATH": os.environ["PATH"], **given}, capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found: Mapping[str, Any] = json.loads(done.stdout)
        return found

    return run
