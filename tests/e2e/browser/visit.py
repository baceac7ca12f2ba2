"""One visit of a page in Chromium: what it asked for on the way, and what its policy turned down."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

WIDE, NARROW = 1400, 420


@dataclass(slots=True, kw_only=True)
class Visit:
    page: Page
    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def outside(self, door: str) -> list[str]:
        """What was asked of others than the door; what a page holds itself is not asked for."""
        return [url for url in self.asked if not url.startswith((f"{door}/", "data:", "blob:"))]

    def turned_down(self) -> list[str]:
        """What the content security policy kept the page from, and errors that nobody caught."""
        return [text for text in self.said if "Content Security Policy" in text or text.startswith("uncaught")]

    def comes_in(self, key: str) -> None:
        self.page.get_by_label("Key", exact=True).fill(key)
        self.page.get_by_role("button", name="Open", exact=True).click()


def visit(browser: Browser, *, scheme: str = "light", width: int = WIDE) -> Visit:
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}, locale="en")
    made = Visit(page=context.new_page())
    made.page.on("request", lambda request: made.asked.append(request.url))
    made.page.on("console", lambda message: made.said.append(words(message)))
    made.page.on("pageerror", lambda error: made.said.append(f"uncaught {error}"))
    return made


def words(message: ConsoleMessage) -> str:
    return message.text
