"""Limits in, an open DuckDB out that reaches nothing but its own folder; its failures, as a client may hear them.

The one place DuckDB is imported: only when rows are first poured.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import duckdb

from engine.errors import Code, SourceFailed
from engine.house import Limits
from sources.scratch import folder
from sources.scratch.folder import Folder

ALONE = (
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
    "preserve_insertion_order = false",
    "enable_external_access = false",
    "lock_configuration = true",
)
Connection = duckdb.DuckDBPyConnection
Error = duckdb.Error
Options: TypeAlias = dict[str, str | bool | int | float | list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """`folder` is ours alone, and gone with the database."""

    connection: Connection
    folder: Folder

    def close(self) -> None:
        self.connection.close()
        self.folder.close()


def opened(limits: Limits) -> Database:
    """Raises SourceFailed."""
    try:
        made = folder.made()
    except OSError:
        raise SourceFailed("there is no room for a scratch database") from None
    try:
        return Database(connection=_connected(made.path, limits), folder=made)
    except Error as error:
        made.close()
        raise failure(error, limits) from None


def _connected(within: Path, limits: Limits) -> Connection:
    memory: Options = {"memory_limit": f"{limits.scratch_bytes}B", "threads": "1", "temp_directory": str(within)}
    connection = duckdb.connect(":memory:", config=memory)
    # Given with the others it is not heeded.
    connection.execute(f"SET max_temp_directory_size = '{limits.scratch_disk_bytes}B'")
    for each in ALONE:
        connection.execute(f"SET {each}")
    return connection


def failure(error: Exception, limits: Limits) -> SourceFailed:
    if "max_temp_directory_size" in str(error):
        return _over("scratch_disk_bytes", limits.scratch_disk_bytes)
    if isinstance(error, duckdb.OutOfMemoryException):
        return _over("scratch_bytes", limits.scratch_bytes)
    if isinstance(error, duckdb.DataError | duckdb.InvalidInputException | ArithmeticError | ValueError):
        return SourceFailed("a number in it is too large to reckon with", Code.CANNOT_ANSWER)
    return SourceFailed("the scratch database could not answer")


def _over(name: str, value: int) -> SourceFailed:
    """Of the whole process: questions beside this one may have taken the most of it."""
    reason = f"more rows outgrow memory than the limit `{name}` of {value} lets, filter it or ask again later"
    return SourceFailed(reason, Code.LIMIT_EXCEEDED)
