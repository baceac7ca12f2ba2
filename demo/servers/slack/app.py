"""Slack emulator."""

import hmac
import json
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from demo.data.activity import BOT, BOT_NAME
from demo.servers.slack.workspace import (
    ALL,
    BOT_ID,
    SCOPES,
    TEAM,
    TEAM_NAME,
    TEAM_URL,
    Failure,
    Params,
    Post,
    Workspace,
    archive,
    between,
    channel_json,
    channel_of,
    chat_delete,
    chat_post,
    chat_update,
    match_json,
    message_json,
    more,
    newest_first,
    page,
    replies,
    truthy,
    user_json,
)

MINUTE = 60.0

GENEROUS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Calls a minute, by method and for all others; `buckets` holds each method's (calls left, when)."""

    by_method: Mapping[str, int]
    others: int
    buckets: dict[str, tuple[float, float]] = field(default_factory=dict)


def rates(given: Sequence[str]) -> Rates:
    """From options: `50` for every method, `conversations.history=50` for one. ValueError: no such form."""
    pairs = [text.rpartition("=") for text in given]
    return Rates(
        by_method={method: int(rate) for method, _, rate in pairs if method},
        others=next((int(rate) for method, _, rate in pairs if not method), GENEROUS),
    )


def wait(limits: Rates, method: str, now: float) -> int:
    """0 and the call is counted, or the whole seconds until the next one is let in."""
    rate = limits.by_method.get(method, limits.others)
    left, since = limits.buckets.get(method, (float(rate), now))
    left = min(float(rate), left + (now - since) * rate / MINUTE)
    if left < 1:
        limits.buckets[method] = (left, now)
        return math.ceil((1 - left) * MINUTE / rate)
    limits.buckets[method] = (left - 1, now)
    return 0


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


Reply: TypeAlias = dict[str, Any]

END_OF_TIME = "9999999999.999999"


def auth_test(here: Workspace, params: Params) -> Reply:
    return {
        "url": TEAM_URL,
        "team": TEAM_NAME,
        "user": BOT_NAME,
        "team_id": TEAM,
        "user_id": BOT,
        "bot_id": BOT_ID,
        "is_enterprise_install": False,
    }


def conversations_list(here: Workspace, params: Params) -> Reply:
    kinds = str(params.get("types") or "public_channel").split(",")
    shown = list(here.channels.values()) if "public_channel" in kinds else []
    rows, cursor = page(shown, [channel.id for channel in shown], params, "team")
    return {"channels": [channel_json(here, channel) for channel in rows]} | more(cursor)


def conversations_info(here: Workspace, params: Params) -> Reply:
    shown = channel_json(here, channel_of(here, params))
    if not truthy(params.get("include_num_members")):
        del shown["num_members"]
    return {"channel": shown}


def conversations_members(here: Workspace, params: Params) -> Reply:
    members = channel_of(here, params).members
    rows, cursor = page(members, members, params, "user")
    return {"members": list(rows)} | more(cursor)


def conversations_history(here: Workspace, params: Params) -> Reply:
    """Newest first, without replies; a parent carries the summary of its thread."""
    channel = channel_of(here, params).id
    found = within(here.tops.get(channel, []), params)[::-1]
    rows, cursor = page(found, found, params, "next_ts")
    reply: Reply = {"messages": shown(here, channel, rows, params), "has_more": bool(cursor), "pin_count": 0}
    return reply | (more(cursor) if cursor else {})


def conversations_replies(here: Workspace, params: Params) -> Reply:
    """Oldest first, the parent before all; any ts of the thread names it."""
    channel = channel_of(here, params).id
    named = here.posts.get((channel, ts_of(params, "ts", "invalid_ts")))
    if named is None:
        raise Failure("thread_not_found")
    parent = named.message.thread or named.message.ts
    found = [parent, *within(replies(here, channel, parent), params)]
    rows, cursor = page(found, found, params, "next_ts")
    reply: Reply = {"messages": shown(here, channel, rows, params), "has_more": bool(cursor)}
    return reply | (more(cursor) if cursor else {})


