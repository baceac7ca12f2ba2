"""Seeding happens once, whole or not at all, and touches nothing that is not the demo's own."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, func, select

from demo.data.business import tables
from demo.data.seed_sql import METADATA, SeedRefused, seed
from demo.servers.run import ROOT

SCALE = 0.01
WORLD = tables(SCALE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "internal.sqlite"


def test_what_was_written_is_read_back_as_it_was(path: Path) -> None:
    seed(f"sqlite:///{path}", SCALE)
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        results = {
            name: sorted(map(tuple, connection.execute(select(table)))) for name, table in METADATA.tables.items()
        }
    engine.dispose()

    assert results == {name: sorted(table.rows) for name, table in WORLD.items()}


def test_money_and_times_are_whole_numbers_in_sqlite(path: Path) -> None:
    seed(f"sqlite:///{path}", SCALE)
    with closing(sqlite3.connect(path)) as connection:
        declared = {row[1]: row[2] for row in connection.execute("PRAGMA table_info(orders)")}
        result = connection.execute("SELECT DISTINCT typeof(total), typeof(placed_at) FROM orders").fetchall()

    assert (declared["total"], declared["placed_at"], result) == (
        "MINOR_UNITS_INT", "UTC_MICROS_INT", [("integer", "integer")],
    )  # fmt: skip


def test_every_reference_has_an_index(path: Path) -> None:
    seed(f"sqlite:///{path}", SCALE)
    with closing(sqlite3.connect(path)) as connection:
        plan = connection.execute("EXPLAIN QUERY PLAN SELECT * FROM orders WHERE customer_id = 1 ORDER BY placed_at")
        steps = [row[3] for row in plan]
        broken = connection.execute("PRAGMA foreign_key_check").fetchall()

    assert steps == ["SEARCH orders USING INDEX ix_orders_customer_id_placed_at (customer_id=?)"]
    assert broken == []


def test_a_whole_seeding_is_kept_and_another_scale_replaces_it(path: Path) -> None:
    url = f"sqlite:///{path}"

    assert [seed(url, SCALE), seed(url, SCALE), seed(url, 0.02), seed(url, 0.02)] == [True, False, True, False]


def test_a_killed_seeding_is_done_again(path: Path) -> None:
    script = f"from demo.data.seed_sql import seed; seed('sqlite:///{path}', 1)"
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    part = path.with_name("internal.sqlite.part")
    deadline = time.monotonic() + 10
    while not part.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert (part.exists(), path.exists()) == (True, False)
    assert seed(f"sqlite:///{path}", SCALE)
    assert os.listdir(path.parent) == ["internal.sqlite"]


@pytest.mark.parametrize("content", [
    pytest.param(b"not a database", id="no database"),
    pytest.param(None, id="someone else's database"),
])  # fmt: skip
def test_a_file_that_is_not_the_demos_is_left_alone(path: Path, content: bytes | None) -> None:
    if content is None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE precious (id INTEGER)")
    else:
        path.write_bytes(content)
    before = path.read_bytes()

    with pytest.raises(SeedRefused, match="not a database that the demo made; remove it"):
        seed(f"sqlite:///{path}", SCALE)
    assert path.read_bytes() == before


def test_a_log_of_the_old_file_is_not_read_into_the_new_one(path: Path) -> None:
    seed(f"sqlite:///{path}", SCALE)
    path.with_name("internal.sqlite-wal").write_bytes(b"of the old file")

    seed(f"sqlite:///{path}", 0.02)

    assert os.listdir(path.parent) == ["internal.sqlite"]


def test_postgresql_holds_the_same_rows_under_its_own_types(postgresql: str) -> None:
    seed(postgresql, SCALE)
    engine = create_engine(postgresql)
    with engine.connect() as connection:
        results = {
            name: sorted(map(tuple, connection.execute(select(table)))) for name, table in METADATA.tables.items()
        }
        described = connection.exec_driver_sql(
            "SELECT column_name, udt_name FROM information_schema.columns WHERE table_name = 'orders'"
        )
        types = {row[0]: row[1] for row in described}
    engine.dispose()

    assert results == {name: sorted(table.rows) for name, table in WORLD.items()}
    assert (types["total"], types["placed_at"], types["status"]) == ("numeric", "timestamptz", "text")


def test_postgresql_is_seeded_once_and_anew_at_another_scale(postgresql: str) -> None:
    assert [seed(postgresql, 0.02), seed(postgresql, 0.02), seed(postgresql, SCALE)] == [True, False, True]


def test_a_postgresql_table_that_is_not_the_demos_is_left_alone(postgresql: str) -> None:
    engine = create_engine(postgresql)
    with engine.begin() as connection:
        METADATA.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE IF EXISTS demo_seed")
        connection.exec_driver_sql("CREATE TABLE customer (id INTEGER)")

    with pytest.raises(SeedRefused, match="holds a table `customer` that the demo did not make"):
        seed(postgresql, SCALE)
    with engine.begin() as connection:
        assert connection.scalar(select(func.count()).select_from(METADATA.tables["customer"])) == 0
        connection.exec_driver_sql("DROP TABLE customer")
    engine.dispose()
