"""Every answer about tables of real types and values agrees with what is shown of them."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from demo.servers.postgresql import PostgresqlServer
from tests.properties.foreign.ask import (
    Ask,
    Contradiction,
    check_filters,
    check_groups,
    check_ids,
    check_pages,
    check_spellings,
    open_probe,
    summarise,
)
from tests.properties.foreign.databases import connect_mariadb, connect_postgresql, connect_sqlite, fill
from tests.properties.foreign.product import open_database
from tests.properties.foreign.shape import INTROSPECTION, Shape, read_shapes
from tests.properties.foreign.tables import Table, draw_tables
from tests.servers.mariadb import MariadbServer

COUNTS = (int(os.environ.get("FOREIGN") or 4), pytest.param(60, marks=pytest.mark.long))
"""How many tables are drawn for each database."""
SEED = int(os.environ.get("SEED") or 20261130)


@pytest.mark.parametrize("count", COUNTS)
async def test_sqlite(tmp_path: Path, count: int) -> None:
    tables = draw_tables("sqlite", SEED, count)
    with connect_sqlite(tmp_path / "foreign.sqlite") as execute:
        kept = fill("sqlite", execute, tables)
    await check_all(f"sqlite:///{tmp_path / 'foreign.sqlite'}", tmp_path / "company", tables, kept)


@pytest.mark.parametrize("count", COUNTS)
async def test_postgresql(postgresql_started: PostgresqlServer, tmp_path: Path, count: int) -> None:
    tables = draw_tables("postgresql", SEED, count)
    url = postgresql_started.emptied("foreign")
    with connect_postgresql(url) as execute:
        kept = fill("postgresql", execute, tables)
    await check_all(url, tmp_path / "company", tables, kept)


@pytest.mark.parametrize("count", COUNTS)
async def test_mariadb(mariadb_started: MariadbServer, tmp_path: Path, count: int) -> None:
    tables = draw_tables("mariadb", SEED, count)
    url = mariadb_started.emptied("foreign")
    with connect_mariadb(mariadb_started.folder / "socket", "foreign") as execute:
        kept = fill("mariadb", execute, tables)
    await check_all(url, tmp_path / "company", tables, kept)


async def check_all(url: str, folder: Path, tables: Sequence[Table], kept: Mapping[str, list[int]]) -> None:
    """Name every contradiction at once, each with the SQL that makes and fills its table."""
    contradictions: list[str] = []
    asked: Counter[str] = Counter()
    async with open_database(url, folder) as ask:
        answer = await ask(INTROSPECTION)
        shapes = read_shapes(answer.data["__schema"], [table.name for table in tables])
        for table in tables:
            counts, found = await check_table(ask, table, kept[table.name], shapes[table.name])
            asked += counts
            contradictions += found
    print(f"{len(tables)} tables, seed {SEED}, questions: {summarise(asked)}; {len(contradictions)} contradictions")
    assert contradictions == [], "\n".join(contradictions)
    assert min(asked[kind] for kind in ("pages", "filters", "groups", "ids")) >= len(tables)


async def check_table(ask: Ask, table: Table, kept: Sequence[int], shape: Shape) -> tuple[Counter[str], Sequence[str]]:
    """Return how many questions of each kind were asked, and the contradictions."""
    asked: Counter[str] = Counter()
    try:
        probe = await open_probe(ask, table, kept, shape)
    except Contradiction as contradiction:
        return asked, [f"{contradiction} [{table.describe()}]"]
    steps = [("pages", check_pages(probe, None)), ("ids", check_ids(probe))]
    for name, type in zip(table.columns, table.types, strict=True):
        if name in shape.fields:
            steps.append(("filters", check_spellings(probe, shape.fields[name], type)))
    for field in probe.fields:
        steps += [("filters", check_filters(probe, field)), ("groups", check_groups(probe, field))]
        if field.is_ordered:
            steps.append(("pages", check_pages(probe, field)))
    found = []
    for kind, step in steps:
        try:
            asked[kind] += await step
        except Contradiction as contradiction:
            found.append(f"{contradiction} [{table.describe()}]")
    return asked, found
