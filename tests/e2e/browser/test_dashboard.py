"""Acme's dashboard in Chromium shows each key the panels that its groups may see."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from demo.data.business import revenue_month
from tests.e2e.browser.conftest import Acme, run_demo
from tests.e2e.browser.visit import NARROW, SCHEMES, WIDE, Visit

PANELS = ("revenue", "top", "active", "threads", "deployments")
ENTERPRISE = range(20, 101, 20)
LAST_MONTH = 11
FINANCE, SALES = "finance (finance@acme.example)", "sales (sales@acme.example)"
ENGINEERING, SUPPORT = "engineering (#engineering)", "support (#support)"


def open_dashboard(visit: Visit, acme: Acme, group: str) -> None:
    """Return when every panel has its answer."""
    visit.page.goto(f"{acme.url}/dashboard")
    visit.connect(acme.keys[group])
    visit.page.locator("section").nth(len(PANELS) - 1).wait_for()
    visit.page.get_by_text("Loading…").first.wait_for(state="detached")
    for panel in PANELS:
        visit.page.locator(f"#{panel} .body > *").first.wait_for()


def list_filled_panels(visit: Visit) -> set[str]:
    """The panels that show more than a note."""
    return {panel for panel in PANELS if visit.page.locator(f"#{panel} .body > :not(.note)").count()}


def notes(visit: Visit) -> Mapping[str, list[str]]:
    results = {panel: visit.page.locator(f"#{panel} .note").all_inner_texts() for panel in PANELS}
    return {panel: texts for panel, texts in results.items() if texts}


@pytest.mark.parametrize(("group", "panels"), [
    ("finance", {"revenue", "top", "active"}),
    ("marketing", {"active"}),
    ("sales", {"revenue", "top", "active", "threads"}),
    ("engineering", {"active", "threads", "deployments"}),
])  # fmt: skip
def test_each_key_sees_its_own_part(acme: Acme, visiting: Callable[..., Visit], group: str, panels: set[str]) -> None:
    visit = visiting()
    open_dashboard(visit, acme, group)

    assert list_filled_panels(visit) == panels


@pytest.fixture
def demo(playwright: Any, tmp_path: Path) -> Iterator[Acme]:
    """Acme as `python -m demo` runs it."""
    with run_demo(tmp_path) as running:
        yield running


def test_the_demo_opens_its_dashboard_to_a_key_that_it_prints(demo: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    open_dashboard(visit, demo, "sales")

    assert list_filled_panels(visit) == {"revenue", "top", "active", "threads"}


def test_a_denied_panel_says_for_whom_it_is_and_whom_to_ask(acme: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    open_dashboard(visit, acme, "marketing")

    assert notes(visit) == {
        "revenue": [f"Revenue: only for finance or sales; ask {FINANCE} or {SALES} for access"],
        "top": [f"Only for finance or sales; ask {FINANCE} or {SALES} for access"],
        "threads": [f"Only for engineering, sales or support; ask {ENGINEERING}, {SALES} or {SUPPORT} for access"],
        "deployments": [f"Only for engineering or support; ask {ENGINEERING} or {SUPPORT} for access"],
    }


def test_a_denied_column_leaves_the_rest_of_its_panel(acme: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    open_dashboard(visit, acme, "sales")

    assert notes(visit)["revenue"] == [f"Refunds: only for finance; ask {FINANCE} for access"]


def test_revenue_by_month_is_exact(acme: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    open_dashboard(visit, acme, "finance")
    result = visit.page.locator("#revenue canvas").get_attribute("aria-label") or ""
    rows = [revenue_month(customer, LAST_MONTH) for customer in ENTERPRISE]

    assert [series.split(" Oct 2026: ")[1] for series in result.split("; ")] == [
        f"{sum(row[2] for row in rows).normalize():f}", f"{sum(row[3] for row in rows).normalize():f}",
    ]  # fmt: skip


def test_nothing_comes_from_outside_and_nothing_violates_the_policy(acme: Acme, visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    open_dashboard(visit, acme, "engineering")

    assert (visit.outside(acme.url), visit.violations()) == ([], [])


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_no_page_is_wider_than_its_window(acme: Acme, visiting: Callable[..., Visit], width: int) -> None:
    visit = visiting(width=width)
    open_dashboard(visit, acme, "engineering")

    assert visit.measure_widths() == dict.fromkeys(SCHEMES, width)
