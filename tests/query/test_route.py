"""A query enters few modules, so that a stranger can follow it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from onedoor.query.context import GraphQLRequest
from onedoor.query.engine import execute
from tests import acme
from tests.http.conftest import Door, door, keys, opening, state

__all__ = ["door", "keys", "opening", "state"]

ROOT = Path(__file__).parents[2]

PRODUCT = (str(ROOT / "onedoor"), str(ROOT / "auth"))

QUERY = "{ customers(first: 3) { nodes { id name } } }"

ENGINE_MODULES_MAX = 35

ALL_MODULES_MAX = 48


@contextmanager
def tracing(entered: set[str]) -> Iterator[None]:
    """Collect the product's files whose functions are called."""

    def trace(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PRODUCT):
            entered.add(str(Path(frame.f_code.co_filename).relative_to(ROOT)))

    before = sys.getprofile()
    sys.setprofile(trace)
    try:
        yield
    finally:
        sys.setprofile(before)


async def test_a_query_enters_few_modules_of_the_engine() -> None:
    engine, principal = acme.opened(acme.house()), acme.caller("sales")
    entered: set[str] = set()
    with tracing(entered):
        result = await execute(engine, principal, GraphQLRequest(query=QUERY))
    assert not result.errors
    assert len(entered) <= ENGINE_MODULES_MAX, "\n".join(sorted(entered))


async def test_a_query_enters_few_modules_from_its_request_to_its_response(door: Door) -> None:
    entered: set[str] = set()
    with tracing(entered):
        told = await door.ask(QUERY)
    assert told.status == 200
    assert len(entered) <= ALL_MODULES_MAX, "\n".join(sorted(entered))
