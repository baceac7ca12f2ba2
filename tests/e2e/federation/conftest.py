"""Serve Onedoor as a subgraph, another team's subgraph beside it, and a gateway of Apollo's over both."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import strawberry
from graphql import introspection_types
from strawberry.asgi import GraphQL

from onedoor.model.catalog import Catalog
from onedoor.schema.federation import build_subgraph
from onedoor.schema.visibility import build_visible_schema
from tests import acme
from tests.acme import load_document
from tests.e2e.clients.conftest import NODE, RunningServer, run_server
from tests.servers.serving import HOST, serve_in_thread

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
TOOLS = os.environ.get("APOLLO_GATEWAY")
"""The folder whose node_modules hold @apollo/gateway and @apollo/server."""
SECONDS = 60
DOCUMENT = load_document()


@strawberry.federation.type(keys=["id"])
class Customer:
    """A type of Onedoor's, with the field of another team."""

    id: strawberry.ID
    visits: int

    @classmethod
    def resolve_reference(cls, id: strawberry.ID) -> "Customer":
        return cls(id=id, visits=10 * int(id))


@strawberry.type
class Query:
    @strawberry.field
    def visited(self) -> list[Customer]:
        return [Customer(id=strawberry.ID(name), visits=10 * int(name)) for name in ("3", "1", "2")]


@cache
def build_catalog(*, own: bool = False) -> Catalog:
    """Acme as a subgraph, which nobody changes; `own`: each is shown their own view."""
    catalog = acme.build_catalog()
    return build_subgraph(
        replace(catalog, schema_for_groups=partial(build_visible_schema, DOCUMENT, catalog.policy)) if own else catalog,
        DOCUMENT,
    )


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with run_server(tmp_path_factory.mktemp("records"), build_catalog()) as server:
        yield server


@pytest.fixture(scope="session")
def visits() -> Iterator[str]:
    """The url of the other team's subgraph."""
    fields: Any = introspection_types["__Type"].fields  # type: ignore[attr-defined]
    before = fields["isOneOf"]
    schema = strawberry.federation.Schema(query=Query)
    fields["isOneOf"] = before  # Strawberry puts its own there, for every schema of the process
    with serve_in_thread(GraphQL(schema)) as port:
        yield f"http://{HOST}:{port}/"


Composed = Callable[..., Mapping[str, Any]]


@pytest.fixture(scope="session")
def composed(server: RunningServer, visits: str) -> Composed:
    """What a gateway over both answers: it composes them by what their `_service` tells, and hands the key on."""
    if TOOLS is None:
        pytest.skip("Onedoor below a gateway: name the folder of @apollo/gateway and @apollo/server in APOLLO_GATEWAY")

    def run(text: str) -> Mapping[str, Any]:
        given = {
            "APOLLO_GATEWAY": str(TOOLS),
            "ONEDOOR_URL": server.url,
            "ONEDOOR_KEY": server.key,
            "VISITS_URL": visits,
        }
        done = subprocess.run(
            [NODE, HERE / "gateway.cjs", text],
            cwd=ROOT, env={"PATH": os.environ["PATH"], **given}, capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        data: Mapping[str, Any] = json.loads(done.stdout)
        return data

    return run
