"""Visit a page in Chromium, and record its requests and the violations of its policy."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import urljoin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from playwright.sync_api import Page, Request

WIDE, NARROW = 1400, 420
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@dataclass(slots=True, kw_only=True)
class Visit:
    page: Page
    requests: list[Request] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def outside(self, origin: str) -> list[str]:
        """List the requests to other servers; a page needs no request for what it embeds."""
        urls = [request.url for request in self.requests]
        return [url for url in urls if not url.startswith((f"{origin}/", "data:", "blob:"))]

    def violations(self) -> list[str]:
        """List the violations of the content security policy, and uncaught errors."""
        return [text for text in self.messages if "Content Security Policy" in text or text.startswith("uncaught")]

    def measure_widths(self) -> dict[str, int]:
        """Return the page's width in each color scheme."""
        widths = {}
        for scheme in SCHEMES:
            self.page.emulate_media(color_scheme=scheme)
            widths[scheme] = self.page.evaluate("document.documentElement.scrollWidth")
        return widths

    def connect(self, key: str) -> None:
        self.page.get_by_label("API key", exact=True).fill(key)
        self.page.get_by_role("button", name="Connect", exact=True).click()


@contextmanager
def visit(page: Page, *, width: int = WIDE) -> Iterator[Visit]:
    """Visit with a tab that is as if it were new, save what it has compiled; leave it empty."""
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme="light")
    page.mouse.move(0, 0)
    result = Visit(page=page)
    recorders: Mapping[str, Callable[..., None]] = {
        "request": lambda request: result.requests.append(request),
        "console": lambda message: result.messages.append(message.text),
        "pageerror": lambda error: result.messages.append(f"uncaught {error}"),
    }
    for event, record in recorders.items():
        page.on(event, record)  # type: ignore[call-overload]
    yield result
    for event, record in recorders.items():
        page.remove_listener(event, record)
    empty(page)


def empty(page: Page) -> None:
    """Delete what the page keeps in its tab and for its server; close a tab that is at no server."""
    if not page.url.startswith("http"):
        page.close()
        return
    page.goto(urljoin(page.url, "/nothing"))
    page.evaluate("sessionStorage.clear(); localStorage.clear()")
    page.context.clear_cookies()
