"""GraphiQL's pane draws the plan of a query before and after its execution, wide and narrow, light and dark."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.e2e.browser.conftest import Acme
from tests.e2e.browser.visit import NARROW, SCHEMES, WIDE, Visit

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


def open_plan(visit: Visit, acme: Acme, group: str, *queries: str) -> None:
    """Open the pane with the key of a group, and the queries in tabs, the first active."""
    tabs = [tab(str(number), query) for number, query in enumerate(queries)]
    text = json.dumps(json.dumps({"tabs": tabs, "activeTabIndex": 0}))
    with visit.page.add_init_script(f"sessionStorage.setItem('graphiql:tabState', {text})"):
        visit.page.goto(f"{acme.url}/graphiql")
    visit.connect(acme.keys[group])
    visit.page.get_by_role("button", name="Forget key").wait_for()
    visit.page.locator(".graphiql-query-editor .view-lines", has_text=name(queries[0])).wait_for()
    visit.page.get_by_role("button", name="Show Plan").click()


def tab(number: str, query: str) -> dict[str, Any]:
    known = {"id": number, "hash": number, "title": name(query), "query": query, "operationName": name(query)}
    return {**known, "variables": None, "headers": None, "response": None}


def name(query: str) -> str:
    return query.split()[1]


def wait_for_plan(visit: Visit) -> None:
    visit.page.locator(".plan .box").first.wait_for()


def run_with_answer(visit: Visit) -> None:
    wait_for_plan(visit)
    visit.page.get_by_role("button", name="Plan and run").click()
    visit.page.locator(".plan .outcome").first.wait_for()


def boxes(visit: Visit) -> list[tuple[str, str]]:
    """Each read's collection and purpose, from the top down."""
    headers = visit.page.locator(".plan .box > header").all()
    return [(header.locator("code").inner_text(), header.locator(".purpose").inner_text()) for header in headers]


def steps(visit: Visit, box: int) -> list[list[str]]:
    """Of one read: each step's name, what it is, where it runs, and why."""
    result = visit.page.locator(".plan .box").nth(box).locator(".step").all()
    return [item.locator(".name, code, .placement, .reason").all_inner_texts() for item in result]


def list_plan_requests(visit: Visit) -> list[Any]:
    """List how the pane has asked for plans."""
    sent = [json.loads(request.post_data or "{}").get("extensions", {}) for request in visit.requests]
    return [extensions["onedoor"]["plan"] for extensions in sent if "onedoor" in extensions]


READS = [
    ("customer", "rows"), ("channels", "keys"), ("messages", "keys"), ("revenue_month", "for revenue.sum(revenue)"),
    ("customer", "groups"), ("channels", "keys"), ("orders", "rows"),
]  # fmt: skip
SUM, OPEN = "sum(revenue) by customer_id", "It depends on the keys that are read first"


