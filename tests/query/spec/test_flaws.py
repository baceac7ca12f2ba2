"""A value that its column cannot hold is null with an error, and null in every step, whoever takes the step."""

from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import Any

import pytest

from onedoor.connectors.memory import MemoryConnector
from onedoor.errors import ErrorCode
from onedoor.model.catalog import Limits
from onedoor.query.context import ExecutionResult
from onedoor.spi.connector import Connector
from onedoor.spi.flaws import FlawedRow
from onedoor.spi.operators import aggregate_rows
from onedoor.spi.predicates import Row
from onedoor.spi.scan import AggregateCall, AggregateFunction, ScanRequest
from tests import acme
from tests.query.spec.conftest import GROUPS

NAN, HUGE, TEXT = Decimal("NaN"), Decimal("1e999999999"), "n/a"
WRONG: Sequence[Any] = (NAN, HUGE, TEXT, b"\xff", float("inf"), True)


class Unchecked:
    """Gives rows with what columns cannot hold in place of the limits of the first customers, and takes no step."""

    def __init__(self, inner: MemoryConnector, wrong: Sequence[Any]) -> None:
        collection = inner.collections["customer"]
        self.inner, self.columns = inner, tuple(collection.capabilities.columns)
        self.place = self.columns.index("credit_limit")
        self.rows = [self._replace(row, wrong) for row in collection.rows]

    def _replace(self, row: Row, wrong: Sequence[Any]) -> Row:
        value = wrong[row[0] - 1] if row[0] <= len(wrong) else Decimal(row[0] % 3)
        return (*row[: self.place], value, *row[self.place + 1 :])

    def capabilities(self, collection: str) -> Any:
        return acme.nothing(self.inner.capabilities(collection))

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        if request.collection != "customer":
            async for batch in self.inner.scan(request):
                yield batch
            return
        yield [tuple(row[self.columns.index(name)] for name in request.columns) for row in self.rows]

    async def ping(self) -> None: ...

    async def close(self) -> None: ...


async def ask(text: str, wrong: Sequence[Any] = WRONG, **limits: Any) -> ExecutionResult:
    connectors = dict[str, Connector](acme.sources())
    connectors["internal"] = Unchecked(acme.sources()["internal"], wrong)
    engine = acme.open_engine(acme.build_catalog(connectors, Limits(**limits)))
    return await acme.ask(engine, text, *GROUPS)


async def test_the_cell_is_null_and_the_error_names_type_field_and_column() -> None:
    result = await ask("{ customers(first: 7) { nodes { id creditLimit } } }")
    assert result.data is not None
    shown = {node["id"]: node["creditLimit"] for node in result.data["customers"]["nodes"]}
    assert shown == {**{str(number): None for number in range(1, 7)}, "7": "1"}
    assert [(error.code, error.message, error.path) for error in result.errors] == [
        (
            ErrorCode.SOURCE_INVALID,
            "`Customer.creditLimit` holds a value that is no decimal number in the column `credit_limit`",
            ("customers", "nodes", number, "creditLimit"),
        )
        for number in range(6)
    ]


async def test_past_the_limit_of_errors_one_counts_the_rest() -> None:
    result = await ask("{ customers(first: 7) { nodes { creditLimit } } }", errors_max=2)
    assert [error.message for error in result.errors][2:] == ["4 more values cannot be shown by their fields"]


TESTS = [
    pytest.param("{ isNull: true }", 6, id="null"),
    pytest.param("{ isNull: false }", 94, id="not null"),
    pytest.param('{ gte: "0" }', 94, id="a range"),
    pytest.param('{ ne: "1" }', 62, id="not equal"),
    pytest.param('{ notIn: ["0", "1"] }', 31, id="in none"),
]


@pytest.mark.parametrize(("test", "count"), TESTS)
async def test_it_is_null_in_every_test(test: str, count: int) -> None:
    result = await ask(f"{{ customers(where: {{ creditLimit: {test} }}) {{ totalCount }} }}")
    assert (result.data, result.errors) == ({"customers": {"totalCount": count}}, [])


async def test_it_is_null_in_groups_and_aggregates() -> None:
    result = await ask(
        "{ customers { groups(by: [{ creditLimit: VALUE }]) { key { creditLimit } aggregate { count } } "
        "aggregate { sum { creditLimit } min { creditLimit } countDistinct { creditLimit } } } }"
    )
    assert result.data is not None
    groups = {group["key"]["creditLimit"]: group["aggregate"]["count"] for group in result.data["customers"]["groups"]}
    assert (groups, result.data["customers"]["aggregate"], result.errors) == (
        {"0": 31, "1": 32, "2": 31, None: 6},
        {"sum": {"creditLimit": "94"}, "min": {"creditLimit": "0"}, "countDistinct": {"creditLimit": 3}},
        [],
    )


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_pages_forwards_are_pages_backwards_and_the_whole_list(direction: str) -> None:
    order = f"orderBy: [{{ creditLimit: {direction} }}]"
    whole = await ask(f"{{ customers(first: 100, {order}) {{ nodes {{ id }} }} }}")
    assert whole.data is not None
    everyone = [node["id"] for node in whole.data["customers"]["nodes"]]
    forwards = await read_pages(f"first: 9, {order}", "after", "endCursor")
    backwards = await read_pages(f"last: 9, {order}", "before", "startCursor")
    assert (forwards, backwards[::-1], everyone[-6:]) == (everyone, everyone, ["1", "2", "3", "4", "5", "6"])


async def read_pages(arguments: str, argument: str, end: str) -> list[str]:
    """The ids, in the order in which they are read."""
    ids: list[str] = []
    cursor = ""
    while len(ids) < 100:
        result = await ask(f"{{ customers({arguments}{cursor}) {{ nodes {{ id }} pageInfo {{ {end} }} }} }}")
        assert (result.data is not None, result.errors) == (True, [])
        page = result.data["customers"]
        ids += [node["id"] for node in (page["nodes"] if argument == "after" else page["nodes"][::-1])]
        cursor = f', {argument}: "{page["pageInfo"][end]}"'
    return ids


SUMS = [
    pytest.param((1e308, 1e308), None, {0: "a sum that is no finite number"}, id="too large"),
    pytest.param((-1e308, -1e308), None, {0: "a sum that is no finite number"}, id="too small"),
    pytest.param((1e308, 1e308, -1e308), 1e308, None, id="only on the way"),
]


@pytest.mark.parametrize(("values", "total", "flaws"), SUMS)
def test_a_sum_of_floats_that_is_no_float_is_null_and_flawed(values: Sequence[float], total: Any, flaws: Any) -> None:
    call = AggregateCall(AggregateFunction.SUM, "f")
    (row,) = aggregate_rows([(value,) for value in values], (), (call,), ("f",))
    assert (row, row.flaws if isinstance(row, FlawedRow) else None) == ((total,), flaws)


def test_a_sum_of_long_decimals_loses_no_digit() -> None:
    call, large, small = AggregateCall(AggregateFunction.SUM, "n"), Decimal("1e131071"), Decimal("1e-16383")
    ((total,),) = aggregate_rows([(large,), (small,), (-large,)], (), (call,), ("n",))
    assert total == small


def test_a_flawed_row_is_the_tuple_that_it_is() -> None:
    row = FlawedRow((1, None), {1: "a value that is no text"})
    assert ((row, hash(row)), (row + (3,)).flaws) == (((1, None), hash((1, None))), {1: "a value that is no text"})
