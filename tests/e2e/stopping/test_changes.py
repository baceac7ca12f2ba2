"""A server that ends while it applies mutations loses none that it acknowledged and repeats none that is resent."""

import http.client
import json
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from demo.servers.run import HOST, RunningServers
from onedoor.audit.reader import read_records
from onedoor.audit.verification import verify_folder
from tests.e2e.stopping.server_process import (
    ServerProcess,
    has_no_open_intents,
    prepare_company,
    read_rows,
    start_server,
    wait_until,
)
from tests.servers.ports import find_free_port

THREADS = 6
STEPS = 3
"""Changes of a product once it is made."""
CREATE = """mutation ($input: CreateProductInput!) {
    createProduct(input: $input) { id state after { sku } product { id version } }
}"""
UPDATE = (
    """mutation ($input: UpdateProductInput!) { updateProduct(input: $input) { id state product { id version } } }"""
)
HISTORY = '{ products(first: 1000, where: {sku: {startsWith: "K-"}}) { nodes { sku history { totalCount } } } }'


@dataclass(slots=True)
class Client:
    """Creates a product, updates it a few times, and creates the next; what is not answered it sends again."""

    name: str
    acknowledged: dict[str, int] = field(default_factory=dict)
    """The version that was acknowledged last, by sku."""
    answers: int = 0
    waiting: tuple[str, dict[str, Any]] | None = None
    steps: Iterator[tuple[str, dict[str, Any]]] | None = None
    wrong: list[Any] = field(default_factory=list)

    def generate(self) -> Iterator[tuple[str, dict[str, Any]]]:
        number = 0
        while True:
            number += 1
            sku = f"K-{self.name}-{number}"
            yield CREATE, {"sku": sku, "name": sku, "category": "SOFTWARE", "price": "1.00", "discontinued": False}
            for step in range(1, STEPS + 1):
                yield UPDATE, {"id": self.product, "price": f"{step}.50", "ifVersion": str(step)}

    product: str = ""
    sku: str = ""

    def run(self, server: ServerProcess, enough: threading.Event, until: int) -> None:
        self.steps = self.steps or self.generate()
        with (
            closing(http.client.HTTPConnection(HOST, server.port, timeout=20)) as connection,
            suppress(OSError, http.client.HTTPException),
        ):
            while not self.wrong:
                if self.waiting is None and (asked := next(self.steps, None)) is not None:
                    self.waiting = asked[0], {**asked[1], "idempotencyKey": f"{self.name}-{self.answers}"}
                if self.waiting is None:
                    return
                self.receive(self.send(connection, server, *self.waiting))
                if self.answers >= until:
                    enough.set()

    def send(
        self, connection: http.client.HTTPConnection, server: ServerProcess, text: str, given: dict[str, Any]
    ) -> Any:
        headers = {"authorization": f"Bearer {server.key}", "content-type": "application/json"}
        body = json.dumps({"query": text, "variables": {"input": given}})
        connection.request("POST", "/graphql", body, headers)
        with connection.getresponse() as reply:
            return json.loads(reply.read())

    def receive(self, reply: Any) -> None:
        """Note what was acknowledged; every reply that is neither that nor a reason to send again is wrong."""
        if "errors" in reply:
            codes = {error["extensions"]["code"] for error in reply["errors"]}
            if not codes <= {"CHANGE_UNSETTLED", "SOURCE_OVERLOADED"}:
                self.wrong.append((self.waiting, reply))
            return
        ((_, change),) = reply["data"].items()
        text, given = self.waiting or ("", {})
        if text is CREATE:
            self.product, self.sku = change["product"]["id"], given["sku"]
        self.acknowledged[self.sku] = change["product"]["version"]
        self.answers, self.waiting = self.answers + 1, None


SIGNALS = (signal.SIGKILL, signal.SIGTERM)


@pytest.mark.parametrize("ends", [2, pytest.param(100, marks=pytest.mark.long)])
def test_acknowledged_changes_stand_once_and_resent_ones_are_applied_once(
    tmp_path: Path, acme_servers: RunningServers, ends: int
) -> None:
    port = find_free_port()
    key = prepare_company(tmp_path, acme_servers, port)
    with (tmp_path / "onedoor.toml").open("a") as settings:
        settings.write("\n[limits]\nrequests_a_minute = 1000000\n")
    clients = [Client(str(number)) for number in range(THREADS)]
    for number in range(ends):
        with start_server(tmp_path, port, key) as server:
            run_clients(clients, server, 5 + number % 7)
            server.process.send_signal(SIGNALS[number % 2])
            server.process.wait(60)
            join_clients()
    with start_server(tmp_path, port, key) as server:
        run_clients(clients, server, 1)
        for client in clients:
            client.steps = iter(())
        wait_until(lambda: has_no_open_intents(tmp_path), "some intents are open")
        server.process.terminate()
        server.process.wait(60)
        join_clients()
    assert [client.wrong for client in clients if client.wrong] == []
    acknowledged = {sku: version for client in clients for sku, version in client.acknowledged.items()}
    stands = products(tmp_path)
    assert lost(acknowledged, stands) == {}
    assert history(tmp_path) == stands
    assert not verify_folder(tmp_path / "records").is_altered
    assert any(record.get("changes") for record in read_records(tmp_path / "records"))


THREADS_RUNNING: list[threading.Thread] = []


def run_clients(clients: list[Client], server: ServerProcess, until: int) -> None:
    """Return once each client has received `until` more replies."""
    enough = []
    for client in clients:
        enough.append(threading.Event())
        thread = threading.Thread(target=client.run, args=(server, enough[-1], client.answers + until))
        thread.start()
        THREADS_RUNNING.append(thread)
    for client, event in zip(clients, enough, strict=True):
        came = event.wait(60)
        assert (came, [reply for _, reply in client.wrong]) == (True, []), client.name


def join_clients() -> None:
    while THREADS_RUNNING:
        THREADS_RUNNING.pop().join(30)


def products(folder: Path) -> dict[str, int]:
    """Return the versions by sku."""
    result = read_rows(folder / "internal.sqlite", "SELECT sku, version FROM product WHERE sku LIKE 'K-%'")
    assert len({sku for sku, _ in result}) == len(result)
    return dict(result)


def lost(acknowledged: dict[str, int], stands: dict[str, int]) -> dict[str, Any]:
    return {sku: (version, stands.get(sku)) for sku, version in acknowledged.items() if stands.get(sku, 0) != version}


def history(folder: Path) -> dict[str, int]:
    """Return the number of recorded changes by sku; it equals the version."""
    result = read_rows(folder / "state.sqlite", "SELECT after FROM change WHERE type = 'Product' AND state = 'DONE'")
    counted: dict[str, int] = {}
    for (after,) in result:
        sku = json.loads(after)[1]["sku"]
        counted[sku] = counted.get(sku, 0) + 1
    return counted
