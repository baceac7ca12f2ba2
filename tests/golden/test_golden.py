"""A folder for each question: what is asked and by whom, the plan it comes to, and the reply.

`make golden` rewrites plans and replies; the diff is the review.
"""

import json
import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from door.reply import answered
from engine.desk import Answer, Desk
from engine.plan.explain import Known, explain
from engine.plan.text import lines
from records.verify import verify
from sources.journal import JournalSource
from sources.memory import Memory
from tests import acme

HERE = Path(__file__).parent
JOURNAL = HERE / "journal"
CASES = sorted(folder.parent.name for folder in HERE.glob("*/query.graphql"))


@cache
def desk(*, promising: bool) -> Desk:
    """Acme over sources that promise what the real ones do, or nothing; cursors outlive a change of the schema."""
    sources = acme.sources() if promising else {name: nothing(each) for name, each in acme.sources().items()}
    house = acme.house(sources)
    everything = {**house.sources, "journal": JournalSource(JOURNAL)}
    return acme.opened(replace(house, sources=everything, version="golden"))


def nothing(source: Memory) -> Memory:
    return acme.promising_nothing(source)


async def told(folder: Path, *, promising: bool) -> Answer:
    groups = (folder / "caller").read_text().split()
    query = (folder / "query.graphql").read_text()
    variables, options = (read(folder / f"{name}.json") for name in ("variables", "options"))
    return await acme.ask(desk(promising=promising), query, *groups, variables=variables, **options)


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def reply(answer: Answer) -> str:
    body = json.loads(answered(answer, "application/json", 100).body)
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def compare(path: Path, now: str) -> None:
    if os.environ.get("GOLDEN") == "write":
        path.write_text(now)
    assert now == path.read_text(), "`make golden` writes it anew"


@pytest.mark.parametrize("name", CASES)
async def test_a_question_comes_to_the_plan_on_file(name: str) -> None:
    answer = await told(HERE / name, promising=True)
    assert answer.compiled is not None
    known = Known(source=desk(promising=True).house.sources.__getitem__)
    compare(HERE / name / "plan.txt", "\n".join((*lines(explain(answer.compiled.plan, known)), "")))


@pytest.mark.parametrize("name", CASES)
async def test_a_question_gets_the_reply_on_file(name: str) -> None:
    compare(HERE / name / "reply.json", reply(await told(HERE / name, promising=True)))


@pytest.mark.parametrize("name", CASES)
async def test_sources_that_promise_nothing_give_the_same_reply(name: str) -> None:
    assert reply(await told(HERE / name, promising=False)) == reply(await told(HERE / name, promising=True))


def test_every_folder_is_a_question() -> None:
    folders = {each.name for each in HERE.iterdir() if each.is_dir() and each.name != "__pycache__"}
    assert folders == {*CASES, JOURNAL.name}


def test_the_journal_on_file_holds_together() -> None:
    assert verify(JOURNAL).broken is None
