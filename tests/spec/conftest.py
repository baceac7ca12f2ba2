"""Acme's house, opened anew for each test, and a short way to ask it."""

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

import pytest

from engine.desk import Answer, Desk
from engine.house import House
from tests import acme

GROUPS = ("sales", "marketing", "finance", "people", "engineering", "support", "audit")

Asked = Callable[..., Awaitable[Answer]]


@cache
def house() -> House:
    return acme.house()


@pytest.fixture
def at() -> Desk:
    return acme.opened(house())


@pytest.fixture
def asked(at: Desk) -> Asked:
    """Asks as someone in the groups given, or in all of them."""

    async def ask(text: str, *groups: str, **rest: Any) -> Answer:
        return await acme.ask(at, text, *(groups or GROUPS), **rest)

    return ask
