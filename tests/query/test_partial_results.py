"""A stopped request keeps its statistics for the audit record."""

import asyncio

import pytest

from onedoor.query.context import ExecutionResult, GraphQLRequest, get_partial_result
from onedoor.query.engine import execute
from onedoor.spi.scan import ScanRequest
from tests import acme
from tests.http.conftest import HookedConnector

QUERY = "query Names { customers(first: 3) { nodes { id name } } }"


class Crash(Exception):
    """A failure that a connector must not have."""


def reached(result: ExecutionResult) -> tuple[str | None, bool, list[str]]:
    """The operation, whether it was planned, and the collections that were read."""
    name = result.operation.name.value if result.operation and result.operation.name else None
    return name, result.cached_plan is not None, [scan.collection for scan in result.scan_stats]


async def test_a_crash_carries_the_partial_result() -> None:
    async def crash(request: ScanRequest) -> None:
        raise Crash

    connectors = {**acme.sources(), "internal": HookedConnector(acme.sources()["internal"], crash)}
    engine = acme.open_engine(acme.build_catalog(connectors))
    with pytest.raises(Crash) as error:
        await execute(engine, acme.caller("sales"), GraphQLRequest(query=QUERY))
    assert reached(get_partial_result(error.value)) == ("Names", True, ["customer"])


async def test_a_cancellation_carries_the_partial_result() -> None:
    begun = asyncio.Event()

    async def hang(request: ScanRequest) -> None:
        begun.set()
        await asyncio.Event().wait()

    connectors = {**acme.sources(), "internal": HookedConnector(acme.sources()["internal"], hang)}
    engine = acme.open_engine(acme.build_catalog(connectors))
    task = asyncio.create_task(execute(engine, acme.caller("sales"), GraphQLRequest(query=QUERY)))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as error:
        await task
    assert reached(get_partial_result(error.value)) == ("Names", True, ["customer"])


async def test_an_exception_of_no_request_has_an_empty_result() -> None:
    assert get_partial_result(Crash()) == ExecutionResult()
