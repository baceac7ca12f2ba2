"""People and administrators do in Chromium, on /account and /admin, what the schema lets them do."""

from collections.abc import Callable
from contextlib import closing

import pytest

from auth import api_keys
from onedoor.storage.database import open_database
from tests.e2e.browser.conftest import Acme
from tests.e2e.browser.visit import NARROW, SCHEMES, WIDE, Visit
from tests.runtime.failures.conftest import PEPPER

Visiting = Callable[..., Visit]

UNNAMED = """() => [...document.querySelectorAll("a, button, input, select, textarea, summary")].filter((control) =>
  ![control.getAttribute("aria-label"), control.textContent, ...[...(control.labels ?? [])].map((l) => l.textContent)]
    .some((name) => name?.trim())).map((control) => control.outerHTML)"""
"""The controls of a page without a name."""

PARTS = ("Requests and grants", "Users", "Groups", "Keys")


def enter(visiting: Visiting, acme: Acme, key: str, page: str = "/account", *, width: int = WIDE) -> Visit:
    """Return when the page is drawn for the key's owner."""
    visit = visiting(width=width)
    visit.page.goto(f"{acme.url}{page}")
    visit.connect(key)
    visit.page.locator("main h2").first.wait_for()
    visit.page.get_by_text("Loading…").wait_for(state="detached")
    return visit


def open_part(visit: Visit, part: str) -> None:
    navigation = visit.page.get_by_role("navigation", name="Administration")
    navigation.get_by_role("link", name=part).click()
    navigation.locator("[aria-current]", has_text=part).wait_for()
    visit.page.locator("main h2").first.wait_for()


def open_everything(visit: Visit) -> None:
    """Open each form that is there to open."""
    for summary in visit.page.locator("main details:not(details details) > summary").all():
        summary.click()


def read_new_key(visit: Visit) -> str:
    return visit.page.get_by_label("Key", exact=True).input_value()


def create_key_at_the_server(acme: Acme, email: str) -> str:
    with closing(open_database(f"sqlite:///{acme.folder}/state.sqlite", PEPPER.encode())) as state:
        return api_keys.create_key(state, email).text


def test_a_person_who_is_added_enters_with_a_key_that_no_page_showed(acme: Acme, visiting: Visiting) -> None:
    admin = enter(visiting, acme, acme.keys["user-administration"], "/admin#users")
    page = admin.page
    page.get_by_text("Add a person").click()
    form = page.locator("details", has_text="Add a person")
    for label, text in {"Given name": "Ada", "Family name": "Byron", "E-mail address": "ada@acme.example"}.items():
        form.get_by_label(label).fill(text)
    form.get_by_label("support").check()
    form.get_by_label("Reason").fill("she starts today")
    form.get_by_role("button", name="Add the person").click()
    page.get_by_role("heading", name="Ada Byron").wait_for()
    page.get_by_text("no page shows it to others").wait_for()
    ada = enter(visiting, acme, create_key_at_the_server(acme, "ada@acme.example"))

    assert ada.page.get_by_role("table", name="Your groups").locator("tbody strong").all_inner_texts() == [
        "everyone", "support",
    ]  # fmt: skip


def test_a_key_is_rotated_by_keyboard_shown_once_and_kept_for_the_tab(acme: Acme, visiting: Visiting) -> None:
    visit = enter(visiting, acme, acme.keys["people"])
    page = visit.page
    page.get_by_text("Rotate my key").first.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("You have a new key.").wait_for()
    new_key = read_new_key(visit)
    page.reload()
    page.get_by_text("secret 2").wait_for()

    assert new_key != acme.keys["people"]
    assert page.evaluate("sessionStorage.getItem('onedoor.key')") == new_key
    assert new_key not in page.content()


def test_access_is_asked_for_approved_held_and_returned(acme: Acme, visiting: Visiting) -> None:
    asker = enter(visiting, acme, acme.keys["sales"])
    asker.page.get_by_label("Group", exact=True).select_option("engineering")
    asker.page.locator("form.ask").get_by_label("Reason").fill("the deployment of today")
    asker.page.get_by_role("button", name="Ask for access").click()
    states = [asker.page.locator("td .chip").first.inner_text()]
    reviewer = enter(visiting, acme, acme.keys["access-review"], "/admin#grants")
    reviewer.page.get_by_text("Approve engineering for Mateus Schäfer").click()
    reviewer.page.get_by_role("button", name="Approve", exact=True).click()
    reviewer.page.get_by_text("You have approved engineering for Mateus Schäfer.").wait_for()
    asker.page.reload()
    asker.page.get_by_role("button", name="Return engineering").wait_for()
    states.append(asker.page.locator("td .chip").first.inner_text())
    asker.page.get_by_role("button", name="Return engineering").click()
    asker.page.get_by_text("You have returned engineering.").wait_for()
    states.append(asker.page.locator("td .chip").first.inner_text())

    assert states == ["waits for a decision", "active", "ended"]


def test_what_the_server_refuses_stands_in_words_beside_the_button(acme: Acme, visiting: Visiting) -> None:
    visit = enter(visiting, acme, acme.keys["marketing"])
    form = visit.page.locator("form.ask")
    form.get_by_label("Group").select_option("people")
    form.get_by_label("Reason").fill("month end")
    form.get_by_role("button", name="Ask for access").click()
    form.get_by_role("alert").filter(has_text="people").wait_for()

    assert form.get_by_role("alert").inner_text() == (
        "Nobody may approve access to people: have another of its approvers join access-review."
    )


def test_whoever_administers_nothing_is_told_whom_to_ask(acme: Acme, visiting: Visiting) -> None:
    visit = enter(visiting, acme, acme.keys["marketing"], "/admin")

    assert "access@acme.example" in visit.page.locator("main").inner_text()
    assert visit.page.locator("main form").count() == 0


def test_an_auditor_sees_all_parts_and_may_change_nothing(acme: Acme, visiting: Visiting) -> None:
    visit = enter(visiting, acme, acme.keys["audit"], "/admin")
    for part in PARTS:
        open_part(visit, part)
        assert visit.page.locator("main form:not([role=search])").count() == 0


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_no_page_is_wider_than_its_window_and_every_control_has_a_name(
    acme: Acme, visiting: Visiting, width: int
) -> None:
    account = enter(visiting, acme, acme.keys["sales"], width=width)
    open_everything(account)
    assert account.measure_widths() == dict.fromkeys(SCHEMES, width)
    assert account.page.evaluate(UNNAMED) == []
    admin = enter(visiting, acme, acme.keys["user-administration"], "/admin", width=width)
    for part in ("Users", "Groups", "Keys"):
        open_part(admin, part)
        open_everything(admin)
        assert admin.measure_widths() == dict.fromkeys(SCHEMES, width)
        assert admin.page.evaluate(UNNAMED) == []
    assert (account.outside(acme.url), account.violations(), admin.violations()) == ([], [], [])
