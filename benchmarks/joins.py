"""Compare questions through relationships inside one database with their SQL: `python -m benchmarks.joins`.

The statements that Onedoor sends are run by the driver alone in the same run, in turns with the questions. Each line is
a question, and how many times as long Onedoor takes.
"""

import argparse
import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from auth.authentication import Principal
from demo.data.seed_sql import seed
from onedoor.company import build_company_schema, load_company
from onedoor.config import SchemaSettings
from onedoor.connectors.sql.connector import StatementRunner
from onedoor.connectors.sql.sqlite import SqliteOptions, connect, open_read_connection
from onedoor.model.catalog import Catalog, Limits
from onedoor.query.context import GraphQLRequest, QueryEngine, build_query_engine
from onedoor.query.engine import execute
from onedoor.schema.builder import build_document, build_schema_and_policy, compute_version

ACME = Path(__file__).parents[1]
QUESTIONS: Mapping[str, str] = {
    "a page ordered through one relationship": """
        { orders(orderBy: [{customer: {name: ASC}}], first: 2) { nodes { id } } }""",
    "a page ordered through two": """
        { orderItems(orderBy: [{order: {customer: {name: DESC}}}], first: 2) { nodes { quantity } } }""",
    "a page ordered by a count": "{ customers(orderBy: [{orders: {count: DESC}}], first: 2) { nodes { id } } }",
    "groups through one relationship": """
        { orderItems { groups(by: [{order: {status: VALUE}}]) { key { order { status } } aggregate { count } } } }""",
    "groups through two": """
        { orderItems { groups(by: [{order: {customer: {country: VALUE}}}]) {
            key { order { customer { country } } } aggregate { count }
        } } }""",
    "a count filtered through two": """
        { orderItems(where: {order: {customer: {segment: {eq: ENTERPRISE}}}}) { totalCount } }""",
}
ASKING = Principal(
    person_id="P1", first_name="Ada", last_name="Lovelace", email="ada@acme.example",
    groups=frozenset({"everyone", "finance", "sales"}), grants=(),
    key_id="Key012345678", key_created=datetime(2025, 1, 1, tzinfo=UTC), key_expires=datetime(2025, 1, 1, tzinfo=UTC),
)  # fmt: skip
LIMITS = Limits(source_seconds=60, request_seconds=120)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingRunner:
    """Run statements, and note each of them."""

    runner: StatementRunner
    statements: list[tuple[str, Sequence[Any]]] = field(default_factory=list)

    async def run(self, sql: str, values: Sequence[Any]) -> Sequence[Any]:
        self.statements.append((sql, values))
        return await self.runner.run(sql, values)

    async def close(self) -> None:
        await self.runner.close()


async def measure(path: Path, rounds: int) -> None:
    connector = await connect(SqliteOptions(path=str(path)))
    recording = connector.runner = RecordingRunner(runner=connector.runner)
    engine = open_engine(connector)
    with closing(open_read_connection(Path(path))) as driver:
        for name, question in QUESTIONS.items():
            ratios = [await compare(engine, question, recording, driver) for _ in range(rounds)]
            print(f"{name:40} {len(recording.statements)} statement, {median(ratios):.2f} times its SQL")
    await connector.close()


async def compare(engine: QueryEngine, question: str, recording: RecordingRunner, driver: sqlite3.Connection) -> float:
    """Return how many times as long a question takes as its statements. Raises SystemExit where it is not answered."""
    recording.statements.clear()
    begun = time.perf_counter()
    result = await execute(engine, ASKING, GraphQLRequest(query=question))
    asked = time.perf_counter()
    if result.errors:
        raise SystemExit(f"not answered: {result.errors}")
    for sql, values in recording.statements:
        driver.execute(sql, values).fetchall()
    return (asked - begun) / (time.perf_counter() - asked)


def open_engine(connector: Any) -> QueryEngine:
    """Build an engine over the internal database alone; the questions ask nothing else."""
    parts = build_company_schema(load_company(ACME), SchemaSettings(), exports=False)
    schema, policy = build_schema_and_policy(parts.modules, parts.masking_groups)
    catalog = Catalog(
        schema=schema,
        policy=policy,
        mappings=parts.mappings,
        connectors={"internal": connector},
        limits=LIMITS,
        cursor_secret=b"a secret of the benchmark",
        version=compute_version(build_document(parts.modules, parts.masking_groups)),
    )
    return build_query_engine(catalog, lambda caller: {}, time.monotonic)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.joins")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "internal.sqlite"
        seed(f"sqlite:///{path}", chosen.scale)
        asyncio.run(measure(path, chosen.rounds))


if __name__ == "__main__":
    main()
