"""Records of days that are over are shipped once, sorted, to every destination, and read there as they were."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import psycopg
import pytest
from botocore.config import Config
from click.testing import CliRunner
from pyarrow import parquet

from demo.servers.postgresql import PostgresqlServer
from demo.servers.run import RunningServers, address
from onedoor.audit.interrupted import mark_closed
from onedoor.audit.log import open_audit_log
from onedoor.audit.record import AuditedChange, AuditOutcome, format_timestamp
from onedoor.audit.settings import ShippingBucket, ShippingSettings
from onedoor.cli import main
from onedoor.connectors.audit_log import read_audit_rows
from onedoor.connectors.audit_shipping import (
    BucketDestination,
    FolderDestination,
    PostgresqlDestination,
    ShippingFailed,
    list_shipments,
    open_destinations,
    ship,
)
from onedoor.errors import ConfigurationError
from tests.audit.conftest import record_of

FIRST = datetime(2026, 11, 1, 23, tzinfo=UTC)
SECOND = FIRST + timedelta(hours=2)
AFTER = datetime(2026, 11, 3, 1, tzinfo=UTC)
CHANGE = AuditedChange(id="I-1", type="Customer", row="a" * 32, verb="update", state="DONE")
NAMES = [f"2026-11-01-{os.getpid()}", f"2026-11-02-{os.getpid()}"]


@pytest.fixture
async def records(tmp_path: Path) -> Path:
    """A log of a process that recorded on two days, last things first, and of what changed something two lines."""
    folder = tmp_path / "records"
    folder.mkdir()
    audit_log = open_audit_log(folder, FIRST)
    for number, time in ((3, SECOND), (2, FIRST + timedelta(minutes=2)), (1, FIRST + timedelta(minutes=1))):
        record = record_of(number, time=format_timestamp(time), changes=(CHANGE,))
        await audit_log.append(record_of(number, time=format_timestamp(time), outcome=AuditOutcome.BEGUN))
        await audit_log.append(record)
    audit_log.close()
    end_file(folder)
    return folder


def end_file(folder: Path) -> None:
    (path,) = folder.glob("*.jsonl")
    mark_closed(path)
    os.utime(path, (SECOND.timestamp(), SECOND.timestamp()))


def test_a_file_holds_a_day_of_a_process_sorted_by_time_and_is_shipped_once(records: Path, tmp_path: Path) -> None:
    destination = FolderDestination(tmp_path / "shipped")
    assert ship(records, [destination], AFTER) == NAMES
    assert ship(records, [destination], AFTER) == []
    tables = [parquet.read_table(tmp_path / f"shipped/{name}.parquet") for name in NAMES]
    assert [table["id"].to_pylist() for table in tables] == [[record_of(1).id, record_of(2).id], [record_of(3).id]]
    assert sorted(path.suffix for path in (tmp_path / "shipped").iterdir()) == [".parquet", ".parquet"]


def test_what_is_shipped_is_what_queries_of_the_log_answer(records: Path, tmp_path: Path) -> None:
    ship(records, [FolderDestination(tmp_path / "shipped")], AFTER)
    columns = ("id", "time", "outcome", "person_id", "groups", "fields", "fields_withheld", "sources", "rows", "ms")
    (of_first,) = (parquet.read_table(tmp_path / f"shipped/{name}.parquet") for name in NAMES[:1])
    shown = [row for row in read_audit_rows(records, "requests", columns) if row[1] < SECOND]
    shipped = [tuple(row[column] for column in columns) for row in of_first.to_pylist()]
    assert [[list(value) if isinstance(value, tuple) else value for value in row] for row in sorted(shown)] == [
        list(row) for row in shipped
    ]
    assert '"verb":"update"' in of_first["changes"][0].as_py()


@pytest.mark.parametrize("now", [FIRST, SECOND])
def test_a_day_that_goes_on_is_not_shipped(records: Path, now: datetime) -> None:
    assert NAMES[1] not in [shipment.name for shipment in list_shipments(records, now)]


def test_what_a_process_has_not_ended_is_not_shipped(records: Path) -> None:
    for mark in records.glob("*.closed"):
        mark.unlink()
    assert list_shipments(records, AFTER) == []


def test_a_destination_that_was_away_gets_what_the_others_have(records: Path, tmp_path: Path) -> None:
    first, second = FolderDestination(tmp_path / "first"), FolderDestination(tmp_path / "second")
    ship(records, [first], AFTER)
    assert ship(records, [first, second], AFTER) == NAMES
    assert second.holds(NAMES[0])


def test_a_table_of_postgresql_holds_the_records_once(records: Path, postgresql_started: PostgresqlServer) -> None:
    schema = f"shipped_{uuid4().hex}"
    url = f"{postgresql_started.url()}?options=-csearch_path%3D{schema}"
    with psycopg.connect(postgresql_started.url(), autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        assert ship(records, [PostgresqlDestination(url)], AFTER) == NAMES
        assert ship(records, [PostgresqlDestination(url)], AFTER) == []
        rows = connection.execute(
            f"SELECT id, time, fields, rows FROM {schema}.onedoor_audit_record"
            " WHERE 'Customer.name' = ANY(fields) ORDER BY time"
        ).fetchall()
        connection.execute(f"DROP SCHEMA {schema} CASCADE")
    assert rows[0] == (record_of(1).id, FIRST + timedelta(minutes=1), ["Customer.name"], 2)
    assert [row[0] for row in rows] == [record_of(number).id for number in (1, 2, 3)]


def test_a_database_that_is_away_is_one_clear_sentence(records: Path) -> None:
    with pytest.raises(ShippingFailed, match=r"^the database of shipped records does not take them$"):
        ship(records, [PostgresqlDestination("postgresql://127.0.0.1:1/none")], AFTER)


@pytest.fixture
def bucket(acme_servers: RunningServers) -> Iterator[ShippingBucket]:
    settings = ShippingBucket(
        bucket=f"records-{uuid4()}", access_key="any", secret_key=acme_servers.environment["S3_SECRET_KEY"],
        endpoint="http://{}:{}".format(*address(acme_servers, "s3")), prefix="onedoor/",
    )  # fmt: skip
    client: Any = boto3.client(
        "s3", endpoint_url=settings.endpoint, region_name=settings.region, aws_access_key_id="any",
        aws_secret_access_key=settings.secret_key, config=Config(signature_version="s3v4"),
    )  # fmt: skip
    client.create_bucket(Bucket=settings.bucket)
    yield settings
    client.close()


def test_a_bucket_holds_the_files(records: Path, bucket: ShippingBucket) -> None:
    destination = BucketDestination(bucket)
    assert not destination.holds(NAMES[0])
    assert ship(records, [destination], AFTER) == NAMES
    assert ship(records, [destination], AFTER) == []
    with pytest.raises(ShippingFailed, match=r"^the bucket of shipped records: s3 has no such bucket$"):
        BucketDestination(ShippingBucket(**{**as_options(bucket), "bucket": "nowhere"})).put("x", Path(__file__))


def as_options(bucket: ShippingBucket) -> dict[str, Any]:
    return {name: getattr(bucket, name) for name in bucket.__slots__}


def test_the_command_ships_what_the_settings_say(records: Path, tmp_path: Path) -> None:
    settings = tmp_path / "onedoor.toml"
    settings.write_text('[records]\nfolder = "records"\n[records.shipping]\nfolder = "shipped"\n')
    result = CliRunner().invoke(main.main, ["--config", str(settings), "audit", "ship"], env={})
    assert (result.exit_code, result.output.split()) == (0, NAMES), result.output


def test_nowhere_to_ship_to_is_one_clear_sentence() -> None:
    with pytest.raises(ConfigurationError, match=r"^there is nowhere to ship records to"):
        open_destinations(ShippingSettings())
