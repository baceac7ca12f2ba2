"""Count the rows that PostgreSQL touches for a request, once it has made up its mind about the plan."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from onedoor.connectors.sql.connector import SqlConnector
from onedoor.spi.scan import ScanRequest

EXECUTIONS = 7
"""From the sixth on, PostgreSQL may take a plan that is made for any values."""

TOUCHED_PER_ROW = 10
TOUCHED_BESIDE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """How many rows a statement returned, and how many it looked at for that."""

    returned: int
    touched: int
    plan: Mapping[str, Any]

    @property
    def is_served_by_index(self) -> bool:
        return self.touched <= TOUCHED_PER_ROW * self.returned + TOUCHED_BESIDE


def count_touched_rows(connector: SqlConnector, url: str, request: ScanRequest) -> Touched:
    """Execute the statement of a request as often as a plan needs to settle, and read the last plan."""
    statement, values = connector.statements.prepare(request)
    with psycopg.connect(url) as connection:
        connection.execute("SET plan_cache_mode = auto")
        connection.execute("SET max_parallel_workers_per_gather = 0")  # each process would read a small table anew
        connection.execute(f"PREPARE asked AS {statement.text}".encode())
        arguments = sql.SQL("({})").format(sql.SQL(", ").join(map(_write_literal, values))) if values else sql.SQL("")
        for _ in range(EXECUTIONS):
            rows = connection.execute(
                sql.SQL("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE asked{}").format(arguments)
            ).fetchall()
    [(document,)] = rows
    plan = (json.loads(document) if isinstance(document, str) else document)[0]["Plan"]
    touched = sum(map(_count_node_rows, _walk(plan)))
    return Touched(returned=round(plan["Actual Rows"]), touched=round(touched), plan=plan)


def _write_literal(value: Any) -> sql.Literal:
    return sql.Literal([*value] if isinstance(value, tuple) else value)


def _walk(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _walk(child)


def _count_node_rows(node: Mapping[str, Any]) -> float:
    """Return the rows that a node reads of a table, those that it drops included."""
    if "Relation Name" not in node:
        return 0
    dropped = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return float((node["Actual Rows"] + dropped) * node["Actual Loops"])
