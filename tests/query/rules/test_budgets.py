"""No budget and no report tells of hidden rows: what is counted is what is shown."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from auth.authentication import Principal
from onedoor.audit.grant_report import build_grant_report
from onedoor.audit.record import AuditOutcome, Surface
from onedoor.query.audited import AuditedExecutor, AuditedRequest
from onedoor.query.context import GraphQLRequest
from onedoor.query.subscriptions import SubscriptionEvent
from onedoor.runtime.budgets import BudgetLimits, Budgets, BudgetSettings
from tests.query.rules.world import STAFF, VENDOR, World, open_world

CHANGED = GraphQLRequest(query="subscription { accountChanged { row } }")
LIMITS = BudgetLimits(requests=1, cost=100, rows=100, bytes=100, seconds=100)


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


class Records:
    """The lines of an audit log."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    async def append_line(self, line: bytes) -> None:
        self.lines.append(line)


async def change_account(world: World, id: str) -> str:
    """Change an account and return the id of the change."""
    text = f'mutation {{ updateAccount(input: {{id: "{id}", name: "Eve"}}) {{ id }} }}'
    answer = await world.ask(STAFF, text)
    assert answer.data is not None
    return str(answer.data["updateAccount"]["id"])


async def deliver(executor: AuditedExecutor, who: Principal, change: str) -> tuple[AuditedRequest, AuditOutcome]:
    audited = AuditedRequest(surface=Surface.SUBSCRIPTION, principal=who, request=CHANGED, subscription_id="S")
    conclusion = await executor.execute(audited, SubscriptionEvent(request=CHANGED, row_id=change))
    await executor.record(audited, conclusion, 0 if audited.result.is_hidden_event else 10)
    return audited, conclusion.outcome


async def test_an_event_of_a_hidden_row_uses_no_budget_and_is_refused_by_none(world: World) -> None:
    seen, hidden = await change_account(world, "1"), await change_account(world, "2")
    budgets = Budgets(BudgetSettings(keys=LIMITS))
    log: Any = Records()
    executor = AuditedExecutor(engine=world.engine, audit_log=log, redaction_key=b"r", budgets=budgets)

    outcomes, used = [], []
    for change in (hidden, seen, hidden, seen):
        audited, outcome = await deliver(executor, VENDOR, change)
        outcomes.append((audited.result.is_hidden_event, outcome, audited.result.data is not None))
        used.append([use.used for use in await budgets.list_uses(VENDOR)])

    assert outcomes == [
        (True, AuditOutcome.ANSWERED, True),
        (False, AuditOutcome.ANSWERED, True),
        (True, AuditOutcome.ANSWERED, True),
        (False, AuditOutcome.LIMITED, False),
    ]
    assert (used[0], used[1][0], used[1][1:] == used[2][1:]) == ([0, 0, 0, 0, 0], 1, True)


def test_a_report_says_nothing_of_events_about_hidden_rows() -> None:
    usual: Any = {"time": "2026-11-30T12:00:00Z", "surface": "subscription", "outcome": "answered", "grants": ["G"]}
    records = [
        {**usual, "id": "S", "subscription": "S", "bytes": 0, "rows": 0, "fields": []},
        {**usual, "id": "hidden", "subscription": "S", "bytes": 0, "rows": 0, "fields": ["Account.name"]},
        {**usual, "id": "shown", "subscription": "S", "bytes": 9, "rows": 1, "fields": ["Account.name"]},
        {**usual, "id": "end", "subscription": "S", "bytes": 0, "rows": 0, "fields": [], "events": 1},
    ]
    report = build_grant_report("G", records)
    counts = [(field.coordinate, field.request_count) for field in report.fields]
    assert ([request.record_id for request in report.requests], counts) == (
        ["S", "shown", "end"],
        [("Account.name", 1)],
    )
