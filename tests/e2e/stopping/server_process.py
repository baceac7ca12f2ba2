"""Start the server as a process over a hundredth of Acme, and send it queries from many threads."""

import http.client
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auth import api_keys, users
from demo.data.files import write_folder
from demo.data.seed_sql import seed
from demo.run import SECRETS, settings
from demo.servers.run import HOST, NAMES, ROOT, RunningServers, accepts, address
from onedoor.storage.database import open_database
from tests.audit.sealed_logs import PRIVATE_KEY

PEPPER = "a pepper of thirty-two characters"
QUERY = "{ me { firstName } customers(first: 3) { nodes { name } } }"
START_SECONDS = 300
"""The deadline is for a server that never starts."""


@dataclass(slots=True, kw_only=True)
class ServerProcess:
    """A process that serves, and an API key for it."""

    process: subprocess.Popen[bytes]
    port: int
    key: str


def prepare_company(folder: Path, running: RunningServers, port: int, internal: str | None = None) -> str:
    """Put everything that a server needs into the folder and return an API key.

    `internal` is the source of Acme's tables, as in `demo.run.settings`; its database is then filled already.
    """
    (folder / "records").mkdir()
    if internal is None:
        seed(f"sqlite:///{folder / 'internal.sqlite'}", 0.01)
    write_folder(folder, 0.01)
    addresses = {name: address(running, name) for name in NAMES}
    (folder / "onedoor.toml").write_text(settings(folder=folder, port=port, addresses=addresses, internal=internal))
    with closing(open_database(f"sqlite:///{folder}/state.sqlite", PEPPER.encode())) as database:
        users.create_user(database, first_name="Ada", last_name="Lovelace", email="ada@acme.example")
        users.join_group(database, "ada@acme.example", "sales")
        return api_keys.create_key(database, "ada@acme.example").text


def wait_until(met: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + 60
    while not met():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.1)


def read_rows(path: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
        return connection.execute(statement).fetchall()


def has_no_open_intents(folder: Path) -> bool:
    return not read_rows(folder / "state.sqlite", "SELECT id FROM intent WHERE state = 'OPEN'")


def build_environment(folder: Path) -> dict[str, str]:
    own = {"ONEDOOR_PEPPER": PEPPER, "ONEDOOR_CHECKPOINT_KEY": PRIVATE_KEY}
    return {**os.environ, **SECRETS, **own, "ONEDOOR_CONFIG": str(folder / "onedoor.toml")}


@contextmanager
def start_server(folder: Path, port: int, key: str, workers: int = 1) -> Iterator[ServerProcess]:
    command = [sys.executable, "-m", "onedoor", "serve", "--workers", str(workers)]
    process = subprocess.Popen(command, cwd=ROOT, env=build_environment(folder), stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not accepts(port):
            assert process.poll() is None, process.stderr and process.stderr.read().decode()
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)
        yield ServerProcess(process=process, port=port, key=key)
    finally:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


@dataclass(slots=True, kw_only=True)
class Clients:
    """Threads that send queries without pause, and the record ids of the replies that they received whole."""

    port: int
    key: str
    query: str = QUERY
    reconnects: bool = False
    """Open a new connection for each query."""
    acknowledged: list[str] = field(default_factory=list)
    refused: int = 0
    enough: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)

    def start(self, threads: int, until: int) -> list[threading.Thread]:
        """Start the threads; `enough` is set once `until` replies have come."""
        started = [threading.Thread(target=self.send_queries, args=(until,)) for _ in range(threads)]
        for thread in started:
            thread.start()
        return started

    def send_queries(self, until: int) -> None:
        opened = http.client.HTTPConnection(HOST, self.port, timeout=40)
        with closing(opened) as connection, suppress(OSError, http.client.HTTPException):
            while not self.stopped.is_set():
                self.send_query(connection)
                if len(self.acknowledged) >= until:
                    self.enough.set()
                if self.reconnects:
                    connection.close()

    def send_query(self, connection: http.client.HTTPConnection) -> None:
        body = json.dumps({"query": self.query, "extensions": {"onedoor": {"record": True}}})
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        connection.request("POST", "/graphql", body, headers)
        with connection.getresponse() as response:
            reply = json.loads(response.read())
        if response.status == 200:
            self.acknowledged.append(reply["extensions"]["onedoor"]["record"])
        else:
            self.refused += 1
