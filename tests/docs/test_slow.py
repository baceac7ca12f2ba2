"""The plan that docs/analyst.md explains is that of the query above it; DOCS=write rewrites it."""

import os
from itertools import pairwise

import pytest

from tests import acme
from tests.acme import GROUP_NAMES
from tests.docs.pages import ROOT, Block, every
from tests.docs.test_asking import wrapped

PAGE = ROOT / "docs/analyst.md"


def list_plans() -> list[tuple[Block, Block]]:
    """Each plan of the page, after its question."""
    pairs = pairwise(every(PAGE))
    return [(question, plan) for question, plan in pairs if question.language == "graphql" and plan.words == ("plan",)]


def test_the_page_shows_a_plan() -> None:
    assert len(list_plans()) == 1


@pytest.mark.parametrize(("question", "plan"), [pytest.param(*item, id=item[1].id) for item in list_plans()])
async def test_a_plan_on_the_page_is_that_of_its_question(question: Block, plan: Block) -> None:
    result = await acme.ask(
        acme.open_engine(acme.build_catalog()), question.text, *GROUP_NAMES.intersection(question.words), plan="ONLY"
    )
    now = "".join(f"{wrapped(line)}\n" for line in result.extensions["plan"]["text"])
    if os.environ.get("DOCS") == "write":
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(page.replace(f"```text plan\n{plan.text}```", f"```text plan\n{now}```"), encoding="utf-8")
        return
    assert plan.text == now, "`make docs` writes it anew"
