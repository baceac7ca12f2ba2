"""Acme's door: the product's own app, as each process opens it, and the dashboard that Acme put beside it."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import app
from web.pages import Pages

DASHBOARD = Path(__file__).parent / "dashboard"
Door: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]


def door() -> Door:
    """/dashboard is Acme's; all else is the product's."""
    product, dashboard = app.create(), Pages(DASHBOARD, at="/dashboard")

    async def acme(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and dashboard.holds(scope["path"]):
            await dashboard(scope, send)
        else:
            await product(scope, receive, send)

    return acme
