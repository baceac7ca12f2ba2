"""A new person gets their key on /account by the link of the directory, and a halted sync is decided on /admin."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from auth import users
from auth.directory import claims
from tests.e2e.browser.visit import NARROW, SCHEMES, Visit
from tests.http.scim.conftest import DirectoryServer, run_company
from tests.servers.serving import HOST

REMOVED_AT_ONCE = 5


@pytest.fixture(scope="module")
def server(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DirectoryServer]:
    with run_company(tmp_path_factory.mktemp("directory-pages") / "company") as running:
        yield running


def open_url(server: DirectoryServer, path: str) -> str:
    return f"http://{HOST}:{server.port}{path}"


def test_a_link_gives_its_person_their_key_and_leaves_the_address(
    server: DirectoryServer, visiting: Callable[..., Visit]
) -> None:
    server.create_person("ada")
    (claim,) = claims.list_claims(server.state)
    visit = visiting()
    visit.page.goto(open_url(server, f"/account#code={claim.text}"))
    visit.page.get_by_role("button", name="Get my key").click()
    key = visit.page.get_by_label("Key", exact=True)
    key.wait_for()

    assert server.ask(key.input_value(), "{ me { firstName } }") == {"data": {"me": {"firstName": "ada"}}}
    assert visit.page.url == open_url(server, "/account")
    assert [request.url for request in visit.requests if claim.text in request.url.split("#")[0]] == []


def test_a_halted_sync_is_shown_with_those_who_wait_and_approved(
    server: DirectoryServer, visiting: Callable[..., Visit]
) -> None:
    users.create_user(server.state, first_name="Root", last_name="Example", email="root@acme.example")
    users.join_group(server.state, "root@acme.example", "user-administration")
    people = [server.create_person(f"p{number}") for number in range(REMOVED_AT_ONCE + 1)]
    server.age_people()
    for person in people:
        server.client.delete(f"/Users/{person['id']}")
    visit = visiting(width=NARROW)
    page = visit.page
    page.goto(open_url(server, "/admin#directory"))
    visit.connect(server.create_key("root"))
    page.get_by_role("link", name="Who waits").click()
    page.get_by_role("cell", name="waiting").wait_for()
    widths = visit.measure_widths()
    page.get_by_text("Let them be removed").click()
    form = page.locator("details", has_text="Let them be removed")
    form.get_by_label("Reason").fill("the branch is closed")
    form.get_by_role("button", name="Approve the removals").click()
    page.get_by_text("Approved: they are removed when the directory asks again.").wait_for()

    assert server.client.delete(f"/Users/{people[-1]['id']}").status_code == 204
    assert (widths, visit.violations()) == (dict.fromkeys(SCHEMES, NARROW), [])
