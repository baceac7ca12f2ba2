"""A message's text or its blocks to what a reader sees: the parts of it that mention, link, and merely say."""

import json
import re
from collections.abc import Iterator
from typing import Any, TypeAlias

from demo.slack.paging import Failure, Params, truthy
from demo.slack.workspace import Blocks, Workspace

Part: TypeAlias = dict[str, Any]
MOST_BLOCKS = 50
LONGEST_SECTION = 3_000
ENTITY = re.compile(r"<([^<>]+)>")
ADDRESS = re.compile(r"https?://[^\s<>|]+")
NAME = re.compile(r"@([a-z0-9._-]+)")
EVERYONE = ("channel", "here", "everyone")
PARTS = frozenset({"text", "link", "user", "channel", "usergroup", "broadcast", "emoji", "date", "color"})


def blocks_of(here: Workspace, params: Params) -> Blocks:
    """As they were given, or as Slack makes them of a text that came alone. Raises Failure."""
    given = params.get("blocks")
    if given in (None, "", []):
        text = str(params.get("text") or "")
        return [rich(list(read(here, text, str(params.get("parse")), truthy(params.get("link_names")))))]
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            raise Failure("invalid_blocks_format") from None
    if not isinstance(given, list) or len(given) > MOST_BLOCKS or not all(map(valid, given)):
        raise Failure("invalid_blocks")
    return given


def rich(parts: list[Part]) -> Part:
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": parts}]}


def valid(block: Any) -> bool:
    """Of the many kinds of Slack those of which a message is made."""
    if not isinstance(block, dict):
        return False
    if block.get("type") == "section":
        text = block.get("text")
        if not isinstance(text, dict) or text.get("type") not in ("plain_text", "mrkdwn"):
            return False
        return 0 < len(str(text.get("text") or "")) <= LONGEST_SECTION
    return block.get("type") == "rich_text" and all(
        isinstance(section, dict)
        and section.get("type") == "rich_text_section"
        and all(
            part.get("type") in PARTS and (part["type"] != "text" or part.get("text")) for part in section["elements"]
        )
        for section in block.get("elements", ())
    )


def read(here: Workspace, text: str, parse: str, names: bool) -> Iterator[Part]:
    """`<...>` means something, `&lt;` never does; addresses are linked but under `none`, names are only if asked."""
    at = 0
    for found in ENTITY.finditer(text):
        yield from plain(here, text[at : found.start()], parse, names)
        yield entity(found[1]) or {"type": "text", "text": plainly(found[0])}
        at = found.end()
    yield from plain(here, text[at:], parse, names)


def entity(inside: str) -> Part | None:
    meant, _, shown = inside.partition("|")
    if meant[:1] == "!" and meant[1:] in EVERYONE:
        return {"type": "broadcast", "range": meant[1:]}
    if meant[:1] == "@":
        return {"type": "user", "user_id": meant[1:]}
    if meant[:1] == "#":
        return {"type": "channel", "channel_id": meant[1:]}
    if meant.startswith("!subteam^"):
        return {"type": "usergroup", "usergroup_id": meant[9:]}
    if ":" in meant:
        return {"type": "link", "url": meant} | ({"text": shown} if shown else {})
    return None


def plain(here: Workspace, text: str, parse: str, names: bool) -> Iterator[Part]:
    """What stands between entities."""
    marks = [*(ADDRESS.finditer(text) if parse != "none" else ())]
    marks += [*(NAME.finditer(text) if names or parse == "full" else ())]
    at = 0
    for found in sorted(marks, key=re.Match.start):
        part = mark(here, found) if found.start() >= at else None
        if part is not None:
            yield from said(text[at : found.start()])
            yield part
            at = found.end()
    yield from said(text[at:])


def mark(here: Workspace, found: "re.Match[str]") -> Part | None:
    if found.re is ADDRESS:
        return {"type": "link", "url": plainly(found[0])}
    if found[1] in EVERYONE:
        return {"type": "broadcast", "range": found[1]}
    ids = [user.id for user in here.users.values() if user.name == found[1]]
    return {"type": "user", "user_id": ids[0]} if ids else None


def said(text: str) -> Iterator[Part]:
    if text:
        yield {"type": "text", "text": plainly(text)}


def plainly(text: str) -> str:
    """Slack knows these three and no others."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
