"""GraphiQL in Chromium runs a subscription like any operation, and shows each answer as it comes."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.e2e.browser.conftest import CHROMIUM, QUIET
from tests.http.live.conftest import RunningServer, wait_until

ASKED = "subscription Names { customerChanged { id name } }"


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    if CHROMIUM is None:
        pytest.skip("GraphiQL in a browser: install chromium")
    async with async_playwright() as running:
        browser = await running.chromium.launch(executable_path=CHROMIUM, args=[*QUIET])
        yield await browser.new_page(viewport={"width": 1400, "height": 900}, locale="en")
        await browser.close()


async def write(page: Page, text: str) -> None:
    """In place of what the editor holds."""
    await page.locator(".graphiql-query-editor .monaco-editor").first.click()
    await page.keyboard.press("Control+a")
    await page.keyboard.insert_text(text)
    await page.keyboard.press("Control+Shift+End")
    await page.keyboard.press("Delete")  # the brackets that the editor closed by itself


async def shows(page: Page, text: str | re.Pattern[str]) -> None:
    await expect(page.locator(".result-window")).to_contain_text(text, timeout=30_000)


async def test_a_subscription_shows_each_answer_as_it_comes_and_ends_where_it_is_stopped(
    server: RunningServer, page: Any
) -> None:
    await page.goto(server.url.replace("/graphql", "/graphiql"))
    await page.get_by_label("API key", exact=True).fill(server.key("sales").text)
    await page.get_by_role("button", name="Connect", exact=True).click()
    await page.get_by_role("button", name="Forget key").wait_for()
    await write(page, '{ customer(id: "20") { id name } }')
    await page.get_by_role("button", name="Execute query").click()
    await shows(page, "Granit Foods AB")
    await write(page, ASKED)
    await page.get_by_role("button", name="Execute query").click()
    await wait_until(lambda: server.outcomes("subscription") == ["answered"])
    for id in ("1", "2"):
        await server.publish_change(id)
        await shows(page, re.compile(rf'"id":\s"{id}"'))
    await page.get_by_role("button", name="Stop query").click()
    await wait_until(lambda: server.outcomes("subscription")[-1] == "cancelled")


async def test_a_subscription_that_the_server_interrupts_is_an_error(server: RunningServer, page: Any) -> None:
    await page.goto(server.url.replace("/graphql", "/graphiql"))
    await page.get_by_label("API key", exact=True).fill(server.key("sales").text)
    await page.get_by_role("button", name="Connect", exact=True).click()
    await page.get_by_role("button", name="Forget key").wait_for()
    await write(page, ASKED)
    await page.get_by_role("button", name="Execute query").click()
    await wait_until(lambda: server.outcomes("subscription") == ["answered"])
    stopping = asyncio.create_task(server.uvicorn_server.shutdown())
    await shows(page, "The server ended the stream before it was complete: run the operation again.")
    await stopping
