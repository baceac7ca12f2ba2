"""The plan that docs/analyst.md reads out is that of the question above it; DOCS=write writes it anew."""

import os
from itertools import pairwise

import pytest

from tests import acme
from tests.acme import GROUP_NAMES
from tests.docs.pages import ROOT, Block, every
from tests.docs.test_asking import wrapped

PAGE = ROOT / "docs/analyst.md"


def shown() -> list[tuple[Block, Block]]:
    """Each plan of the page, after its question."""
    pairs = pairwise(every(PAGE))
    return [(asked, plan) for asked, plan in pairs if asked.language == "graphql" and plan.words == ("plan",)]


def test_the_page_shows_a_plan() -> None:
    assert len(shown()) == 1


@pytest.mark.parametrize(("asked", "plan"), [pytest.param(*each, id=each[1].id) for each in shown()])
async def test_a_plan_on_the_page_is_that_of_its_question(asked: Block, plan: Block) -> None:
    told = await acme.ask(acme.opened(acme.house()), asked.text, *GROUP_NAMES.intersection(asked.words), plan="ONLY")
    now = "".join(f"{wrapped(line)}\n" for line in told.extensions["plan"]["text"])
    if os.environ.get("DOCS") == "write":
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(page.replace(f"```text plan\n{plan.text}```", f"```text plan\n{now}```"), encoding="utf-8")
        return
    assert plan.text == now, "`make docs` writes it anew"
