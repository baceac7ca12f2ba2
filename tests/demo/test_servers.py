"""Call the demo's servers with the vendors' own clients, and start, stop and restart them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import boto3
import pytest
from botocore.config import Config

from demo.data import business
from demo.data.files import files
from demo.data.random import size
from demo.run import SECRETS
from demo.servers.run import HOST, NAMES, ROOT, NotReady, RunningServers, accepts, address, kill, restart, servers
from demo.servers.s3 import BUCKET
from demo.servers.snowflake.account import DATABASE, SCHEMA
from tests.servers.snowflake import open_session

SCALE = 0.01
LEFT_BEHIND = """
import os, signal
from demo.servers.run import servers
with servers(("slack",), scale=0.01, environment={"SLACK_TOKEN": "t"}) as running:
    print(running.ports["slack"], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def cursor(demo_servers: RunningServers) -> Iterator[Any]:
    connection = open_session(address(demo_servers, "snowflake"), database=DATABASE, schema=SCHEMA)
    with closing(connection), closing(connection.cursor()) as open_cursor:
        yield open_cursor


@pytest.fixture(scope="module")
def bucket(demo_servers: RunningServers) -> Iterator[Any]:
    client = boto3.client(
        "s3", endpoint_url="http://{}:{}".format(*address(demo_servers, "s3")), region_name="us-east-1",
        aws_access_key_id="any", aws_secret_access_key="any", config=Config(retries={"total_max_attempts": 1}),
    )  # fmt: skip
    yield client
    client.close()


@pytest.mark.parametrize(("table", "rows"), [
    pytest.param("usage_day", list(business.usage_days(size("customer", SCALE))), id="usage_day"),
    pytest.param("revenue_month", list(business.revenue_months(size("customer", SCALE))), id="revenue_month"),
])  # fmt: skip
def test_the_formulas_agree_in_python_and_in_sql(cursor: Any, table: str, rows: list[Any]) -> None:
    cursor.execute(f"select * from {table} order by 1, 2")

    assert cursor.fetchall() == rows


@pytest.mark.parametrize(("table", "columns"), [
    ("usage_day", {"CUSTOMER_ID": "NUMBER", "DAY": "DATE", "API_CALLS": "NUMBER", "ACTIVE_USERS": "NUMBER",
                   "STORAGE_GB": "NUMBER(12,2)"}),
    ("revenue_month", {"CUSTOMER_ID": "NUMBER", "MONTH": "DATE", "REVENUE": "NUMBER(12,2)",
                       "REFUNDS": "NUMBER(12,2)"}),
])  # fmt: skip
def test_the_warehouse_has_the_types_it_says(cursor: Any, table: str, columns: dict[str, str]) -> None:
    cursor.execute(f"describe table {table}")

    assert {row[0]: row[1].replace("(38,0)", "") for row in cursor.fetchall()} == columns


def test_the_bucket_holds_every_file_with_its_type_and_time(bucket: Any) -> None:
    listed = [
        row for page in bucket.get_paginator("list_objects_v2").paginate(Bucket=BUCKET) for row in page["Contents"]
    ]
    expected = {file.key: (len(file.body), file.modified) for file in files(SCALE)}

    assert {row["Key"]: (row["Size"], row["LastModified"]) for row in listed} == expected


def test_a_file_has_its_bytes_and_its_type(bucket: Any) -> None:
    wanted = next(file for file in files(SCALE) if file.key.endswith(".csv"))
    value = bucket.get_object(Bucket=BUCKET, Key=wanted.key)

    assert (value["ContentType"], value["Body"].read()) == ("text/csv", wanted.body)


def test_a_killed_server_refuses_and_comes_back_on_its_port() -> None:
    with servers(("slack",), scale=SCALE, environment={"SLACK_TOKEN": "t"}) as demo_servers:
        port = demo_servers.ports["slack"]
        kill(demo_servers, "slack")
        down = accepts(port)
        restart(demo_servers, "slack")

        assert (down, accepts(port), demo_servers.ports["slack"]) == (False, True, port)
    assert not accepts(port)


def test_a_server_that_cannot_start_says_why() -> None:
    expected = "the `slack` server stopped at its start: SLACK_TOKEN is not set"
    with pytest.raises(NotReady, match=expected), servers(("slack",), environment={"SLACK_TOKEN": ""}):
        pass


def test_no_server_outlives_a_killed_parent() -> None:
    parent = subprocess.run([sys.executable, "-c", LEFT_BEHIND], cwd=ROOT, capture_output=True, text=True)
    deadline = time.monotonic() + 30
    while accepts(int(parent.stdout)) and time.monotonic() < deadline:
        time.sleep(0.02)

    assert parent.returncode == -signal.SIGKILL
    assert not accepts(int(parent.stdout))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_server_stops_promptly(name: str, sign: signal.Signals) -> None:
    with servers((name,), scale=SCALE, environment=SECRETS) as demo_servers:
        os.kill(demo_servers.processes[name].pid, sign)
        demo_servers.processes[name].wait(30)

        assert not accepts(demo_servers.ports[name])


def test_a_server_listens_on_loopback_alone(demo_servers: RunningServers) -> None:
    assert {address(demo_servers, name)[0] for name in demo_servers.ports} == {HOST} == {"127.0.0.1"}
