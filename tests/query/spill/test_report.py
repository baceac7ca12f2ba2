"""The plan of a query and its audit record say how many rows were spilled."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests import acme
from tests.http.conftest import OpenServer, RunningServer, keys, open_server, server, state
from tests.query.spill.engines import PATIENT, Batches, build_engine_without_capabilities

__all__ = ["keys", "open_server", "server", "state"]

ORDERS = "{ orders(orderBy: [{total: DESC}], first: 3) { nodes { id customer { name } } } }"
FEW = replace(PATIENT, rows_in_memory=150)


def reads(branches: Any) -> Iterator[Any]:
    for branch in branches:
        yield from branch["reads"]
        yield from reads(branch["branches"])


async def test_a_plan_says_how_many_rows_were_spilled() -> None:
    result = await acme.ask(build_engine_without_capabilities(FEW), ORDERS, "finance", plan=True)
    ran = [read["ran"] for read in reads(result.extensions["plan"]["branches"])]
    assert [(item["rows"], item.get("outgrown")) for item in ran] == [(2000, 2000), (100, None)]
    assert (
        result.extensions["plan"]["text"][1]
        .partition("): ")[2]
        .startswith("2,000 rows, 2,000 of them through the spill database, ")
    )


async def test_a_plan_counts_the_bytes_of_spilled_rows() -> None:
    few, many = [
        await acme.ask(
            build_engine_without_capabilities(replace(PATIENT, rows_in_memory=most)), ORDERS, "finance", plan=True
        )
        for most in (150, 50_000)
    ]
    sizes = [[read["ran"]["bytes"] for read in reads(one.extensions["plan"]["branches"])] for one in (few, many)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.01)


async def test_an_audit_record_says_how_many_rows_of_each_collection_were_spilled(open_server: OpenServer) -> None:
    bare_orders = Batches(acme.promising_nothing(acme.sources()["internal"]))
    server: RunningServer = await open_server({"internal": bare_orders}, limits=FEW)
    result = await server.ask(ORDERS, "finance")
    (record,) = server.records()
    assert result.status == 200
    assert [(source["collection"], source["rows"], source["outgrown"]) for source in record["sources"]] == [
        ("orders", 2000, 2000), ("customer", 100, 0),
    ]  # fmt: skip
