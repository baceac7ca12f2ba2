"""Start the servers of the benchmark on free ports of loopback; all end with the run."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from auth import api_keys, users
from demo.servers.postgresql import follow
from demo.servers.run import HOST, POLL_SECONDS, READY_SECONDS, ROOT, accepts, reserved_port
from onedoor.storage.database import open_database

PEPPER = "the benchmark's own pepper, which keeps nothing secret"
EMAIL = "bench@acme.example"
GROUPS = ("sales", "support")
SLOW_MS = 5
STOP_SECONDS = 5.0
SETTINGS = """\
[state]
url = {state}
pepper = {{ env = "ONEDOOR_PEPPER" }}

[records]
folder = {records}

[limits]
first_max = 10000
cost_max = 10000000
requests_a_minute = 1000000000
loop_seconds_a_minute = 1000000000
concurrency_a_key = 100

[sources.database]
kind = "postgresql"
url = {{ env = "DATABASE" }}

{rest}
"""


class NotRunning(Exception):
    """A server did not come up, or went away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One process that answers at `port`."""

    name: str
    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


def start(stack: ExitStack, name: str, *words: str, environment: Mapping[str, str]) -> Server:
    """`python -m name` on a port of its own, answering; it ends with the stack. Raises NotRunning."""
    port = reserved_port(stack)
    process = subprocess.Popen(
        (sys.executable, "-m", name, "--port", str(port), *words),
        cwd=ROOT, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, process_group=0,
        preexec_fn=follow,
    )  # fmt: skip
    stack.callback(stop, process)
    server = Server(name=name, port=port, process=process)
    wait(server)
    return server


def wait(server: Server) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not accepts(server.port):
        if server.process.poll() is not None or time.monotonic() > deadline:
            raise NotRunning(f"`{server.name}` did not come up")
        time.sleep(POLL_SECONDS)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def upstreams() -> Iterator[dict[str, str]]:
    """Serve the forum, prompt and slow, and return the environment variables that name it."""
    with ExitStack() as stack:
        forum = start(stack, "benchmarks.upstream", environment={})
        slow = start(stack, "benchmarks.upstream", "--delay", str(SLOW_MS), environment={})
        yield {"FORUM": forum.url, "SLOW_FORUM": slow.url}


def settle(folder: Path, environment: Mapping[str, str]) -> str:
    """Write the settings and the metadata database into a folder, and return an API key."""
    (folder / "records").mkdir()
    state = f"sqlite:///{folder / 'state.sqlite'}"
    rest = "\n".join(forum(name, environment[name.upper()]) for name in ("forum", "slow_forum"))
    text = SETTINGS.format(state=json.dumps(state), records=json.dumps(str(folder / "records")), rest=rest)
    (folder / "onedoor.toml").write_text(text, encoding="utf-8")
    with closing(open_database(state, PEPPER.encode())) as known:
        users.create_user(known, first_name="Ben", last_name="Mark", email=EMAIL)
        for group in GROUPS:
            users.join_group(known, EMAIL, group)
        return api_keys.create_key(known, EMAIL).text


def forum(name: str, url: str) -> str:
    return FORUM.format(name=name, url=json.dumps(url))


FORUM = """\
[sources.{name}]
kind = "rest"
base_url = {url}
private_addresses = true

[sources.{name}.collections.posts]
path = "/posts"
columns.id = "integer"
columns.user_id = {{ kind = "integer", at = "userId" }}
columns.title = "text"
order = {{ parameter = "sort", columns = ["id"] }}
limit = {{ parameter = "limit" }}

[sources.{name}.collections.users]
path = "/users"
columns.id = "integer"
columns.name = "text"
columns.email = "text"
keys.id = {{ parameter = "id", most = 500, separator = "," }}
"""
