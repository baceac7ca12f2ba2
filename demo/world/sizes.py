"""How many rows each part of the company has, and the demo's fixed clock."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from fractions import Fraction

NOW = datetime(2026, 11, 1, tzinfo=UTC)
STEP = timedelta(minutes=5)
STEPS_A_DAY = 288

FULL: Mapping[str, int] = {
    "customer": 10_000,
    "product": 200,
    "orders": 200_000,
    "order_item": 600_000,
    "employee": 300,
    "deployment": 2_000,
    "filed_customer": 400,
    "stored_customer": 35,
    "channel_customer": 100,
    "drive_customer": 40,
    "message": 10_000,
    "thread": 1_500,
}
LEAST: Mapping[str, int] = {"message": 200, "thread": 30}
ANY_LEAST = 20


def size(name: str, scale: Fraction | float = 1) -> int:
    """The rows of `name` at a scale: a multiple of five, never so few that a question has nothing to find."""
    if name == "order_item":
        return 3 * size("orders", scale)
    wanted = round(FULL[name] * scale)
    return max(LEAST.get(name, ANY_LEAST), wanted - wanted % 5)
