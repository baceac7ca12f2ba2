"""Groups are lent from a terminal, each step on record; what was done under a grant can be read there."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from auth import users
from auth.grant_store import list_grants
from auth.grants import Grant, GrantEnding, GrantState
from onedoor.audit.grant_report import load_grant_report
from tests.cli.test_administration import Run, load_records, open_state, run  # noqa: F401

ADA, BEN, CY = "ada@acme.example", "ben@acme.example", "cy@acme.example"


@pytest.fixture
def company(run: Run) -> Run:  # noqa: F811
    """Ada, and two who decide on access."""
    for email in (ADA, BEN, CY):
        assert run("users", "create", email, email[:3].title(), "X", "--reason", "new").exit_code == 0
    for email in (BEN, CY):
        assert run("groups", "join", email, "access-review", "--reason", "decides").exit_code == 0
    return run


def take(company: Run, *words: str) -> str:
    result = company(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def load_grants(folder: Path) -> list[Grant]:
    state = open_state(folder)
    known = list(list_grants(state))
    state.close()
    return known


def test_a_grant_goes_from_request_to_return(company: Run, tmp_path: Path) -> None:
    take(company, "grants", "request", ADA, "support", "--hours", "2", "--reason", "ticket 7")
    (asked,) = load_grants(tmp_path)
    assert (asked.state, asked.requested.reason) == (GrantState.REQUESTED, "ticket 7")
    shown = take(company, "grants", "approve", asked.id, "--as", BEN, "--reason", "it is hers")
    assert shown.startswith(f"support: grant {asked.id} is ACTIVE until ")
    assert "ticket 7" in take(company, "grants", "list", ADA)
    (listed,) = json.loads(take(company, "grants", "list", "--json"))
    assert {name: listed[name] for name in ("id", "email", "group", "state", "reason", "hours", "ended_at")} == {
        "id": asked.id, "email": ADA, "group": "support", "state": "ACTIVE", "reason": "ticket 7", "hours": 2.0,
        "ended_at": None,
    }  # fmt: skip
    take(company, "grants", "return", asked.id, "--as", ADA, "--reason", "done")
    (ended,) = load_grants(tmp_path)
    assert (ended.state, ended.ending) == (GrantState.ENDED, GrantEnding.RETURNED)
    assert asked.id not in take(company, "grants", "list")
    assert asked.id in take(company, "grants", "list", "--all")
    records = load_records(tmp_path)[-3:]
    assert [
        (record["operation"], [(change["type"], change["id"], change["verb"]) for change in record["changes"]])
        for record in records
    ] == [
        ("grants request", [("Grant", asked.id, "request")]),
        ("grants approve", [("Grant", asked.id, "approve")]),
        ("grants return", [("Grant", asked.id, "return")]),
    ]
    assert [step.record_id for step in (ended.requested, ended.decided, ended.ended)] == [
        record["id"] for record in records
    ]


def test_two_approvers_force_a_return(company: Run, tmp_path: Path) -> None:
    take(company, "grants", "request", ADA, "support", "--reason", "ticket 7")
    (asked,) = load_grants(tmp_path)
    take(company, "grants", "approve", asked.id, "--as", BEN, "--reason", "x")
    once = take(company, "grants", "force-return", asked.id, "--as", BEN, "--reason", "the laptop is lost")
    twice = take(company, "grants", "force-return", asked.id, "--as", CY, "--reason", "the laptop is lost")
    assert ("is ACTIVE" in once, "is ENDED" in twice) == (True, True)
    assert load_grants(tmp_path)[0].ending is GrantEnding.FORCED


REFUSED = {
    "without a name": (("grants", "approve", "{id}"), "say who does so"),
    "of one's own": (("grants", "approve", "{id}", "--as", ADA), "nobody decides on access of their own"),
    "of nothing": (("grants", "deny", "nowhere", "--as", BEN), "there is no grant with this id"),
    "of another": (("grants", "return", "{id}", "--as", BEN), "only its holder gives a grant back"),
    "too long": (("grants", "request", ADA, "sales", "--hours", "9"), "lent for 8 hours at most"),
    "no group": (("grants", "request", ADA, "salse"), "did you mean `sales`"),
    "no time": (("groups", "join", ADA, "sales", "--until", "tonight"), "`tonight` is no time"),
    "too late": (("groups", "join", ADA, "sales", "--until", "2999-01-01"), "lent for 8 hours at most"),
    "in the past": (("groups", "join", ADA, "sales", "--until", "2020-01-01T00:00"), "lent for 8 hours at most"),
}


@pytest.mark.parametrize(("words", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_step_that_is_refused_says_what_would_do(
    company: Run, tmp_path: Path, words: tuple[str, ...], reason: str
) -> None:
    take(company, "grants", "request", ADA, "support", "--reason", "ticket 7")
    (asked,) = load_grants(tmp_path)
    result = company(*(word.format(id=asked.id) for word in words), "--reason", "x")
    assert (result.exit_code, reason in result.stderr) == (2, True), result.output
    assert load_grants(tmp_path) == [asked]


def test_joining_until_a_time_is_a_grant(company: Run, tmp_path: Path) -> None:
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    take(company, "groups", "join", ADA, "sales", "finance", "--until", until, "--reason", "stands in")
    lent = load_grants(tmp_path)
    assert {(grant.group, grant.state, grant.decided.reason) for grant in lent} == {
        ("sales", GrantState.ACTIVE, "stands in"),
        ("finance", GrantState.ACTIVE, "stands in"),
    }
    state = open_state(tmp_path)
    groups = {user.email: user.groups for user in users.list_users(state)}
    state.close()
    assert groups[ADA] == ("everyone",)


def test_a_report_says_what_was_done_under_the_grant_and_nothing_else(company: Run, tmp_path: Path) -> None:
    take(company, "grants", "request", ADA, "support", "--reason", "ticket 7")
    (asked,) = load_grants(tmp_path)
    folder = tmp_path / "records/journal"
    change = {"id": "C1", "type": "Order", "row": "r", "verb": "update", "state": "DONE", "before": None, "after": None}
    lines = [
        {"id": "R2", "outcome": "begun", "grants": [asked.id], "fields": [], "changes": [], "rows": 0},
        {"id": "R1", "outcome": "answered", "grants": [asked.id], "fields": ["Order.id", "Order.total"], "rows": 3},
        {
            "id": "R2",
            "outcome": "answered",
            "grants": [asked.id],
            "fields": ["Order.id"],
            "changes": [change],
            "rows": 1,
        },
        {"id": "R3", "outcome": "answered", "grants": [], "fields": ["Order.id"], "client_request_id": asked.id},
    ]
    with next(iter(folder.glob("*.jsonl"))).open("a") as file:
        for number, line in enumerate(lines):
            record = {"prev": "0" * 64, **line, "time": f"2026-11-01T12:00:0{number}+00:00", "surface": "graphql"}
            file.write(json.dumps(record, separators=(",", ":")) + "\n")
    report = load_grant_report(folder, asked.id)
    assert [(request.record_id, request.outcome, request.rows) for request in report.requests] == [
        ("R1", "answered", 3),
        ("R2", "answered", 1),
    ]
    assert [(used.coordinate, used.request_count) for used in report.fields] == [("Order.id", 2), ("Order.total", 1)]
    assert [(made.record_id, made.change.id, made.change.verb) for made in report.changes] == [("R2", "C1", "update")]
    shown = take(company, "grants", "report", asked.id)
    assert "Order.total  1" in shown
    assert "C1      Order  update  DONE   R2" in shown
    assert "R3" not in shown
