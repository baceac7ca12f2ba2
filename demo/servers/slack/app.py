"""Serve the methods of Slack's Web API, within rate limits."""

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
    Params,
    Post,
    SlackFailure,
    Workspace,
    archive_channel,
    chat_delete,
    chat_post,
    chat_update,
    cut_between,
    cut_page,
    find_channel,
    format_channel,
    format_cursor,
    format_match,
    format_message,
    format_user,
    is_true,
    list_newest_first,
    list_replies,
)

MINUTE = 60.0

UNLIMITED = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodRates:
    """Calls a minute for each method and for all others; `buckets` holds (calls left, time) of each."""

    by_method: Mapping[str, int]
    others: int
    buckets: dict[str, tuple[float, float]] = field(default_factory=dict)


def parse_rates(given: Sequence[str]) -> MethodRates:
    """Read options: `50` for every method, `conversations.history=50` for one. Raises ValueError."""
    pairs = [text.rpartition("=") for text in given]
    return MethodRates(
        by_method={method: int(rate) for method, _, rate in pairs if method},
        others=next((int(rate) for method, _, rate in pairs if not method), UNLIMITED),
    )


def count_call(limits: MethodRates, method: str, now: float) -> int:
    """Count a call and return 0, or return the whole seconds until the next call is let in."""
    rate = limits.by_method.get(method, limits.others)
    left, since = limits.buckets.get(method, (float(rate), now))
    left = min(float(rate), left + (now - since) * rate / MINUTE)
    if left < 1:
        limits.buckets[method] = (left, now)
        return math.ceil((1 - left) * MINUTE / rate)
    limits.buckets[method] = (left - 1, now)
    return 0


PAGE_MAX = 100

TERM = re.compile(r'(?:(from|in):)?("[^"]*"|\S+)')


