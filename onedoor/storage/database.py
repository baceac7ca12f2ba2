"""Open the metadata database, SQLite or PostgreSQL, with its tables up to date."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DisconnectionError, NoSuchModuleError, SQLAlchemyError

from onedoor.errors import ConfigurationError, OnedoorError
from onedoor.storage.private_files import restrict_to_owner

MIGRATIONS_FOLDER = Path(__file__).parent / "migrations"

TIMEOUT_SECONDS = 5
"""How long any statement, connection or lock is waited for."""

URL_REMEDY = "write `sqlite:///path` or `postgresql://host/database`"

SQLITE_FILE_ENDINGS = ("", "-journal", "-wal", "-shm")

MIGRATION_LOCK = 0x0D00
"""PostgreSQL's advisory lock that lets one process at a time migrate."""


class MetadataDatabaseUnavailable(OnedoorError):
    """The metadata database does not answer, so no key can be checked."""


def utc_now() -> datetime:
    """Return the time of the wall clock, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataDatabase:
    """An open database. `pepper` keys the digests of secrets; `now` is the clock of its times."""

    engine: Engine
    pepper: bytes = field(repr=False)
    now: Callable[[], datetime] = utc_now

    @contextmanager
    def read_connection(self) -> Iterator[Connection]:
        """Open a connection to read through."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write_transaction(self) -> Iterator[Connection]:
        """Open a transaction; on SQLite it holds the write lock from the start."""
        with self.engine.connect().execution_options(begin="IMMEDIATE") as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()


def open_database(url: str, pepper: bytes, *, now: Callable[[], datetime] = utc_now) -> MetadataDatabase:
    """Open the database at a URL (`sqlite:///path` or `postgresql://...`), created or migrated first.

    Raises ConfigurationError where it cannot be reached or was written by a newer release.
    """
    address = parse_database_url(url)
    create_sqlite_file(address)
    state = MetadataDatabase(engine=create_database_engine(address), pepper=pepper, now=now)
    try:
        migrate(state)
    except CommandError as reason:
        state.close()
        raise ConfigurationError(
            f"the state {redact_url(address)} was made by a newer release: run that one"
        ) from reason
    except SQLAlchemyError as reason:
        state.close()
        raise ConfigurationError(
            f"the state {redact_url(address)} cannot be opened: does it exist, run and let you write"
        ) from reason
    return state


def migrate(database: MetadataDatabase) -> None:
    """Run the missing migrations in one transaction; other processes wait meanwhile."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with database.write_transaction() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def parse_database_url(url: str) -> URL:
    """Return the URL with our driver. Raises ConfigurationError for other databases than SQLite and PostgreSQL."""
    try:
        address = make_url(url)
    except ArgumentError as reason:
        raise ConfigurationError(f"the state's url cannot be read: {URL_REMEDY}") from reason
    if address.get_backend_name() == "postgresql":
        return address.set(drivername="postgresql+psycopg")
    if address.get_backend_name() == "sqlite" and address.database not in (None, "", ":memory:"):
        return address.set(drivername="sqlite+pysqlite")
    raise ConfigurationError(f"the state cannot be kept in {redact_url(address)}: {URL_REMEDY}")


def create_sqlite_file(address: URL) -> None:
    """Create an empty file for SQLite where there is none, and let no others read it, or what SQLite keeps beside it.

    Raises ConfigurationError.
    """
    if address.get_backend_name() == "sqlite":
        path = Path(str(address.database))
        with suppress(OSError):
            path.touch(mode=0o600)
        restrict_to_owner(path.with_name(path.name + ending) for ending in SQLITE_FILE_ENDINGS)


def create_database_engine(address: URL) -> Engine:
    """Create an engine that waits at most TIMEOUT_SECONDS and never shows the values of a statement."""
    try:
        engine = create_engine(address, hide_parameters=True, connect_args=build_connect_args(address))
    except (ArgumentError, NoSuchModuleError, ImportError) as reason:
        raise ConfigurationError(
            f"the state cannot be kept in {redact_url(address)}: its driver is not installed"
        ) from reason
    if address.get_backend_name() == "sqlite":
        path = Path(str(address.database))
        event.listen(engine, "do_connect", partial(require_file_exists, path))
        event.listen(engine, "connect", configure_sqlite)
        event.listen(engine, "connect", partial(remember_file, path))
        event.listen(engine, "checkout", partial(require_same_file, path))
        event.listen(engine, "begin", begin_sqlite_transaction)
    return engine


def build_connect_args(address: URL) -> dict[str, Any]:
    """Build the arguments that tell each driver how long to wait."""
    if address.get_backend_name() == "sqlite":
        return {"timeout": TIMEOUT_SECONDS}
    return {"connect_timeout": TIMEOUT_SECONDS, "options": f"-c statement_timeout={TIMEOUT_SECONDS}s"}


def require_file_exists(file: Path, *_: object) -> None:
    """Refuse to connect where the file was removed: SQLite would create an empty one."""
    if not file.exists():
        raise sqlite3.OperationalError("no such file")


def remember_file(file: Path, _: object, record: Any) -> None:
    record.info["file"] = file.stat().st_ino


def require_same_file(file: Path, _: object, record: Any, __: object) -> None:
    """Drop connections to a file that was removed or replaced: its keys would stay valid for whoever has it open."""
    if not file.exists() or file.stat().st_ino != record.info["file"]:
        raise DisconnectionError


def configure_sqlite(connection: Any, _: object) -> None:
    """Leave the beginning of transactions to us, as the driver of SQLite begins none around DDL.

    No WAL: switching to it does not wait for others that open the same new file, and writers are few and short.
    """
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys=ON")


def begin_sqlite_transaction(connection: Connection) -> None:
    """Begin a transaction that will write as one, or two of them could wait for each other."""
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('begin', '')}")


def redact_url(address: URL) -> str:
    """Return the URL as a message may show it, without its password."""
    return f"`{address.render_as_string(hide_password=True)}`"
