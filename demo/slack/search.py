"""The query of search.messages to its matches, newest first: words, `from:` and `in:`, all of which must hold."""

import re
from collections.abc import Callable
from typing import Any

from demo.slack.paging import Failure, Params
from demo.slack.shapes import match_json
from demo.slack.workspace import Post, Workspace, newest_first
from demo.world.chat import BOT

MOST = 100
TERM = re.compile(r'(?:(from|in):)?("[^"]*"|\S+)')


def search(here: Workspace, params: Params) -> dict[str, Any]:
    """Pages count from 1; `total` counts every match."""
    query = str(params.get("query") or "").strip()
    if not query:
        raise Failure("no_query")
    found = matches(here, query)
    if params.get("sort_dir") == "asc":
        found.reverse()
    count, number = whole(params, "count", 20, MOST), whole(params, "page", 1, MOST)
    rows = found[(number - 1) * count : number * count]
    return {
        "query": query,
        "messages": {
            "total": len(found),
            "matches": [match_json(here, post) for post in rows],
            "paging": {"count": count, "total": len(found), "page": number, "pages": -(-len(found) // count)},
            "pagination": {
                "total_count": len(found),
                "page": number,
                "per_page": count,
                "page_count": -(-len(found) // count),
                "first": (number - 1) * count + 1 if rows else 0,
                "last": (number - 1) * count + len(rows),
            },
        },
    }


def matches(here: Workspace, query: str) -> list[Post]:
    tests = [TESTS[kind](here, term.strip('"')) for kind, term in TERM.findall(query)]
    return [post for post in newest_first(here) if all(test(post) for test in tests)]


def says(here: Workspace, word: str) -> Callable[[Post], bool]:
    wanted = word.lower()
    return lambda post: wanted in post.message.text.lower()


def written_by(here: Workspace, name: str) -> Callable[[Post], bool]:
    called = name.strip("<>").removeprefix("@")
    called = BOT if called == "me" else called
    ids = {user.id for user in here.users.values() if called in (user.id, user.name)}
    return lambda post: post.message.user in ids


def stands_in(here: Workspace, name: str) -> Callable[[Post], bool]:
    """`#name`, `name`, or the form `<#C…|name>` that a client writes."""
    called = name.strip("<>").removeprefix("#").partition("|")[0]
    ids = {channel.id for channel in here.channels.values() if called in (channel.id, channel.name)}
    return lambda post: post.message.channel in ids


TESTS: dict[str, Callable[[Workspace, str], Callable[[Post], bool]]] = {"": says, "from": written_by, "in": stands_in}


def whole(params: Params, name: str, default: int, most: int) -> int:
    """Slack clamps what is too large here, and takes the default for what is no number."""
    value = str(params.get(name) or default)
    return min(max(int(value), 1), most) if value.isascii() and value.isdigit() else default
