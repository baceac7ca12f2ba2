"""Each folder is a golden query: the query and the groups of its principal, the plan, and the reply.

`make golden` rewrites plans and replies; the diff is the review.
"""

import json
import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from onedoor.audit.verification import verify_folder
from onedoor.connectors.audit_log import AuditLogConnector
from onedoor.connectors.memory import MemoryConnector
from onedoor.http.responses import encode_result
from onedoor.query.context import ExecutionResult, QueryEngine
from onedoor.query.planner.explain import ExplainContext, explain, format_plan
from tests import acme

HERE = Path(__file__).parent
JOURNAL = HERE / "journal"
CASES = sorted(folder.parent.name for folder in HERE.glob("*/query.graphql"))


@cache
def engine(*, promising: bool) -> QueryEngine:
    """Acme over sources that promise what the real ones do, or nothing; cursors outlive a change of the schema."""
    sources = acme.sources() if promising else {name: nothing(source) for name, source in acme.sources().items()}
    catalog = acme.build_catalog(sources)
    everything = {**catalog.connectors, "journal": AuditLogConnector(JOURNAL)}
    return acme.open_engine(replace(catalog, connectors=everything, version="golden"))


def nothing(source: MemoryConnector) -> MemoryConnector:
    return acme.promising_nothing(source)


async def execute_case(folder: Path, *, promising: bool) -> ExecutionResult:
    groups = (folder / "caller").read_text().split()
    query = (folder / "query.graphql").read_text()
    variables, options = (read_json(folder / f"{name}.json") for name in ("variables", "options"))
    return await acme.ask(engine(promising=promising), query, *groups, variables=variables, **options)


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def reply(answer: ExecutionResult) -> str:
    body = json.loads(encode_result(answer, "application/json", 100).body)
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def compare(path: Path, now: str) -> None:
    if os.environ.get("GOLDEN") == "write":
        path.write_text(now)
    assert now == path.read_text(), "`make golden` writes it anew"


@pytest.mark.parametrize("name", CASES)
async def test_a_query_has_the_plan_on_file(name: str) -> None:
    answer = await execute_case(HERE / name, promising=True)
    assert answer.cached_plan is not None
    known = ExplainContext(connector_for=engine(promising=True).catalog.connectors.__getitem__)
    compare(HERE / name / "plan.txt", "\n".join((*format_plan(explain(answer.cached_plan.plan, known)), "")))


@pytest.mark.parametrize("name", CASES)
async def test_a_query_gets_the_reply_on_file(name: str) -> None:
    compare(HERE / name / "reply.json", reply(await execute_case(HERE / name, promising=True)))


@pytest.mark.parametrize("name", CASES)
async def test_connectors_without_capabilities_give_the_same_reply(name: str) -> None:
    assert reply(await execute_case(HERE / name, promising=False)) == reply(
        await execute_case(HERE / name, promising=True)
    )


def test_every_folder_is_a_golden_query() -> None:
    folders = {path.name for path in HERE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == {*CASES, JOURNAL.name}


def test_the_audit_log_on_file_is_intact() -> None:
    assert verify_folder(JOURNAL).findings == ()
