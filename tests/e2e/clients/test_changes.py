"""A page changes a row, watches its changes, and learns of a conflict: Apollo Client and urql over a real server."""

import json
from collections.abc import Iterator

import pytest

from demo.servers.run import RunningServers
from tests.e2e.clients.conftest import Node, RunningServer
from tests.e2e.stopping.server_process import prepare_company, start_server
from tests.servers.ports import find_free_port

SHOWN = {"saved": True, "versions": True, "watched": True, "conflict": "conflict", "after": True}


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory, acme_servers: RunningServers) -> Iterator[RunningServer]:
    """A hundredth of Acme in a process of its own."""
    folder, port = tmp_path_factory.mktemp("acme"), find_free_port()
    key = prepare_company(folder, acme_servers, port)
    with start_server(folder, port, key):
        yield RunningServer(url=f"http://127.0.0.1:{port}/graphql", key=key, folder=folder / "records")


@pytest.mark.parametrize(("page", "order"), [("apollo-live", "1"), ("urql-live", "2")])
def test_a_page_saves_watches_and_detects_a_conflict(page: str, order: str, acme: RunningServer, node: Node) -> None:
    shown = json.loads(node("change.mjs", page, order, server=acme))

    assert {name: shown[name] for name in SHOWN} == SHOWN


def test_apollo_joins_pages_and_remembers_denied_fields(acme: RunningServer, node: Node) -> None:
    shown = json.loads(node("change.mjs", "apollo-live", "3", server=acme))

    assert shown["pages"][0] == 40
    assert shown["pages"][-1] == 100
    assert shown["denied"] == [["customer.creditLimit", "sales operations"]]
