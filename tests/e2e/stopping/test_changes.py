"""A door that ends while it changes things loses nothing it acknowledged, and repeats nothing it is asked again.

`KILLS=100` ends it a hundred times each way.
"""

import http.client
import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from demo.servers.run import HOST, Running
from onedoor.audit.reader import read_records, verify_folder
from tests.e2e.stopping.doors import Door, furnished, open_door
from tests.e2e.stopping.test_stops import free_port

KILLS = int(os.environ.get("KILLS", "3"))
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
class Maker:
    """One client: makes a product, changes it a few times, and makes the next; what is not answered, it asks again."""

    name: str
    made: dict[str, int] = field(default_factory=dict)
    """By sku, the version that was acknowledged last."""
    answers: int = 0
    waiting: tuple[str, dict[str, Any]] | None = None
    steps: Iterator[tuple[str, dict[str, Any]]] | None = None
    wrong: list[Any] = field(default_factory=list)

    def asks(self) -> Iterator[tuple[str, dict[str, Any]]]:
        number = 0
        while True:
            number += 1
            sku = f"K-{self.name}-{number}"
            yield CREATE, {"sku": sku, "name": sku, "category": "SOFTWARE", "price": "1.00", "discontinued": False}
            for step in range(1, STEPS + 1):
                yield UPDATE, {"id": self.product, "price": f"{step}.50", "ifVersion": str(step)}

    product: str = ""
    sku: str = ""

    def run(self, door: Door, enough: threading.Event, until: int) -> None:
        self.steps = self.steps or self.asks()
        with (
            closing(http.client.HTTPConnection(HOST, door.port, timeout=20)) as connection,
            suppress(OSError, http.client.HTTPException),
        ):
            while not self.wrong:
                if self.waiting is None and (asked := next(self.steps, None)) is not None:
                    self.waiting = asked[0], {**asked[1], "idempotencyKey": f"{self.name}-{self.answers}"}
                if self.waiting is None:
                    return
                self.heard(self.asked(connection, door, *self.waiting))
                if self.answers >= until:
                    enough.set()

    def asked(self, connection: http.client.HTTPConnection, door: Door, text: str, given: dict[str, Any]) -> Any:
        headers = {"authorization": f"Bearer {door.key}", "content-type": "application/json"}
        body = json.dumps({"query": text, "variables": {"input": given}})
        connection.request("POST", "/graphql", body, headers)
        with connection.getresponse() as reply:
            return json.loads(reply.read())

    def heard(self, told: Any) -> None:
        """What is not settled yet is asked again; anything but that and an answer is wrong."""
        if "errors" in told:
            codes = {each["extensions"]["code"] for each in told["errors"]}
            if not codes <= {"CHANGE_UNSETTLED", "SOURCE_OVERLOADED"}:
                self.wrong.append((self.waiting, told))
            return
        ((_, change),) = told["data"].items()
        text, given = self.waiting or ("", {})
        if text is CREATE:
            self.product, self.sku = change["product"]["id"], given["sku"]
        self.made[self.sku] = change["product"]["version"]
        self.answers, self.waiting = self.answers + 1, None


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "told to stop"])
def test_what_was_acknowledged_stands_once_and_what_was_not_is_made_once_when_asked_again(
    tmp_path: Path, acme_servers: Running, capsys: pytest.CaptureFixture[str], how: signal.Signals
) -> None:
    port = free_port()
    key = furnished(tmp_path, acme_servers, port)
    with (tmp_path / "onedoor.toml").open("a") as settings:
        settings.write("\n[limits]\nrequests_a_minute = 1000000\n")
    makers = [Maker(str(number)) for number in range(THREADS)]
    for number in range(KILLS):
        with open_door(tmp_path, port, key) as door:
            ran(makers, door, 5 + number % 7)
            door.process.send_signal(how)
            door.process.wait(35)
            ended(makers)
    with open_door(tmp_path, port, key) as door:
        ran(makers, door, 1)
        for each in makers:
            each.steps = iter(())
        waited(lambda: settled(tmp_path), "some intents are open")
        door.process.terminate()
        door.process.wait(35)
        ended(makers)
    assert [each.wrong for each in makers if each.wrong] == []
    acknowledged = {sku: version for each in makers for sku, version in each.made.items()}
    stands = products(tmp_path)
    with capsys.disabled():
        changes, gone = sum(each.answers for each in makers), len(lost(acknowledged, stands))
        print(
            f"\n{KILLS} x {how.name}, {changes} changes acknowledged, {gone} products with one of them lost or repeated"
        )
    assert lost(acknowledged, stands) == {}
    assert history(tmp_path) == stands
    assert verify_folder(tmp_path / "records").broken is None
    assert any(each.get("changes") for each in read_records(tmp_path / "records"))


THREADS_RUNNING: list[threading.Thread] = []


def ran(makers: list[Maker], door: Door, until: int) -> None:
    """Returns once each has been answered so often since."""
    enough = []
    for each in makers:
        enough.append(threading.Event())
        thread = threading.Thread(target=each.run, args=(door, enough[-1], each.answers + until))
        thread.start()
        THREADS_RUNNING.append(thread)
    for each, event in zip(makers, enough, strict=True):
        came = event.wait(60)
        assert (came, [told for _, told in each.wrong]) == (True, []), each.name


def ended(makers: list[Maker]) -> None:
    while THREADS_RUNNING:
        THREADS_RUNNING.pop().join(30)


def waited(met: Any, otherwise: str) -> None:
    deadline = time.monotonic() + 60
    while not met():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.1)


def rows(path: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
        return connection.execute(statement).fetchall()


def settled(folder: Path) -> bool:
    return not rows(folder / "state.sqlite", "SELECT id FROM intent WHERE state = 'OPEN'")


def products(folder: Path) -> dict[str, int]:
    """By sku, the version; a sku that is there twice would show in the count of the history."""
    found = rows(folder / "internal.sqlite", "SELECT sku, version FROM product WHERE sku LIKE 'K-%'")
    assert len({sku for sku, _ in found}) == len(found)
    return dict(found)


def lost(acknowledged: dict[str, int], stands: dict[str, int]) -> dict[str, Any]:
    return {sku: (version, stands.get(sku)) for sku, version in acknowledged.items() if stands.get(sku, 0) != version}


def history(folder: Path) -> dict[str, int]:
    """By sku, how many changes are kept of it: as many as its version says."""
    found = rows(folder / "state.sqlite", "SELECT after FROM change WHERE type = 'Product' AND state = 'DONE'")
    counted: dict[str, int] = {}
    for (after,) in found:
        sku = json.loads(after)[1]["sku"]
        counted[sku] = counted.get(sku, 0) + 1
    return counted