def users_list(here: Workspace, params: Params) -> Reply:
    shown = list(here.users.values())
    rows, cursor = page(shown, [user.id for user in shown], params, "user")
    return {"members": [user_json(user) for user in rows], "cache_ts": 1_761_955_200} | more(cursor)


def users_info(here: Workspace, params: Params) -> Reply:
    user = here.users.get(str(params.get("user")))
    if user is None:
        raise Failure("user_not_found")
    return {"user": user_json(user)}


def users_by_email(here: Workspace, params: Params) -> Reply:
    email = str(params.get("email")).lower()
    user = next((user for user in here.users.values() if user.email == email), None)
    if user is None:
        raise Failure("users_not_found")
    return {"user": user_json(user)}


METHODS: Mapping[str, Callable[[Workspace, Params], Reply]] = {
    "auth.test": auth_test,
    "conversations.list": conversations_list,
    "conversations.info": conversations_info,
    "conversations.members": conversations_members,
    "conversations.history": conversations_history,
    "conversations.replies": conversations_replies,
    "users.list": users_list,
    "users.info": users_info,
    "users.lookupByEmail": users_by_email,
    "chat.postMessage": chat_post,
    "chat.update": chat_update,
    "chat.delete": chat_delete,
    "conversations.archive": archive,
    "search.messages": search,
}


def within(sorted_ts: list[str], params: Params) -> list[str]:
    oldest = ts_of(params, "oldest", "invalid_ts_oldest", "0000000000.000000")
    latest = ts_of(params, "latest", "invalid_ts_latest", END_OF_TIME)
    return between(sorted_ts, oldest, latest, truthy(params.get("inclusive")))


def ts_of(params: Params, name: str, error: str, default: str | None = None) -> str:
    """A ts in its full form, so that as text it compares as in time; Slack takes plain seconds too."""
    value = params.get(name)
    given = str(default if value in (None, "") else value)
    if not re.fullmatch(r"\d{1,10}(\.\d{1,6})?", given):
        raise Failure(error)
    seconds, _, part = given.partition(".")
    return f"{seconds:0>10}.{part:0<6}"


def shown(here: Workspace, channel: str, stamps: Sequence[str], params: Params) -> list[Reply]:
    told = truthy(params.get("include_all_metadata"))
    return [message_json(here, here.posts[channel, ts], told) for ts in stamps]


def app(token: str, here: Workspace, limits: Rates, scopes: frozenset[str] = ALL) -> Starlette:
    """Replies are 200 even when they refuse, as Slack's are; only a call too many is a 429."""

    async def call(request: Request) -> JSONResponse:
        method = request.path_params["method"]
        if seconds := wait(limits, method, time.monotonic()):
            return JSONResponse({"ok": False, "error": "ratelimited"}, 429, {"Retry-After": str(seconds)})
        try:
            return JSONResponse({"ok": True} | answer(method, await params_of(request), token, scoped))
        except Failure as failure:
            return JSONResponse({"ok": False, "error": str(failure), **failure.more})

    scoped = replace(here, scopes=scopes)

    return Starlette(routes=[Route("/api/{method}", call, methods=["GET", "POST"])])


def answer(method: str, params: Params, token: str, here: Workspace) -> dict[str, Any]:
    if method not in METHODS:
        raise Failure("unknown_method")
    if not (given := params.get("token")):
        raise Failure("not_authed")
    if not hmac.compare_digest(str(given).encode(), token.encode()):
        raise Failure("invalid_auth")
    if (needed := SCOPES.get(method)) and needed not in here.scopes:
        raise Failure("missing_scope", needed=needed, provided=",".join(sorted(here.scopes)))
    return METHODS[method](here, params)


async def params_of(request: Request) -> Params:
    """The query, the form or JSON body, and the token from wherever it was given."""
    params: dict[str, Any] = dict(request.query_params)
    if request.headers.get("content-type", "").startswith("application/json"):
        params |= json_of(await request.body())
    else:
        params |= dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
    return params | ({"token": bearer} if bearer else {})


def json_of(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body or b"{}")
    except ValueError:
        raise Failure("invalid_json") from None
    if not isinstance(given, dict):
        raise Failure("json_not_object")
    return given
