"""The plan of a query and its audit record say how many rows were spilled."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests import acme
from tests.http.conftest import Door, Opening, door, keys, opening, state
from tests.query.spill.worlds import PATIENT, Batches, build_engine_without_capabilities

__all__ = ["door", "keys", "opening", "state"]

ORDERS = "{ orders(orderBy: [{total: DESC}], first: 3) { nodes { id customer { name } } } }"
FEW = replace(PATIENT, rows_in_memory=150)


def reads(branches: Any) -> Iterator[Any]:
    for branch in branches:
        yield from branch["reads"]
        yield from reads(branch["branches"])


async def test_a_plan_says_how_many_rows_were_spilled() -> None:
    result = await acme.ask(build_engine_without_capabilities(FEW), ORDERS, "finance", plan=True)
    ran = [each["ran"] for each in reads(result.extensions["plan"]["branches"])]
    assert [(each["rows"], each.get("outgrown")) for each in ran] == [(2000, 2000), (100, None)]
    assert (
        result.extensions["plan"]["text"][1]
        .partition("): ")[2]
        .startswith("2,000 rows, 2,000 of them through the scratch database, ")
    )


async def test_a_plan_counts_the_bytes_of_spilled_rows() -> None:
    few, many = [
        await acme.ask(
            build_engine_without_capabilities(replace(PATIENT, rows_in_memory=most)), ORDERS, "finance", plan=True
        )
        for most in (150, 50_000)
    ]
    sizes = [[each["ran"]["bytes"] for each in reads(one.extensions["plan"]["branches"])] for one in (few, many)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.01)


async def test_an_audit_record_says_how_many_rows_of_each_collection_were_spilled(opening: Opening) -> None:
    bare_orders = Batches(acme.promising_nothing(acme.sources()["internal"]))
    door: Door = await opening({"internal": bare_orders}, limits=FEW)
    result = await door.ask(ORDERS, "finance")
    (record,) = door.records()
    assert result.status == 200
    assert [(each["collection"], each["rows"], each["outgrown"]) for each in record["sources"]] == [
        ("orders", 2000, 2000), ("customer", 100, 0),
    ]  # fmt: skip
