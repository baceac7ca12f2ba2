"""Visit a page in Chromium, and record its requests and the violations of its policy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, ConsoleMessage, Page

WIDE, NARROW = 1400, 420
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@dataclass(slots=True, kw_only=True)
class Visit:
    page: Page
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def outside(self, origin: str) -> list[str]:
        """List the requests to other servers; a page needs no request for what it embeds."""
        return [url for url in self.requests if not url.startswith((f"{origin}/", "data:", "blob:"))]

    def violations(self) -> list[str]:
        """List the violations of the content security policy, and uncaught errors."""
        return [text for text in self.messages if "Content Security Policy" in text or text.startswith("uncaught")]

    def measure_widths(self, screenshots: Path) -> dict[str, int]:
        """Return the page's width in each color scheme, and leave a screenshot of each."""
        widths = {}
        for scheme in SCHEMES:
            self.page.emulate_media(color_scheme=scheme)
            self.page.screenshot(path=screenshots / f"{scheme}.png", full_page=True)
            widths[scheme] = self.page.evaluate("document.documentElement.scrollWidth")
        return widths

    def connect(self, key: str) -> None:
        self.page.get_by_label("API key", exact=True).fill(key)
        self.page.get_by_role("button", name="Connect", exact=True).click()


def visit(browser: Browser, *, width: int = WIDE) -> Visit:
    context = browser.new_context(viewport={"width": width, "height": 900}, locale="en")
    result = Visit(page=context.new_page())
    result.page.on("request", lambda request: result.requests.append(request.url))
    result.page.on("console", lambda message: result.messages.append(read_text(message)))
    result.page.on("pageerror", lambda error: result.messages.append(f"uncaught {error}"))
    return result


def read_text(message: ConsoleMessage) -> str:
    return message.text
