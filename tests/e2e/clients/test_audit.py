"""Run the public audit of GraphQL over HTTP: every MUST, SHOULD and MAY."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.clients.conftest import RunningServer

AUDITS = dict(line.split(" ", 1) for line in Path(__file__).with_name("audits.txt").read_text().splitlines())


@pytest.fixture(scope="session")
def audited(run_program: Callable[..., Any], server: RunningServer) -> Any:
    before = len(server.records())
    output = run_program("audit.mjs")
    return {
        **output,
        "records": len(server.records()) - before,
        "verdicts": {audit["id"]: audit for audit in output["audits"]},
    }


def test_the_audit_is_whole(audited: Any) -> None:
    assert {audit["id"]: audit["name"] for audit in audited["audits"]} == AUDITS
    assert len(AUDITS) == 61


@pytest.mark.parametrize("id", AUDITS)
def test_the_audit_finds_nothing(audited: Any, id: str) -> None:
    verdict = audited["verdicts"][id]

    assert (verdict["status"], verdict["reason"]) == ("ok", None), AUDITS[id]


def test_each_request_of_the_audit_left_one_record(audited: Any) -> None:
    assert audited["records"] == audited["requests"]
