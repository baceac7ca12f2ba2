"""An export waits for the budgets of whoever started it, and loses no row by it."""

from onedoor.exports.models import Format
from onedoor.runtime.budgets import BudgetLimits, Budgets, BudgetSettings
from tests.exports.conftest import OpenExporter
from tests.runtime.cache.cached_reader import Clock

CUSTOMERS = "{ customers { nodes { id name } } }"


async def test_an_export_over_a_budget_waits_and_is_whole(open_exporter: OpenExporter) -> None:
    clock, waits = Clock(), list[float]()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock.seconds += seconds

    budgets = Budgets(BudgetSettings(keys=BudgetLimits(requests=1, rows=5)), clock=clock, sleep=sleep)
    held_up = await open_exporter(budgets=budgets).export(CUSTOMERS, Format.JSONL, "sales")
    assert (held_up.rows > 10, len(waits) > 1) == (True, True)
