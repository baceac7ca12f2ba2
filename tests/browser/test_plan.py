"""The plan of a question in GraphiQL's pane: drawn before it is asked and after, wide and narrow, light and dark."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import Acme
from tests.browser.visit import NARROW, WIDE, Visit

QUESTION = """query Invoices {
  customers(
    where: {channel: {messages: {some: {text: {iContains: "invoice"}}}}}
    orderBy: [{revenue: {sum: {revenue: DESC}}}]
    first: 10
  ) {
    nodes { name orders(first: 3) { nodes { id } } }
    groups(by: [{country: VALUE}]) { key { country } aggregate { count } }
  }
}
"""
TAB = {
    "id": "1", "hash": "1", "title": "Invoices", "query": QUESTION, "variables": None, "headers": None,
    "operationName": "Invoices", "response": None,
}  # fmt: skip


def explained(visit: Visit, acme: Acme) -> None:
    """Someone of sales has the question in front, and opens the pane."""
    kept = json.dumps(json.dumps({"tabs": [TAB], "activeTabIndex": 0}))
    visit.page.add_init_script(f"sessionStorage.setItem('graphiql:tabState', {kept})")
    visit.page.goto(f"{acme.door}/graphiql")
    visit.comes_in(acme.keys["sales"])
    visit.page.get_by_role("button", name="Forget key").wait_for()
    visit.page.locator(".graphiql-query-editor .view-lines", has_text="Invoices").wait_for()
    visit.page.get_by_role("button", name="Show Plan").click()
    visit.page.locator(".plan .box").first.wait_for()


def boxes(visit: Visit) -> list[tuple[str, str]]:
    """Each read's collection and purpose, from the top down."""
    headers = visit.page.locator(".plan .box > header").all()
    return [(each.locator("code").inner_text(), each.locator(".purpose").inner_text()) for each in headers]


READS = [
    ("customer", "rows"), ("channels", "keys"), ("messages", "keys"), ("revenue_month", "for revenue.sum(revenue)"),
    ("customer", "groups"), ("channels", "keys"), ("orders", "rows"),
]  # fmt: skip


def test_a_plan_is_drawn_before_anything_is_read(acme: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    explained(visit, acme)
    visit.page.locator(".plan summary", has_text="text iContains invoice").last.click()

    assert boxes(visit) == READS
    assert visit.page.locator(".plan-whole").inner_text() == "6 reads · nothing was read"
    assert visit.page.locator(".plan details[open] .why").inner_text() == "slack does not filter text by iContains."
    assert visit.page.locator(".plan .ran").count() == 0


def test_with_its_answer_each_read_says_what_came_of_it(acme: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    explained(visit, acme)
    visit.page.get_by_role("button", name="With answer").click()
    visit.page.locator(".plan .ran").first.wait_for()

    assert visit.page.locator(".plan .ran").count() + visit.page.locator(".plan .faint").count() == len(READS)
    visit.page.locator(".result-window").get_by_text('"customers"').wait_for()
    assert (visit.outside(acme.door), visit.turned_down()) == ([], [])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_a_plan_fits_its_window(
    acme: Acme, visiting: Callable[..., Visit], tmp_path: Path, scheme: str, width: int
) -> None:
    visit = visiting(scheme=scheme, width=width)
    explained(visit, acme)
    visit.page.get_by_role("button", name="Larger").click()
    visit.page.screenshot(path=tmp_path / f"plan-{scheme}-{width}.png")
    pane = visit.page.locator(".plan")

    assert visit.page.evaluate("document.documentElement.scrollWidth") == width
    assert pane.evaluate("each => each.scrollWidth <= each.clientWidth")
    visit.page.keyboard.press("Escape")
    assert pane.get_attribute("class") == "plan"
