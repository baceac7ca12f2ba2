"""Measure the grouping of many rows in memory and in the spill database: `python -m benchmarks.spill`.

Once with all rows in memory and once through the scratch database, each in a process of its own, so that the most
memory it ever held is its own.
"""

import argparse
import asyncio
import multiprocessing
import resource
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from auth.authentication import Principal
from onedoor.company import build_company_schema, load_company
from onedoor.config import SchemaSettings
from onedoor.connectors.spill.factory import SpillTableFactory
from onedoor.model.catalog import Catalog, Limits
from onedoor.query.context import GraphQLRequest, build_query_engine
from onedoor.query.engine import execute
from onedoor.schema.builder import build_document, build_schema_and_policy, compute_version
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest

ACME = Path(__file__).parents[1]
ROWS = 2_000_000
BATCH = 5000
CUSTOMERS = 10_000
KIBIBYTE = 1024
GROUPS = """{ orders { groups(
    by: [{customer: {country: VALUE}}, {placedAt: MONTH}], having: {count: {gt: 10}}, orderBy: [{sum: {total: DESC}}]
) { key { customer { country } placedAt } aggregate { count sum { total } max { placedAt } } } } }"""
COUNTRIES = ("FR", "DE", "NO", "PT", "AT", "JP", "BR", "KE")
START, MINUTE = datetime(2025, 1, 1, tzinfo=UTC), timedelta(minutes=1)
PROMISES = {
    "customer": {"id": ColumnType.INTEGER, "country": ColumnType.TEXT},
    "orders": {
        "id": ColumnType.INTEGER,
        "customer_id": ColumnType.INTEGER,
        "placed_at": ColumnType.TIME,
        "total": ColumnType.DECIMAL,
    },
}
ASKING = Principal(
    person_id="P1", first_name="Ada", last_name="Lovelace", email="ada@acme.example",
    groups=frozenset({"everyone", "finance", "sales"}), grants=(),
    key_id="Key012345678", key_created=START, key_expires=START,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class GeneratedRows:
    """A source whose rows are made as they are read."""

    rows: int

    def capabilities(self, collection: str) -> Capabilities:
        return Capabilities(columns={name: Column(kind) for name, kind in PROMISES[collection].items()})

    async def scan(self, ask: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        rows, row = (CUSTOMERS, customer) if ask.collection == "customer" else (self.rows, order)
        names = (*PROMISES[ask.collection],)
        at = [names.index(column) for column in ask.columns]
        for start in range(0, rows, BATCH):
            await asyncio.sleep(0)
            whole = map(row, range(start, min(rows, start + BATCH)))
            yield [tuple(item[place] for place in at) for item in whole]

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None


def customer(number: int) -> Row:
    return number, COUNTRIES[number % len(COUNTRIES)]


def order(number: int) -> Row:
    return number, number * 7919 % CUSTOMERS, START + number * MINUTE, Decimal(number * 31 % 100_000).scaleb(-2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """`peak` in MB, `before` as much of it as there was before the question."""

    name: str
    data: object
    outgrown: int
    seconds: float
    busy: float
    """Seconds of the processor."""
    before: int
    peak: int


def measure(name: str, rows: int, most: int) -> Measurement:
    limits = Limits(rows_in_memory=most, rows_read=10 * ROWS, request_seconds=600, source_seconds=60)
    parts = build_company_schema(load_company(ACME), SchemaSettings(), exports=False)
    schema, rules = build_schema_and_policy(parts.modules, parts.masking_groups)
    catalog = Catalog(
        schema=schema,
        policy=rules,
        mappings=parts.mappings,
        connectors={"internal": GeneratedRows(rows)},
        limits=limits,
        open_spill_table=SpillTableFactory(limits),
        cursor_secret=b"a secret of the benchmark",
        version=compute_version(build_document(parts.modules, parts.masking_groups)),
    )
    before, start, idle = peak(), time.perf_counter(), time.process_time()
    engine = build_query_engine(catalog, lambda caller: {}, time.monotonic)
    result = asyncio.run(execute(engine, ASKING, GraphQLRequest(query=GROUPS)))
    seconds, busy = time.perf_counter() - start, time.process_time() - idle
    assert not result.errors, result.errors
    outgrown = sum(scan_stat.spilled_row_count for scan_stat in result.scan_stats)
    return Measurement(
        name=name, data=result.data, outgrown=outgrown, seconds=seconds, busy=busy, before=before, peak=peak()
    )


def peak() -> int:
    """Of this process so far, in MB; the kernel says it in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIBIBYTE // 10**6


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spill")
    parser.add_argument("--rows", type=int, default=ROWS)
    rows = parser.parse_args().rows
    alone = multiprocessing.get_context("spawn")
    ways = (("in memory", 10 * ROWS), ("outgrown", Limits().rows_in_memory))
    runs = []
    for name, most in ways:
        with alone.Pool(1) as pool:
            runs.append(pool.apply(measure, (name, rows, most)))
    assert runs[0].data == runs[1].data, "the two ways answered differently"
    print("| way | rows | rows through the scratch database | seconds | of them busy | MB before | MB at most |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for run in runs:
        took = f"{run.seconds:.1f} | {run.busy:.1f} | {run.before} | {run.peak}"
        print(f"| {run.name} | {rows:,} | {run.outgrown:,} | {took} |")


if __name__ == "__main__":
    main()
