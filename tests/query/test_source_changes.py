"""A source that lost a column fails the branches that need it, with an error that says what would do."""

import logging
from collections.abc import Sequence

import pytest

from onedoor.errors import ErrorCode, SourceChanged
from onedoor.spi.scan import ScanRequest
from tests import acme
from tests.http.conftest import HookedConnector

QUERY = "{ customers(first: 1) { nodes { id phone } } products(first: 1) { nodes { id } } }"
FILTERED = '{ customers(first: 1, where: {phone: {eq: "1"}}) { nodes { id } } }'
REMEDY = "correct the mapping and restart"


def lose(columns: Sequence[str]) -> dict[str, HookedConnector]:
    """Return Acme's sources, of which `internal` lost columns of its customers."""
    sources = acme.sources()

    async def fail(request: ScanRequest) -> None:
        if request.collection == "customer":
            raise SourceChanged("customer", columns)

    return {**sources, "internal": HookedConnector(sources["internal"], fail)}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("query", "columns", "message"),
    [
        (QUERY, ["phone"], "no longer has the column `phone`, which `Customer.phone` needs"),
        (FILTERED, ["phone"], "no longer has the column `phone`, which `Customer` needs"),
        (
            QUERY,
            ["id", "phone"],
            "no longer has the columns `id`, `phone`, which `Customer.id`, `Customer.phone` need",
        ),
        (QUERY, [], "is no longer there, which `Customer` needs"),
    ],
    ids=["a-value", "a-filter", "several", "the-collection"],
)
async def test_a_lost_column_is_an_error_that_names_the_field(query: str, columns: list[str], message: str) -> None:
    result = await acme.ask(acme.open_engine(acme.build_catalog(lose(columns))), query, "sales")
    assert result.data["customers"] is None
    assert [(error.code, error.message, error.path) for error in result.errors] == [
        (ErrorCode.CANNOT_ANSWER, f"`internal.customer` {message}; {REMEDY}", ("customers",))
    ]


async def test_the_other_branches_are_served() -> None:
    result = await acme.ask(acme.open_engine(acme.build_catalog(lose(["phone"]))), QUERY, "sales")
    assert result.data["products"] == {"nodes": [{"id": "1"}]}


async def test_a_denied_field_is_not_named() -> None:
    query = "{ customers(first: 1) { nodes { id creditLimit } } }"
    engine = acme.open_engine(acme.build_catalog(lose(["credit_limit"])))
    assert "`Customer` needs" in (await acme.ask(engine, query, "support")).errors[-1].message
    assert "`Customer.creditLimit` needs" in (await acme.ask(engine, query, "finance")).errors[-1].message


async def test_a_loss_is_logged_once_for_the_operator(caplog: pytest.LogCaptureFixture) -> None:
    engine = acme.open_engine(acme.build_catalog(lose(["phone"])))
    with caplog.at_level(logging.ERROR, "onedoor.sources"):
        for _ in range(2):
            await acme.ask(engine, QUERY, "sales")
    expected = "a source has changed since the server started: `internal.customer` no longer has the column `phone`"
    assert caplog.messages == [f"{expected}; {REMEDY}"]
