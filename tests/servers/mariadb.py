"""Run a real MariaDB on a free port of loopback, where it is installed; it can be killed and restarted."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pymysql

from demo.servers.postgresql import follow
from tests.servers.ports import find_free_port

HOST = "127.0.0.1"
PROGRAM = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
INSTALL = shutil.which("mariadb-install-db", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
FOUND = PROGRAM is not None and INSTALL is not None
READY_SECONDS = 30.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.05
SETTINGS = (
    "--bind-address=127.0.0.1", "--skip-log-bin", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M",
    "--max-connections=60", "--skip-name-resolve", "--performance-schema=OFF", "--lower-case-table-names=0",
    "--innodb-log-file-size=8M",
)  # fmt: skip


@dataclass(slots=True, kw_only=True)
class MariadbServer:
    """One server: its data stay where they are, whatever becomes of its process."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "test") -> str:
        return f"mysql://acme:acme@{HOST}:{self.port}/{database}"

    def start(self) -> None:
        """Returns when it answers."""
        assert PROGRAM is not None
        self.process = subprocess.Popen(
            [PROGRAM, "--no-defaults", *owner(), f"--datadir={self.folder / 'data'}", f"--port={self.port}",
             f"--socket={self.folder / 'socket'}", f"--pid-file={self.folder / 'pid'}", *SETTINGS],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0, preexec_fn=follow,
        )  # fmt: skip
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                with closing(socket.socket(socket.AF_UNIX)) as knocking:
                    knocking.connect(str(self.folder / "socket"))
                    knocking.recv(1)
            except OSError:
                assert time.monotonic() < deadline, f"MariaDB did not answer within {READY_SECONDS:g} s"
                time.sleep(POLL_SECONDS)
            else:
                return

    def stop(self) -> None:
        """At once: clients are cut off, nobody is said goodbye to."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(STOP_SECONDS)
            self.process = None

    def run(self, *statements: str, database: str | None = None) -> list[tuple[object, ...]]:
        """As root; the rows of the last one."""
        with closing(
            pymysql.connect(
                unix_socket=str(self.folder / "socket"), user="root", database=database, autocommit=True,
                charset="utf8mb4",
            )
        ) as connection, connection.cursor() as cursor:  # fmt: skip
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def emptied(self, database: str) -> str:
        """The url of a database with nothing in it."""
        self.run(f"DROP DATABASE IF EXISTS `{database}`", f"CREATE DATABASE `{database}` CHARACTER SET utf8mb4")
        return self.url(database)


@contextmanager
def mariadb_server() -> Iterator[MariadbServer]:
    """Running and answering; stopped, and its folder removed, at the end."""
    folder = Path(tempfile.mkdtemp(prefix="onedoor-mariadb-"))
    server = MariadbServer(folder=folder, port=find_free_port())
    try:
        subprocess.run(
            [str(INSTALL), "--no-defaults", *owner(), f"--datadir={folder / 'data'}", "--skip-test-db",
             "--auth-root-authentication-method=normal", "--innodb-log-file-size=8M"],
            capture_output=True, check=True,
        )  # fmt: skip
        server.start()
        server.run("CREATE DATABASE test", "CREATE USER acme@'%' IDENTIFIED BY 'acme'", "GRANT ALL ON *.* TO acme@'%'")
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def owner() -> tuple[str, ...]:
    """Root's servers run as root: the folder is nobody else's."""
    return ("--user=root",) if os.getuid() == 0 else ()