def test_a_plan_is_drawn_before_anything_is_read(acme: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    open_plan(visit, acme, "sales", INVOICES)
    wait_for_plan(visit)

    assert boxes(visit) == READS
    assert visit.page.locator(".plan-summary").inner_text() == "6 reads · not run"
    assert visit.page.locator(".plan .outcome").count() == 0
    assert steps(visit, 0) == [
        ["where", "id among keys of slack channels", "semi-join", "Its keys come from slack."],
        ["order", "revenue.sum(revenue) desc, id", "Onedoor", "revenue.sum(revenue) comes from a joined scan."],
        ["limit", "10", "Onedoor", "Onedoor computes a step before it."],
    ]
    assert steps(visit, 2)[0] == [
        "where", "text iContains invoice", "Onedoor", "slack does not filter text by iContains.",
    ]  # fmt: skip
    assert steps(visit, 3) == [["keys", "customer_id, 1,000 per call", "source"], ["measures", SUM, "source"]]
    assert steps(visit, 4)[1] == ["measures", "count() by country", "open", f"{OPEN}."]


def test_with_its_answer_each_read_says_what_came_of_it(acme: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    open_plan(visit, acme, "sales", INVOICES)
    run_with_answer(visit)
    result = visit.page.locator(".plan .box").nth(2).locator(".outcome").inner_text()

    assert visit.page.locator(".plan .outcome").count() + visit.page.locator(".plan .faint").count() == len(READS)
    assert [word for word in (" rows", " ms", "1 call", " kB") if word not in result] == []
    assert steps(visit, 4)[1] == ["measures", "count() by country", "source"]
    visit.page.locator(".result-window").get_by_text('"customers"').wait_for()
    assert (visit.outside(acme.url), visit.violations()) == ([], [])


@pytest.mark.parametrize(("group", "shown"), [("engineering", ["SELECT"]), ("sales", []), ("audit", [])])
def test_statements_are_drawn_for_those_who_may_see_them_and_nobody_else(
    acme: Acme, visiting: Callable[..., Visit], group: str, shown: Sequence[str]
) -> None:
    visit = visiting()
    open_plan(visit, acme, group, STAFF)
    for asks in (wait_for_plan, run_with_answer):
        asks(visit)
        for item in visit.page.locator(".plan .sql:not([open]) summary").all():
            item.click()

        assert [text.split()[0] for text in visit.page.locator(".plan pre").all_inner_texts()] == shown
        assert ("SELECT" in visit.page.locator(".plan").inner_text()) == bool(shown)


def test_a_denied_field_is_not_drawn_and_its_owner_is_named(acme: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    open_plan(visit, acme, "sales", SECRET)
    wait_for_plan(visit)

    assert boxes(visit) == [("customer", "rows")]
    assert visit.page.locator(".plan .errors").inner_text().split("\n") == [
        "Not in the plan, because you have no access to it:", "", "FORBIDDEN", "",
        "Customer.creditLimit is for finance. Ask finance (finance@acme.example) for it.",
    ]  # fmt: skip
    assert "credit" not in visit.page.locator(".plan-tree").inner_html()


def test_an_invalid_query_is_explained_in_words(acme: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    open_plan(visit, acme, "sales", MISTAKEN)

    assert visit.page.locator(".plan .errors li p").inner_text() == "`Customer` has no field `nme`; did you mean `name`"
    assert boxes(visit) == []


def test_another_tab_is_planned_and_not_executed(acme: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    open_plan(visit, acme, "sales", INVOICES, STAFF)
    run_with_answer(visit)
    visit.page.get_by_role("tab", name="Staff").click()
    visit.page.locator(".plan .box code", has_text="employee").wait_for()

    assert (boxes(visit), visit.page.locator(".plan .outcome").count()) == ([("employee", "rows")], 0)
    requests = list_plan_requests(visit)
    assert (requests[-2:], set(requests[:-2])) == ([True, "ONLY"], {"ONLY"})


def test_a_plan_says_when_its_query_has_changed_since(acme: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    open_plan(visit, acme, "sales", STAFF)
    wait_for_plan(visit)
    before = visit.page.get_by_role("status").all_inner_texts()
    visit.page.locator(".graphiql-query-editor .monaco-editor").click()
    visit.page.keyboard.type("# ")
    visit.page.get_by_text("The query has changed").wait_for()
    visit.page.get_by_role("button", name="Plan only").click()
    visit.page.get_by_text("The query has changed").wait_for(state="detached")

    assert [text for text in before if text] == []


def test_a_read_whose_source_is_away_says_so(acme_without_slack: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    open_plan(visit, acme_without_slack, "sales", INVOICES)
    run_with_answer(visit)

    assert visit.page.locator(".plan .failed").all_inner_texts() == ["The source did not answer."]


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_a_plan_fits_its_window(acme: Acme, visiting: Callable[..., Visit], width: int) -> None:
    visit = visiting(width=width)
    open_plan(visit, acme, "sales", INVOICES)
    wait_for_plan(visit)
    visit.page.get_by_role("button", name="Maximize").click()
    pane = visit.page.locator(".plan")

    fits = "pane => pane.scrollWidth <= pane.clientWidth"
    light, widths, dark = pane.evaluate(fits), visit.measure_widths(), pane.evaluate(fits)

    assert (light, widths, dark) == (True, dict.fromkeys(SCHEMES, width), True)
    visit.page.keyboard.press("Escape")
    assert pane.get_attribute("class") == "plan"
