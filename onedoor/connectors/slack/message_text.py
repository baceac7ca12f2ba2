"""Check, format and version the text of messages."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from onedoor.spi.connector import ChangeRejected

MESSAGE_MAX_LENGTH = 4_000
"""Characters, as Slack advises for one message."""

ALLOWED_CONTROLS = "\n\t"

ESCAPES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"))

NEW_MESSAGE_OPTIONS: Mapping[str, Any] = {
    "mrkdwn": False,
    "unfurl_links": False,
    "unfurl_media": False,
    "reply_broadcast": False,
}
"""What a new message is sent with besides its body."""


def check_message_text(text: Any) -> str:
    """Return the text. Raises ChangeRejected for one that no message can have."""
    if not isinstance(text, str) or not text.strip():
        raise ChangeRejected("`plain` is empty: a message says something")
    if len(text) > MESSAGE_MAX_LENGTH:
        raise ChangeRejected(f"`plain` is over the limit of {MESSAGE_MAX_LENGTH} characters: send it in parts")
    if any(map(_is_unsendable, text)):
        raise ChangeRejected("`plain` holds a character that is no text")
    return text


def _is_unsendable(character: str) -> bool:
    is_control = (character < " " and character not in ALLOWED_CONTROLS) or character == "\x7f"
    return is_control or "\ud800" <= character <= "\udfff"


def build_message_body(text: str) -> Mapping[str, Any]:
    """Build a block in which Slack finds no mark-up, and an escaped text for notifications."""
    section = {"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}
    return {
        "text": escape_text(text),
        "blocks": [{"type": "rich_text", "elements": [section]}],
        "parse": "none",
        "link_names": False,
    }


def escape_text(text: str) -> str:
    for character, escape in ESCAPES:
        text = text.replace(character, escape)
    return text


def unescape_text(text: str) -> str:
    """Return what was typed; mentions and links stay as Slack writes them."""
    for character, escape in reversed(ESCAPES):
        text = text.replace(escape, character)
    return text


def compute_message_version(text: str) -> str:
    """Hash the text alone, as Slack's search does not tell when it was edited."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
