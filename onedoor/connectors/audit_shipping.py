"""Ship the audit log to where years of it are queried: Parquet in a folder or a bucket, and PostgreSQL.

One file holds what one process recorded on one day (UTC), sorted by time, and is shipped once the day is over and every
file of the log with a part in it has ended. The log itself stays, as the only thing that is sealed.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import orjson
import pyarrow
from pyarrow import parquet

from onedoor.audit import reader
from onedoor.audit.interrupted import CLOSED_SUFFIX
from onedoor.audit.retention import parse_file_start
from onedoor.audit.settings import ShippingBucket, ShippingSettings
from onedoor.connectors.audit_log import AUDIT_COLUMNS
from onedoor.connectors.checkpoint_stores import open_bucket_client
from onedoor.connectors.spill.parquet_sort import sort_parquet
from onedoor.errors import ConfigurationError, OnedoorError
from onedoor.spi.capabilities import ColumnType

ROWS_PER_GROUP = 122_880

ROWS_PER_BATCH = 10_000

ARROW_TYPES: Mapping[ColumnType, Any] = {
    ColumnType.TEXT: pyarrow.string(),
    ColumnType.INTEGER: pyarrow.int64(),
    ColumnType.FLOAT: pyarrow.float64(),
    ColumnType.TIME: pyarrow.timestamp("us", tz="UTC"),
    ColumnType.LIST: pyarrow.list_(pyarrow.string()),
}

POSTGRESQL_TYPES: Mapping[ColumnType, str] = {
    ColumnType.TEXT: "text",
    ColumnType.INTEGER: "bigint",
    ColumnType.FLOAT: "double precision",
    ColumnType.TIME: "timestamptz",
    ColumnType.LIST: "text[]",
}


def read_changes_text(record: Mapping[str, Any]) -> str | None:
    """Return the changes of a record as JSON."""
    changes = record.get("changes")
    return orjson.dumps(changes).decode() if changes else None


SHIPPED_COLUMNS: Mapping[str, tuple[ColumnType, Callable[[Mapping[str, Any]], Any]]] = {
    **AUDIT_COLUMNS,
    "literals": (ColumnType.LIST, lambda record: tuple(record.get("literals") or ())),
    "changes": (ColumnType.TEXT, read_changes_text),
    "digest": (ColumnType.TEXT, lambda record: record.get("digest")),
}
"""The columns of what is shipped, by name: those of `requests`, and what a file has beside them."""

SCHEMA = pyarrow.schema([(name, ARROW_TYPES[kind]) for name, (kind, _) in SHIPPED_COLUMNS.items()])


class ShippingFailed(OnedoorError):
    """A destination does not take what is shipped; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipment:
    """What a process recorded on one day, and the files of the log that may hold a part of it."""

    day: date
    process: str
    paths: Sequence[Path]

    @property
    def name(self) -> str:
        return f"{self.day.isoformat()}-{self.process}"


class Destination(Protocol):
    """Where shipments go, each once, whole or not at all."""

    def holds(self, name: str) -> bool:
        """Whether a shipment is there. Raises ShippingFailed."""
        ...

    def put(self, name: str, path: Path) -> None:
        """Put a file of Parquet there. Raises ShippingFailed."""
        ...


def ship(folder: Path, destinations: Sequence[Destination], now: datetime) -> list[str]:
    """Ship what is not there yet, and return the names of what was shipped. Raises ShippingFailed."""
    shipped = []
    for shipment in list_shipments(folder, now):
        wanting = [destination for destination in destinations if not destination.holds(shipment.name)]
        if not wanting:
            continue
        with tempfile.TemporaryDirectory() as place:
            path = write_parquet(shipment, Path(place))
            for destination in wanting if path is not None else ():
                assert path is not None
                destination.put(shipment.name, path)
            if path is not None:
                shipped.append(shipment.name)
    return shipped


def list_shipments(folder: Path, now: datetime) -> list[Shipment]:
    """List what days that are over have left, by process, but for those of which a file still grows or is recovered."""
    paths_by_shipment: dict[tuple[date, str], list[Path]] = {}
    open_shipments = set[tuple[date, str]]()
    for path in reader.list_log_files(folder):
        name = reader.get_log_name(path)
        process = name.removesuffix(".jsonl").rpartition("-")[2]
        has_ended = path.with_name(name + CLOSED_SUFFIX).exists()
        end = datetime.fromtimestamp(path.stat().st_mtime, UTC) if has_ended else now
        for day in _list_days(parse_file_start(name).date(), end.date()):
            paths_by_shipment.setdefault((day, process), []).append(path)
            if not has_ended or day >= now.date():
                open_shipments.add((day, process))
    return [
        Shipment(day=day, process=process, paths=paths)
        for (day, process), paths in sorted(paths_by_shipment.items())
        if (day, process) not in open_shipments
    ]


def _list_days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=number) for number in range((last - first).days + 1))


