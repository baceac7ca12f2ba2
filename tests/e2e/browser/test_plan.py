"""GraphiQL's pane draws the plan of a query before and after its execution, wide and narrow, light and dark."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.browser.conftest import Acme
from tests.e2e.browser.visit import NARROW, WIDE, Visit

INVOICES = """query Invoices {
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
STAFF = "query Staff { employees(first: 3) { nodes { fullName } } }"
SECRET = "query Secret { customers(first: 2) { nodes { name creditLimit } } }"
MISTAKEN = "query Mistaken { customers(first: 2) { nodes { nme } } }"


def opens(visit: Visit, acme: Acme, group: str, *questions: str) -> None:
    """Someone of a group has the questions in tabs, the first in front, and opens the pane."""
    tabs = [tab(str(number), question) for number, question in enumerate(questions)]
    text = json.dumps(json.dumps({"tabs": tabs, "activeTabIndex": 0}))
    visit.page.add_init_script(f"sessionStorage.setItem('graphiql:tabState', {text})")
    visit.page.goto(f"{acme.url}/graphiql")
    visit.comes_in(acme.keys[group])
    visit.page.get_by_role("button", name="Forget key").wait_for()
    visit.page.locator(".graphiql-query-editor .view-lines", has_text=name(questions[0])).wait_for()
    visit.page.get_by_role("button", name="Show Plan").click()


def tab(number: str, question: str) -> dict[str, Any]:
    known = {"id": number, "hash": number, "title": name(question), "query": question, "operationName": name(question)}
    return {**known, "variables": None, "headers": None, "response": None}


def name(question: str) -> str:
    return question.split()[1]


def wait_for_plan(visit: Visit) -> None:
    visit.page.locator(".plan .box").first.wait_for()


def run_with_answer(visit: Visit) -> None:
    wait_for_plan(visit)
    visit.page.get_by_role("button", name="Plan with the answer").click()
    visit.page.locator(".plan .ran").first.wait_for()


def boxes(visit: Visit) -> list[tuple[str, str]]:
    """Each read's collection and purpose, from the top down."""
    headers = visit.page.locator(".plan .box > header").all()
    return [(header.locator("code").inner_text(), header.locator(".purpose").inner_text()) for header in headers]


def steps(visit: Visit, box: int) -> list[list[str]]:
    """Of one read: each step's name, what it is, who takes it, and why."""
    result = visit.page.locator(".plan .box").nth(box).locator(".step").all()
    return [item.locator(".name, code, .who, .why").all_inner_texts() for item in result]


def wishes(visit: Visit) -> list[Any]:
    """How the pane has asked for plans, from now on."""
    requests: list[Any] = []

    def note(request: Any) -> None:
        extensions = json.loads(request.post_data or "{}").get("extensions", {})
        requests.extend([extensions["onedoor"]["plan"]] if "onedoor" in extensions else [])

    visit.page.on("request", note)
    return requests


READS = [
    ("customer", "rows"), ("channels", "keys"), ("messages", "keys"), ("revenue_month", "for revenue.sum(revenue)"),
    ("customer", "groups"), ("channels", "keys"), ("orders", "rows"),
]  # fmt: skip
SUM, OPEN = "sum(revenue) by customer_id", "It depends on the keys that are read first"


def test_a_plan_is_drawn_before_anything_is_read(acme: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    opens(visit, acme, "sales", INVOICES)
    wait_for_plan(visit)

    assert boxes(visit) == READS
    assert visit.page.locator(".plan-whole").inner_text() == "6 reads · nothing was read"
    assert visit.page.locator(".plan .ran").count() == 0
    assert steps(visit, 0) == [
        ["where", "id among keys of slack channels", "carried", "Its keys come from slack."],
        ["order", "revenue.sum(revenue) desc, id", "door", "revenue.sum(revenue) lies beyond a link."],
        ["limit", "10", "door", "A step before it is ours."],
    ]
    assert steps(visit, 2)[0] == ["where", "text iContains invoice", "door", "slack does not filter text by iContains."]
    assert steps(visit, 3) == [["keys", "customer_id, 1,000 a call", "source"], ["measures", SUM, "source"]]
    assert steps(visit, 4)[1] == ["measures", "count() by country", "open", f"{OPEN}."]


def test_with_its_answer_each_read_says_what_came_of_it(acme: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    opens(visit, acme, "sales", INVOICES)
    run_with_answer(visit)
    result = visit.page.locator(".plan .box").nth(2).locator(".ran").inner_text()

    assert visit.page.locator(".plan .ran").count() + visit.page.locator(".plan .faint").count() == len(READS)
    assert [word for word in (" rows", " ms", "1 call", " kB") if word not in result] == []
    assert steps(visit, 4)[1] == ["measures", "count() by country", "source"]
    visit.page.locator(".result-window").get_by_text('"customers"').wait_for()
    assert (visit.outside(acme.url), visit.turned_down()) == ([], [])


@pytest.mark.parametrize(("group", "shown"), [("engineering", ["SELECT"]), ("sales", []), ("audit", [])])
def test_statements_are_drawn_for_those_who_may_see_them_and_nobody_else(
    acme: Acme, visiting: Callable[..., Visit], group: str, shown: Sequence[str]
) -> None:
    visit = visiting()
    opens(visit, acme, group, STAFF)
    for asks in (wait_for_plan, run_with_answer):
        asks(visit)
        for item in visit.page.locator(".plan .sql:not([open]) summary").all():
            item.click()

        assert [text.split()[0] for text in visit.page.locator(".plan pre").all_inner_texts()] == shown
        assert ("SELECT" in visit.page.locator(".plan").inner_text()) == bool(shown)


def test_a_denied_field_is_not_drawn_and_its_owner_is_named(acme: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    opens(visit, acme, "sales", SECRET)
    wait_for_plan(visit)

    assert boxes(visit) == [("customer", "rows")]
    assert visit.page.locator(".plan .faults").inner_text().split("\n") == [
        "Not planned, as it is not for you:", "", "FORBIDDEN", "",
        "Customer.creditLimit is for finance. Ask sales operations for it.",
    ]  # fmt: skip
    assert "credit" not in visit.page.locator(".plan-tree").inner_html()


def test_an_invalid_query_is_explained_in_words(acme: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    opens(visit, acme, "sales", MISTAKEN)

    assert visit.page.locator(".plan .faults li p").inner_text() == "`Customer` has no field `nme`; did you mean `name`"
    assert boxes(visit) == []


def test_another_tab_is_planned_and_not_executed(acme: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    requests = wishes(visit)
    opens(visit, acme, "sales", INVOICES, STAFF)
    run_with_answer(visit)
    visit.page.get_by_role("tab", name="Staff").click()
    visit.page.locator(".plan .box code", has_text="employee").wait_for()

    assert (boxes(visit), visit.page.locator(".plan .ran").count()) == ([("employee", "rows")], 0)
    assert (requests[-2:], set(requests[:-2])) == ([True, "ONLY"], {"ONLY"})


def test_a_plan_says_when_its_question_has_changed_since(acme: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    opens(visit, acme, "sales", STAFF)
    wait_for_plan(visit)
    before = visit.page.get_by_role("status").all_inner_texts()
    visit.page.locator(".graphiql-query-editor .monaco-editor").click()
    visit.page.keyboard.type("# ")
    visit.page.get_by_text("The question has changed").wait_for()
    visit.page.get_by_role("button", name="Plan only").click()
    visit.page.get_by_text("The question has changed").wait_for(state="detached")

    assert [text for text in before if text] == []


def test_a_read_whose_source_is_away_says_so(acme_without_slack: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    opens(visit, acme_without_slack, "sales", INVOICES)
    run_with_answer(visit)

    assert visit.page.locator(".plan .failed").all_inner_texts() == ["Its source did not answer."]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_a_plan_fits_its_window(
    acme: Acme, visiting: Callable[..., Visit], tmp_path: Path, scheme: str, width: int
) -> None:
    visit = visiting(scheme=scheme, width=width)
    opens(visit, acme, "sales", INVOICES)
    wait_for_plan(visit)
    visit.page.get_by_role("button", name="Larger").click()
    visit.page.screenshot(path=tmp_path / f"plan-{scheme}-{width}.png")
    pane = visit.page.locator(".plan")

    assert visit.page.evaluate("document.documentElement.scrollWidth") == width
    assert pane.evaluate("each => each.scrollWidth <= each.clientWidth")
    visit.page.keyboard.press("Escape")
    assert pane.get_attribute("class") == "plan"
