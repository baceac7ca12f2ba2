"""An engine over Acme for each test, and a short way to use it."""

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

import pytest

from onedoor.model.catalog import Catalog
from onedoor.query.context import ExecutionResult, QueryEngine
from tests import acme

GROUPS = ("sales", "marketing", "finance", "people", "engineering", "support", "audit")

Asked = Callable[..., Awaitable[ExecutionResult]]


@cache
def house() -> Catalog:
    return acme.house()


@pytest.fixture
def at() -> QueryEngine:
    return acme.opened(house())


@pytest.fixture
def asked(at: QueryEngine) -> Asked:
    """Execute as a principal in these groups, or in all of them."""

    async def ask(text: str, *groups: str, **rest: Any) -> ExecutionResult:
        return await acme.ask(at, text, *(groups or GROUPS), **rest)

    return ask
