"""The public audit of GraphQL over HTTP, all of it: what must be so, what should be and what may."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.clients.conftest import Door

AUDITS = dict(line.split(" ", 1) for line in Path(__file__).with_name("audits.txt").read_text().splitlines())


@pytest.fixture(scope="session")
def audited(asked: Callable[..., Any], door: Door) -> Any:
    before = len(door.records())
    told = asked("audit.mjs")
    return {**told, "records": len(door.records()) - before, "verdicts": {each["id"]: each for each in told["audits"]}}


def test_the_audit_is_whole(audited: Any) -> None:
    assert {each["id"]: each["name"] for each in audited["audits"]} == AUDITS
    assert len(AUDITS) == 61


@pytest.mark.parametrize("id", AUDITS)
def test_the_audit_finds_nothing(audited: Any, id: str) -> None:
    verdict = audited["verdicts"][id]

    assert (verdict["status"], verdict["reason"]) == ("ok", None), AUDITS[id]


def test_each_request_of_the_audit_left_one_record(audited: Any) -> None:
    assert audited["records"] == audited["requests"]
