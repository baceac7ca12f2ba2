"""The door as its own process, over a hundredth of Acme: started, asked from many threads, and told to stop."""

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from auth import users
from demo.data.files import shelve
from demo.data.seed_sql import seed
from demo.run import SECRETS, settings
from demo.servers.run import HOST, NAMES, ROOT, Running, accepts, address
from onedoor.storage.database import open_database

PEPPER = "a pepper of thirty-two characters"
QUESTION = "{ me { firstName } customers(first: 3) { nodes { name } } }"
START_SECONDS = 20


@dataclass(slots=True, kw_only=True)
class Door:
    """A process that serves, and the key that opens it."""

    process: subprocess.Popen[bytes]
    port: int
    key: str


def furnished(folder: Path, running: Running, port: int) -> str:
    """Everything a door needs in a folder; gives a key."""
    (folder / "records").mkdir()
    seed(f"sqlite:///{folder / 'internal.sqlite'}", 0.01)
    shelve(folder, 0.01)
    addresses = {name: address(running, name) for name in NAMES}
    (folder / "onedoor.toml").write_text(settings(folder=folder, port=port, addresses=addresses))
    with closing(open_database(f"sqlite:///{folder}/state.sqlite", PEPPER.encode())) as state:
        users.create_user(state, first_name="Ada", last_name="Lovelace", email="ada@acme.example")
        users.join_group(state, "ada@acme.example", "sales")
        return users.create_key(state, "ada@acme.example").text


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, **SECRETS, "ONEDOOR_PEPPER": PEPPER, "ONEDOOR_CONFIG": str(folder / "onedoor.toml")}


@contextmanager
def open_door(folder: Path, port: int, key: str, workers: int = 1) -> Iterator[Door]:
    command = [sys.executable, "-m", "onedoor", "serve", "--workers", str(workers)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(folder), stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not accepts(port):
            assert process.poll() is None, process.stderr and process.stderr.read().decode()
            assert time.monotonic() < deadline, "the door did not open"
            time.sleep(0.02)
        yield Door(process=process, port=port, key=key)
    finally:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


@dataclass(slots=True)
class Askers:
    """Threads that ask without pause, and the records of the answers they got whole."""

    door: Door
    reconnects: bool = False
    """A new connection for each question."""
    acknowledged: list[str] = field(default_factory=list)
    refused: int = 0
    enough: threading.Event = field(default_factory=threading.Event)

    def run(self, threads: int, until: int) -> list[threading.Thread]:
        """Begins; `enough` is set once `until` answers have come."""
        made = [threading.Thread(target=self.ask, args=(until,)) for _ in range(threads)]
        for each in made:
            each.start()
        return made

    def ask(self, until: int) -> None:
        made = http.client.HTTPConnection(HOST, self.door.port, timeout=40)
        with closing(made) as connection, suppress(OSError, http.client.HTTPException):
            while True:
                self.one(connection)
                if len(self.acknowledged) >= until:
                    self.enough.set()
                if self.reconnects:
                    connection.close()

    def one(self, connection: http.client.HTTPConnection) -> None:
        body = json.dumps({"query": QUESTION, "extensions": {"onedoor": {"record": True}}})
        headers = {"authorization": f"Bearer {self.door.key}", "content-type": "application/json"}
        connection.request("POST", "/graphql", body, headers)
        with connection.getresponse() as reply:
            told = json.loads(reply.read())
        if reply.status == 200:
            self.acknowledged.append(told["extensions"]["onedoor"]["record"])
        else:
            self.refused += 1
