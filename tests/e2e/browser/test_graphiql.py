"""GraphiQL in Chromium takes a key, answers a query over all sources, and explains denied fields."""

import json
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.e2e.browser.conftest import Acme
from tests.e2e.browser.visit import NARROW, SCHEMES, WIDE, Visit


def connect(visit: Visit, acme: Acme, group: str) -> None:
    visit.page.goto(f"{acme.url}/graphiql")
    visit.connect(acme.keys[group])
    visit.page.get_by_role("button", name="Forget key").wait_for()


def run_tab(visit: Visit, tab: str) -> dict[str, Any]:
    """Run the query of a tab, and return the reply."""
    visit.page.get_by_role("tab", name=tab).click()
    visit.page.locator(".graphiql-query-editor .view-lines", has_text=tab).wait_for()
    visit.page.locator(".result-window .monaco-editor").first.wait_for()
    with visit.page.expect_response("**/graphql") as replied:
        visit.page.get_by_role("button", name="Execute query").click()
    return json.loads(replied.value.body())


def list_errors(visit: Visit) -> list[str]:
    listed = visit.page.get_by_label("Errors in this response").get_by_role("listitem")
    listed.first.wait_for()
    return listed.all_inner_texts()


def test_a_query_over_all_sources_is_answered_and_its_denied_fields_are_explained(
    acme: Acme, visiting: Callable[..., Visit]
) -> None:
    visit = visiting()
    connect(visit, acme, "finance")
    reply = run_tab(visit, "Dashboard")

    assert visit.page.locator("header").inner_text().split("\n") == [
        "Quentin Brown", "everyone", "finance", "Forget key",
    ]  # fmt: skip
    visit.page.locator(".result-window").get_by_text("FORBIDDEN").first.wait_for()
    filled = [name for name, value in reply["data"]["customers"]["nodes"][1].items() if value is not None]
    assert filled == ["name", "creditLimit", "accountManager", "orders", "revenue", "files"]
    assert list_errors(visit) == [
        "FORBIDDEN\n\nCustomer.channel is for engineering, sales or support. "
        "Ask engineering (#engineering), sales (sales@acme.example) or support (#support) for it."
        "\nNull 5 times, first at customers.nodes.0.channel"
    ]


@pytest.mark.parametrize(("tab", "group", "rows"), [
    ("Dashboard", "sales", "customers"), ("Analyst", "marketing", "usageDays"), ("Auditor", "audit", "requests"),
])  # fmt: skip
def test_each_tab_finds_something_for_its_reader(
    acme: Acme, visiting: Callable[..., Visit], tab: str, group: str, rows: str
) -> None:
    send_refused_request(acme)
    visit = visiting()
    connect(visit, acme, group)

    assert run_tab(visit, tab)["data"][rows]["nodes"] != []


def send_refused_request(acme: Acme) -> None:
    """So that an auditor has a request to find that was not answered."""
    with pytest.raises(HTTPError, match="401"):
        urlopen(Request(f"{acme.url}/graphql", b"{}"))


def test_nothing_comes_from_outside_and_nothing_violates_the_policy(acme: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    connect(visit, acme, "finance")
    run_tab(visit, "Dashboard")
    visit.page.get_by_role("button", name="Show Documentation Explorer").click()
    visit.page.get_by_role("button", name="Prettify").click()
    list_errors(visit)

    assert (visit.outside(acme.url), visit.violations()) == ([], [])


def test_the_docs_say_who_may_see_a_field_and_who_owns_it(acme: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    connect(visit, acme, "everyone")
    page = visit.page
    page.get_by_role("button", name="Show Documentation Explorer").click()
    for name in ("Query", "Employee", "salary"):
        page.locator(".graphiql-doc-explorer-content").get_by_role("link", name=name, exact=True).first.click()

    paragraphs = page.locator(".graphiql-doc-explorer-content").locator("p")
    result = paragraphs.filter(has_text="Access:")
    assert result.inner_text() == "The yearly salary before tax, in euros.\nAccess: finance or people"
    assert paragraphs.filter(has_text="Owner:").inner_text() == "Owner: payroll, payroll@acme.example."


def test_an_unknown_key_is_refused_in_words(acme: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    visit.page.goto(f"{acme.url}/graphiql")
    visit.connect("od_no_such_key")
    refusal = visit.page.get_by_role("status").get_by_text("is not accepted")

    assert refusal.inner_text() == "This API key is not accepted: it may be mistyped, expired or revoked."


def test_a_query_without_a_key_says_where_to_enter_one(acme: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    visit.page.goto(f"{acme.url}/graphiql")
    run_tab(visit, "Dashboard")

    assert list_errors(visit) == [
        "UNAUTHENTICATED\n\nEnter your API key at the top of the page, then run the query again."
    ]


def test_the_key_is_kept_for_the_tab_alone_and_gone_when_it_is_forgotten(
    acme: Acme, visiting: Callable[..., Visit]
) -> None:
    visit = visiting()
    connect(visit, acme, "finance")
    run_tab(visit, "Dashboard")
    visit.page.reload()
    visit.page.get_by_role("button", name="Forget key").wait_for()
    other = visit.page.context.new_page()
    other.goto(f"{acme.url}/graphiql")
    other.get_by_label("API key", exact=True).wait_for()
    everywhere = visit.page.evaluate("JSON.stringify({...localStorage}) + document.cookie")
    visit.page.get_by_role("button", name="Forget key").click()
    visit.page.get_by_label("API key", exact=True).wait_for()
    here = visit.page.evaluate("JSON.stringify({...sessionStorage})")

    assert [text for text in (everywhere, here) if acme.keys["finance"] in text] == []


def test_a_source_that_is_away_is_named_by_the_branch_that_is_null(
    acme_without_slack: Acme, visiting: Callable[..., Visit]
) -> None:
    visit = visiting()
    connect(visit, acme_without_slack, "sales")
    run_tab(visit, "Dashboard")
    (failure,) = [error for error in list_errors(visit) if not error.startswith("FORBIDDEN")]
    code, branch = failure.split(":")[0].split("\n\n")

    assert (code, branch) == ("SOURCE_UNAVAILABLE", "customers.nodes.0.channel is null")


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_no_page_is_wider_than_its_window(acme: Acme, visiting: Callable[..., Visit], width: int) -> None:
    visit = visiting(width=width)
    connect(visit, acme, "finance")
    run_tab(visit, "Dashboard")
    list_errors(visit)

    assert visit.measure_widths() == dict.fromkeys(SCHEMES, width)


def test_the_page_without_a_key_is_no_wider_than_its_window(acme: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting(width=NARROW)
    visit.page.goto(f"{acme.url}/graphiql")
    visit.page.get_by_label("API key", exact=True).wait_for()

    assert visit.page.evaluate("document.documentElement.scrollWidth") == NARROW