def search_messages(workspace: Workspace, params: Params) -> dict[str, Any]:
    """Search messages; pages count from 1, and `total` counts every match."""
    query = str(params.get("query") or "").strip()
    if not query:
        raise SlackFailure("no_query")
    posts = find_posts(workspace, query)
    if params.get("sort_dir") == "asc":
        posts.reverse()
    count, number = parse_clamped(params, "count", 20, PAGE_MAX), parse_clamped(params, "page", 1, PAGE_MAX)
    rows = posts[(number - 1) * count : number * count]
    return {
        "query": query,
        "messages": {
            "total": len(posts),
            "matches": [format_match(workspace, post) for post in rows],
            "paging": {"count": count, "total": len(posts), "page": number, "pages": -(-len(posts) // count)},
            "pagination": {
                "total_count": len(posts),
                "page": number,
                "per_page": count,
                "page_count": -(-len(posts) // count),
                "first": (number - 1) * count + 1 if rows else 0,
                "last": (number - 1) * count + len(rows),
            },
        },
    }


def find_posts(workspace: Workspace, query: str) -> list[Post]:
    tests = [TESTS[kind](workspace, term.strip('"')) for kind, term in TERM.findall(query)]
    return [post for post in list_newest_first(workspace) if all(test(post) for test in tests)]


def match_word(workspace: Workspace, word: str) -> Callable[[Post], bool]:
    wanted = word.lower()
    return lambda post: wanted in post.message.text.lower()


def match_author(workspace: Workspace, name: str) -> Callable[[Post], bool]:
    called = name.strip("<>").removeprefix("@")
    called = BOT if called == "me" else called
    ids = {user.id for user in workspace.users.values() if called in (user.id, user.name)}
    return lambda post: post.message.user in ids


def match_channel(workspace: Workspace, name: str) -> Callable[[Post], bool]:
    """Match `#name`, `name`, or the form `<#C…|name>` that a client writes."""
    called = name.strip("<>").removeprefix("#").partition("|")[0]
    ids = {channel.id for channel in workspace.channels.values() if called in (channel.id, channel.name)}
    return lambda post: post.message.channel in ids


TESTS: dict[str, Callable[[Workspace, str], Callable[[Post], bool]]] = {
    "": match_word,
    "from": match_author,
    "in": match_channel,
}


def parse_clamped(params: Params, name: str, default: int, most: int) -> int:
    """Read an integer; Slack clamps a large one and takes the default for anything else."""
    value = str(params.get(name) or default)
    return min(max(int(value), 1), most) if value.isascii() and value.isdigit() else default


Reply: TypeAlias = dict[str, Any]

END_OF_TIME = "9999999999.999999"


def auth_test(workspace: Workspace, params: Params) -> Reply:
    return {
        "url": TEAM_URL,
        "team": TEAM_NAME,
        "user": BOT_NAME,
        "team_id": TEAM,
        "user_id": BOT,
        "bot_id": BOT_ID,
        "is_enterprise_install": False,
    }


def conversations_list(workspace: Workspace, params: Params) -> Reply:
    kinds = str(params.get("types") or "public_channel").split(",")
    shown = list(workspace.channels.values()) if "public_channel" in kinds else []
    rows, cursor = cut_page(shown, [channel.id for channel in shown], params, "team")
    return {"channels": [format_channel(workspace, channel) for channel in rows]} | format_cursor(cursor)


def conversations_info(workspace: Workspace, params: Params) -> Reply:
    shown = format_channel(workspace, find_channel(workspace, params))
    if not is_true(params.get("include_num_members")):
        del shown["num_members"]
    return {"channel": shown}


def conversations_members(workspace: Workspace, params: Params) -> Reply:
    members = find_channel(workspace, params).members
    rows, cursor = cut_page(members, members, params, "user")
    return {"members": list(rows)} | format_cursor(cursor)


def conversations_history(workspace: Workspace, params: Params) -> Reply:
    """List messages, the newest first, without replies; a parent shows a summary of its thread."""
    channel = find_channel(workspace, params).id
    result = select_between(workspace.tops.get(channel, []), params)[::-1]
    rows, cursor = cut_page(result, result, params, "next_ts")
    reply: Reply = {
        "messages": format_messages(workspace, channel, rows, params),
        "has_more": bool(cursor),
        "pin_count": 0,
    }
    return reply | (format_cursor(cursor) if cursor else {})


def conversations_replies(workspace: Workspace, params: Params) -> Reply:
    """List a thread, its parent first, then the oldest; any ts of the thread names it."""
    channel = find_channel(workspace, params).id
    named = workspace.posts.get((channel, parse_ts(params, "ts", "invalid_ts")))
    if named is None:
        raise SlackFailure("thread_not_found")
    parent = named.message.thread or named.message.ts
    results = [parent, *select_between(list_replies(workspace, channel, parent), params)]
    rows, cursor = cut_page(results, results, params, "next_ts")
    reply: Reply = {"messages": format_messages(workspace, channel, rows, params), "has_more": bool(cursor)}
    return reply | (format_cursor(cursor) if cursor else {})


def users_list(workspace: Workspace, params: Params) -> Reply:
    shown = list(workspace.users.values())
    rows, cursor = cut_page(shown, [user.id for user in shown], params, "user")
    return {"members": [format_user(user) for user in rows], "cache_ts": 1_761_955_200} | format_cursor(cursor)


def users_info(workspace: Workspace, params: Params) -> Reply:
    user = workspace.users.get(str(params.get("user")))
    if user is None:
        raise SlackFailure("user_not_found")
    return {"user": format_user(user)}


def users_by_email(workspace: Workspace, params: Params) -> Reply:
    email = str(params.get("email")).lower()
    user = next((user for user in workspace.users.values() if user.email == email), None)
    if user is None:
        raise SlackFailure("users_not_found")
    return {"user": format_user(user)}


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
    "conversations.archive": archive_channel,
    "search.messages": search_messages,
}


def select_between(sorted_ts: list[str], params: Params) -> list[str]:
    oldest = parse_ts(params, "oldest", "invalid_ts_oldest", "0000000000.000000")
    latest = parse_ts(params, "latest", "invalid_ts_latest", END_OF_TIME)
    return cut_between(sorted_ts, oldest, latest, is_true(params.get("inclusive")))


def parse_ts(params: Params, name: str, error: str, default: str | None = None) -> str:
    """Return a ts in its full form, which sorts as text; Slack takes plain seconds too."""
    value = params.get(name)
    given = str(default if value in (None, "") else value)
    if not re.fullmatch(r"\d{1,10}(\.\d{1,6})?", given):
        raise SlackFailure(error)
    seconds, _, part = given.partition(".")
    return f"{seconds:0>10}.{part:0<6}"


def format_messages(workspace: Workspace, channel: str, stamps: Sequence[str], params: Params) -> list[Reply]:
    result = is_true(params.get("include_all_metadata"))
    return [format_message(workspace, workspace.posts[channel, ts], result) for ts in stamps]


def app(token: str, workspace: Workspace, limits: MethodRates, scopes: frozenset[str] = ALL) -> Starlette:
    """Answer refusals with status 200, as Slack does, and calls over the rate with 429."""

    async def call(request: Request) -> JSONResponse:
        method = request.path_params["method"]
        if seconds := count_call(limits, method, time.monotonic()):
            return JSONResponse({"ok": False, "error": "ratelimited"}, 429, {"Retry-After": str(seconds)})
        try:
            return JSONResponse({"ok": True} | answer_method(method, await read_params(request), token, scoped))
        except SlackFailure as failure:
            return JSONResponse({"ok": False, "error": str(failure), **failure.more})

    scoped = replace(workspace, scopes=scopes)

    return Starlette(routes=[Route("/api/{method}", call, methods=["GET", "POST"])])


def answer_method(method: str, params: Params, token: str, workspace: Workspace) -> dict[str, Any]:
    if method not in METHODS:
        raise SlackFailure("unknown_method")
    if not (given := params.get("token")):
        raise SlackFailure("not_authed")
    if not hmac.compare_digest(str(given).encode(), token.encode()):
        raise SlackFailure("invalid_auth")
    if (needed := SCOPES.get(method)) and needed not in workspace.scopes:
        raise SlackFailure("missing_scope", needed=needed, provided=",".join(sorted(workspace.scopes)))
    return METHODS[method](workspace, params)


async def read_params(request: Request) -> Params:
    """Read the query, the form or JSON body, and the token from wherever it is."""
    params: dict[str, Any] = dict(request.query_params)
    if request.headers.get("content-type", "").startswith("application/json"):
        params |= parse_json_object(await request.body())
    else:
        params |= dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
    return params | ({"token": bearer} if bearer else {})


def parse_json_object(body: bytes) -> dict[str, Any]:
    try:
        payload = json.loads(body or b"{}")
    except ValueError:
        raise SlackFailure("invalid_json") from None
    if not isinstance(payload, dict):
        raise SlackFailure("json_not_object")
    return payload
