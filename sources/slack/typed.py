"""What a person typed in, what Slack is sent out: it is shown as it was typed, and means nothing."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from engine.change.words import Unmade

LONGEST = 4_000
"""Characters; what Slack advises for one message."""
LINES = "\n\t"
MARKS = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"))


def typed(text: Any) -> str:
    """Raises Unmade for what no message can say."""
    if not isinstance(text, str) or not text.strip():
        raise Unmade("`plain` is empty: a message says something")
    if len(text) > LONGEST:
        raise Unmade(f"`plain` is over the limit of {LONGEST} characters: send it in parts")
    if any((each < " " and each not in LINES) or each == "\x7f" or "\ud800" <= each <= "\udfff" for each in text):
        raise Unmade("`plain` holds a character that is no text")
    return text


def spoken(text: str) -> Mapping[str, Any]:
    """A block in which nothing is looked for, and for notices a text in which there is nothing to be found."""
    part = {"type": "text", "text": text}
    section = {"type": "rich_text_section", "elements": [part]}
    return {
        "text": escaped(text),
        "blocks": [{"type": "rich_text", "elements": [section]}],
        "parse": "none",
        "link_names": False,
    }


SILENT: Mapping[str, Any] = {"mrkdwn": False, "unfurl_links": False, "unfurl_media": False, "reply_broadcast": False}
"""What a new message is told besides."""


def escaped(text: str) -> str:
    for plain, mark in MARKS:
        text = text.replace(plain, mark)
    return text


def unescaped(text: str) -> str:
    """What was typed, of a text in Slack's mark-up; its mentions and links stay as Slack writes them."""
    for plain, mark in reversed(MARKS):
        text = text.replace(mark, plain)
    return text


def version(text: str) -> str:
    """Made of the text alone, as Slack's search does not tell when it was edited."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
