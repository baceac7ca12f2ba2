"""Give each test an engine over Acme, and a short way to execute queries."""

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

import pytest

from onedoor.model.catalog import Catalog
from onedoor.query.context import ExecutionResult, QueryEngine
from tests import acme

GROUPS = ("sales", "marketing", "finance", "people", "engineering", "support", "audit")

Ask = Callable[..., Awaitable[ExecutionResult]]


@cache
def build_catalog() -> Catalog:
    return acme.build_catalog()


@pytest.fixture
def engine() -> QueryEngine:
    return acme.open_engine(build_catalog())


@pytest.fixture
def ask(engine: QueryEngine) -> Ask:
    """Execute as a principal in these groups, or in all of them."""

    async def execute(text: str, *groups: str, **rest: Any) -> ExecutionResult:
        return await acme.ask(engine, text, *(groups or GROUPS), **rest)

    return execute
