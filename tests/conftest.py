"""Start what tests of several folders share: databases, and the servers behind a hundredth of Acme."""

import gc
import os
import shutil
import signal
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from random import Random
from typing import NoReturn

import pytest

from demo.run import SECRETS
from demo.servers.azure.app import BLOB_ACCOUNT
from demo.servers.postgresql import PostgresqlServer, postgresql_server
from demo.servers.run import RunningServers, servers
from onedoor.http.server import GC_THRESHOLDS
from tests.servers import azurite, mariadb
from tests.servers.mariadb import MariadbServer

MEMORY = Path("/dev/shm")
ROOM_BYTES = 4 * 2**30
DEBIAN_POSTGRESQL = Path("/usr/lib/postgresql/15/bin")


@pytest.fixture(scope="session")
def postgresql_started() -> Iterator[PostgresqlServer]:
    with postgresql_server() as server:
        yield server


@pytest.fixture(scope="session")
def debian_postgresql_started() -> Iterator[PostgresqlServer]:
    """Start a PostgreSQL that has extensions and ICU, which that of the package has not."""
    if not DEBIAN_POSTGRESQL.exists():
        pytest.skip("PostgreSQL with citext and ICU: install postgresql-15")
    with postgresql_server(DEBIAN_POSTGRESQL) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_started() -> Iterator[MariadbServer]:
    if not mariadb.FOUND:
        pytest.skip("MySQL and MariaDB as a source: install mariadb-server")
    with mariadb.mariadb_server() as server:
        yield server


@pytest.fixture(scope="session")
def azurite_started() -> Iterator[str]:
    if azurite.PROGRAM is None:
        pytest.skip(azurite.MISSING_MESSAGE)
    with azurite.run_azurite(BLOB_ACCOUNT, SECRETS["AZURE_BLOB_KEY"]) as url:
        yield url


@pytest.fixture(scope="session")
def acme_servers() -> Iterator[RunningServers]:
    """All of demo.servers.NAMES; nobody kills these."""
    with servers(scale=0.01, environment=SECRETS) as running:
        yield running


def pytest_configure() -> None:
    """Collect garbage as seldom as the server does: a seventh of the time goes into it otherwise.

    Temporary folders are in memory where there is room: tests of what is durable wait for a disk at each write. Each
    event loop of asyncio.Runner would replace Python's own handler of SIGINT and, whenever it looks at it, write out
    the result of its task, which is a whole server for some fixtures.
    """
    gc.set_threshold(*GC_THRESHOLDS)
    signal.signal(signal.SIGINT, interrupt)
    if "TMPDIR" not in os.environ and has_room(MEMORY):
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


def interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def has_room(folder: Path) -> bool:
    """Return whether all temporary folders of a run fit there, the programs among their files included."""
    return (
        os.access(folder, os.W_OK)
        and not os.statvfs(folder).f_flag & os.ST_NOEXEC
        and shutil.disk_usage(folder).free > ROOM_BYTES
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Shuffle the files, and the tests in each, by the seed in ORDER; a file's tests stay together."""
    seed = os.environ.get("ORDER")
    if seed:
        chance, files = Random(seed), defaultdict(list)
        for item in items:
            files[item.path].append(item)
        shuffled = [chance.sample(tests, len(tests)) for tests in chance.sample(list(files.values()), len(files))]
        items[:] = chain.from_iterable(shuffled)


def pytest_collection_finish() -> None:
    """Keep what was imported out of each garbage collection: it stays for as long as the process."""
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what did not run, and what would make it run."""
    for why in sorted({str(item.longrepr[2]) for item in left_out(terminalreporter)}):
        terminalreporter.write_line(f"did not run: {why.removeprefix('Skipped: ')}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where something did not run, if NOTHING_LEFT_OUT is set."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("NOTHING_LEFT_OUT") and reporter is not None and left_out(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def left_out(reporter: pytest.TerminalReporter) -> list[pytest.TestReport]:
    return list(reporter.stats.get("skipped", ()))