def write_parquet(shipment: Shipment, folder: Path) -> Path | None:
    """Write the records of a shipment, sorted by time, into a file of a folder; None: there are none."""
    day = shipment.day.isoformat()
    records = (record for record in reader.merge_files(shipment.paths) if record["time"].startswith(day))
    unsorted, path = folder / "unsorted.parquet", folder / f"{shipment.name}.parquet"
    count = 0
    with parquet.ParquetWriter(unsorted, SCHEMA, compression="zstd") as writer:
        while batch := list(islice(records, ROWS_PER_BATCH)):
            writer.write_table(build_table(batch))
            count += len(batch)
    if not count:
        return None
    sort_parquet(unsorted, path, ("time", "id"), ROWS_PER_GROUP)
    unsorted.unlink()
    return path


def build_table(records: Sequence[Mapping[str, Any]]) -> Any:
    """Build a table of Arrow of some records."""
    return pyarrow.table(
        {name: [read(record) for record in records] for name, (_, read) in SHIPPED_COLUMNS.items()}, schema=SCHEMA
    )


def open_destinations(settings: ShippingSettings) -> list[Destination]:
    """Open what the settings name. Raises ConfigurationError where that is nothing."""
    destinations: list[Destination] = []
    if settings.folder is not None:
        destinations.append(FolderDestination(settings.folder))
    if settings.s3 is not None:
        destinations.append(BucketDestination(settings.s3))
    if settings.url is not None:
        destinations.append(PostgresqlDestination(settings.url))
    if not destinations:
        raise ConfigurationError("there is nowhere to ship records to: set `records.shipping.folder`, `s3` or `url`")
    return destinations


class FolderDestination:
    """A folder of Parquet files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def holds(self, name: str) -> bool:
        return (self.folder / f"{name}.parquet").exists()

    def put(self, name: str, path: Path) -> None:
        """Copy the file, durable before it has its name."""
        part = self.folder / f".{name}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with path.open("rb") as source, part.open("wb") as target:
                shutil.copyfileobj(source, target)
                target.flush()
                os.fsync(target.fileno())
            part.rename(self.folder / f"{name}.parquet")
        except OSError as error:
            raise ShippingFailed(f"the folder of shipped records takes no file: {error.strerror}") from error


class BucketDestination:
    """A bucket of Parquet files."""

    def __init__(self, settings: ShippingBucket) -> None:
        self.settings = settings
        self._client = open_bucket_client(settings)

    def holds(self, name: str) -> bool:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client.head_object(Bucket=self.settings.bucket, Key=self._get_key(name))
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                return False
            raise self._map_error(error) from error
        except BotoCoreError as error:
            raise self._map_error(error) from error
        return True

    def put(self, name: str, path: Path) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            with path.open("rb") as file:
                self._client.put_object(Bucket=self.settings.bucket, Key=self._get_key(name), Body=file)
        except (BotoCoreError, ClientError) as error:
            raise self._map_error(error) from error

    def _get_key(self, name: str) -> str:
        return f"{self.settings.prefix}{name}.parquet"

    def _map_error(self, error: Exception) -> ShippingFailed:
        from onedoor.connectors.files.s3 import map_s3_error

        return ShippingFailed(f"the bucket of shipped records: {map_s3_error(error, self.settings.timeout).reason}")


class PostgresqlDestination:
    """A table of PostgreSQL, `onedoor_audit_record`; each shipment is one transaction."""

    def __init__(self, url: str) -> None:
        self.url = url

    def holds(self, name: str) -> bool:
        with self._connect() as connection:
            found = connection.execute("SELECT 1 FROM onedoor_audit_shipment WHERE name = %s", (name,)).fetchone()
            return found is not None

    def put(self, name: str, path: Path) -> None:
        with self._connect() as connection:
            columns = ", ".join(f'"{column}"' for column in SHIPPED_COLUMNS)
            connection.execute("INSERT INTO onedoor_audit_shipment (name) VALUES (%s)", (name,))
            with connection.cursor().copy(f"COPY onedoor_audit_record ({columns}) FROM STDIN") as copy:
                for row in read_rows(path):
                    copy.write_row(row)

    @contextmanager
    def _connect(self) -> Iterator[Any]:
        """Hold a transaction of a database that has the tables. Raises ShippingFailed."""
        import psycopg

        try:
            with psycopg.connect(self.url) as connection:
                for statement in build_table_statements():
                    connection.execute(statement)
                yield connection
        except psycopg.Error as error:
            raise ShippingFailed("the database of shipped records does not take them") from error


def build_table_statements() -> Iterator[str]:
    """Yield what makes the tables where they are missing."""
    columns = ", ".join(f'"{name}" {POSTGRESQL_TYPES[kind]}' for name, (kind, _) in SHIPPED_COLUMNS.items())
    yield "CREATE TABLE IF NOT EXISTS onedoor_audit_shipment (name text PRIMARY KEY)"
    yield f"CREATE TABLE IF NOT EXISTS onedoor_audit_record ({columns})"
    indexes = {"time": "(time)", "id": "(id)", "person": "(person_id, time)", "field": "USING gin (fields)"}
    for name, indexed in indexes.items():
        yield f"CREATE INDEX IF NOT EXISTS onedoor_audit_record_by_{name} ON onedoor_audit_record {indexed}"


def read_rows(path: Path) -> Iterable[tuple[Any, ...]]:
    """Yield the rows of a file of Parquet."""
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS_PER_BATCH):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
