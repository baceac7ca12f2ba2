"""GraphiQL in Chromium takes a key, answers a query over all sources, and explains denied fields."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.e2e.browser.conftest import Acme
from tests.e2e.browser.visit import NARROW, WIDE, Visit


def comes_in(visit: Visit, acme: Acme, group: str) -> None:
    visit.page.goto(f"{acme.url}/graphiql")
    visit.comes_in(acme.keys[group])
    visit.page.get_by_role("button", name="Forget key").wait_for()


def run_tab(visit: Visit, tab: str) -> dict[str, Any]:
    """Run the query of a tab, and return the reply."""
    visit.page.get_by_role("tab", name=tab).click()
    visit.page.locator(".graphiql-query-editor .view-lines", has_text=tab).wait_for()
    visit.page.locator(".result-window .monaco-editor").first.wait_for()
    with visit.page.expect_response("**/graphql") as replied:
        visit.page.get_by_role("button", name="Execute query").click()
    return json.loads(replied.value.body())


def faults(visit: Visit) -> list[str]:
    listed = visit.page.get_by_label("What this answer leaves out").get_by_role("listitem")
    listed.first.wait_for()
    return listed.all_inner_texts()


def test_a_key_typed_in_opens_a_question_over_all_sources_and_what_is_withheld_is_explained(
    acme: Acme, visiting: Callable[..., Visit]
) -> None:
    visit = visiting()
    comes_in(visit, acme, "finance")
    reply = run_tab(visit, "Dashboard")

    assert visit.page.locator("header").inner_text().split("\n") == [
        "Quentin Brown", "everyone", "finance", "Forget key",
    ]  # fmt: skip
    visit.page.locator(".result-window").get_by_text("Boréal Textiles Inc.").wait_for()
    filled = [name for name, value in reply["data"]["customers"]["nodes"][1].items() if value is not None]
    assert filled == ["name", "creditLimit", "accountManager", "orders", "revenue", "files"]
    assert faults(visit) == [
        "FORBIDDEN\n\nCustomer.channel is for engineering, sales or support. Ask sales operations for it."
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
    comes_in(visit, acme, group)

    assert run_tab(visit, tab)["data"][rows]["nodes"] != []


def send_refused_request(acme: Acme) -> None:
    """So that an auditor has a request to find that was not answered."""
    with pytest.raises(HTTPError, match="401"):
        urlopen(Request(f"{acme.url}/graphql", b"{}"))


def test_nothing_comes_from_outside_and_the_policy_turns_nothing_down(
    acme: Acme, visiting: Callable[..., Visit]
) -> None:
    visit = visiting()
    comes_in(visit, acme, "finance")
    run_tab(visit, "Dashboard")
    visit.page.get_by_role("button", name="Show Documentation Explorer").click()
    visit.page.get_by_role("button", name="Prettify").click()
    faults(visit)

    assert (visit.outside(acme.url), visit.turned_down()) == ([], [])


def test_the_docs_say_who_may_see_a_field_and_whom_to_ask(acme: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    comes_in(visit, acme, "everyone")
    page = visit.page
    page.get_by_role("button", name="Show Documentation Explorer").click()
    for name in ("Query", "Employee", "salary"):
        page.locator(".graphiql-doc-explorer-content").get_by_role("link", name=name, exact=True).first.click()

    result = page.locator(".graphiql-doc-explorer-content").locator("p", has_text="Who may see")
    assert result.inner_text() == (
        "The yearly salary before tax, in euros.\nWho may see: finance or people · Ask: payroll"
    )


def test_a_key_that_opens_nothing_is_refused_in_words(acme: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    visit.page.goto(f"{acme.url}/graphiql")
    visit.comes_in("od_no_such_key")
    refusal = visit.page.get_by_role("status").get_by_text("does not open")

    assert refusal.inner_text() == "This key does not open the door: it may be mistyped, expired or revoked."


def test_a_question_without_a_key_says_where_the_key_goes(acme: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    visit.page.goto(f"{acme.url}/graphiql")
    run_tab(visit, "Dashboard")

    assert faults(visit) == ["UNAUTHENTICATED\n\nPut your key into the field at the top of the page, then ask again."]


def test_the_key_is_kept_for_the_tab_alone_and_gone_when_it_is_forgotten(
    acme: Acme, visiting: Callable[..., Visit]
) -> None:
    visit = visiting()
    comes_in(visit, acme, "finance")
    run_tab(visit, "Dashboard")
    visit.page.reload()
    visit.page.get_by_role("button", name="Forget key").wait_for()
    other = visit.page.context.new_page()
    other.goto(f"{acme.url}/graphiql")
    other.get_by_label("Key", exact=True).wait_for()
    everywhere = visit.page.evaluate("JSON.stringify({...localStorage}) + document.cookie")
    visit.page.get_by_role("button", name="Forget key").click()
    visit.page.get_by_label("Key", exact=True).wait_for()
    here = visit.page.evaluate("JSON.stringify({...sessionStorage})")

    assert [text for text in (everywhere, here) if acme.keys["finance"] in text] == []


def test_a_source_that_is_away_is_named_by_the_branch_that_is_null(
    acme_without_slack: Acme, visiting: Callable[..., Visit]
) -> None:
    visit = visiting()
    comes_in(visit, acme_without_slack, "sales")
    run_tab(visit, "Dashboard")
    (away,) = [fault for fault in faults(visit) if not fault.startswith("FORBIDDEN")]
    code, branch = away.split(":")[0].split("\n\n")

    assert (code, branch) == ("SOURCE_UNAVAILABLE", "customers.nodes.0.channel is null")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_no_page_is_wider_than_its_window(
    acme: Acme, visiting: Callable[..., Visit], tmp_path: Path, scheme: str, width: int
) -> None:
    visit = visiting(scheme=scheme, width=width)
    comes_in(visit, acme, "finance")
    run_tab(visit, "Dashboard")
    faults(visit)
    visit.page.screenshot(path=tmp_path / f"graphiql-{scheme}-{width}.png")

    assert visit.page.evaluate("document.documentElement.scrollWidth") == width
