"""Datadog emulator."""

import hmac
import json
import os
import re
import sys
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.data.activity import Event, Log, Monitor, events, logs, monitors
from demo.data.business import Served, served, traffic_counted
from demo.servers.run import follow, options, serve
from demo.servers.slack.app import Rates, rates, wait

TERM = re.compile(r"(?P<not>-)?(?P<key>[a-z_@.]+):(?:(?P<one>[^\s()\"]+)|\"(?P<text>[^\"]*)\"|\((?P<any>[^()]*)\))")


class BadSearch(ValueError):
    """No search of this part of Datadog's."""


def search(text: str) -> Callable[[Mapping[str, Any], Sequence[str]], bool]:
    """Of an item's own fields and its tags."""
    terms = list(_terms(text))

    def meets(own: Mapping[str, Any], tags: Sequence[str]) -> bool:
        return all(_held(own, tags, key, values) != turned for key, values, turned in terms)

    return meets


def _terms(text: str) -> list[tuple[str, list[str], bool]]:
    found, at = [], 0
    said = "" if text.strip() == "*" else text.strip()
    while at < len(said):
        if said.startswith("AND ", at):
            at += 4
            continue
        term = TERM.match(said, at)
        if term is None:
            raise BadSearch(f"cannot read the search at {at}")
        values = [term["one"] or term["text"] or ""] if term["any"] is None else term["any"].split(" OR ")
        found.append((term["key"].removeprefix("@"), [each.strip().strip('"') for each in values], bool(term["not"])))
        at = term.end()
        at += len(said[at:]) - len(said[at:].lstrip())
    return found


def _held(own: Mapping[str, Any], tags: Sequence[str], key: str, values: Sequence[str]) -> bool:
    if own.get(key) in values:
        return True
    return any(f"{key}:{each}" in tags for each in values)


QUERY = re.compile(
    r"sum:(?P<metric>[a-z_.]+)\{(?P<scope>[^{}]*)\}(?: by \{(?P<by>[a-z_,]*)\})?(?:\.as_count\(\))?"
    r"\.rollup\(sum, ?(?P<step>[0-9]+)\)"
)

CODES: Mapping[str, tuple[str, ...]] = {"acme.requests": ("200", "500"), "acme.errors": ("500",)}

MOST_POINTS = 1500


def series(here: list[Served], query: str, start: int, end: int) -> list[dict[str, Any]]:
    """Points stand on whole steps; each is what came in the step that begins there."""
    asked = QUERY.fullmatch(query)
    if asked is None or asked["metric"] not in CODES or not int(asked["step"]):
        raise BadSearch("cannot read the query")
    step = int(asked["step"])
    first = -(-start // step) * step
    if (end - first) // step >= MOST_POINTS:
        step *= 1 + (end - first) // step // MOST_POINTS
    by = tuple(each for each in (asked["by"] or "").split(",") if each)
    return [
        _made(asked["metric"], tags, members, range(first, end + 1, step)) for tags, members in _groups(asked, by, here)
    ]


def _groups(
    asked: re.Match[str], by: tuple[str, ...], here: list[Served]
) -> Iterator[tuple[tuple[str, ...], list[Served]]]:
    scope = [each.strip() for each in asked["scope"].split(",") if each.strip() != "*"]
    found: dict[tuple[str, ...], list[Served]] = {}
    for one in here:
        tags = {"service": one.service, "env": one.environment}
        if all(
            f"{key}:{value}" in scope or key not in {each.partition(":")[0] for each in scope}
            for key, value in tags.items()
        ):
            found.setdefault(tuple(f"{key}:{tags[key]}" for key in by if key in tags), []).append(one)
    yield from sorted(found.items())


def _made(metric: str, tags: tuple[str, ...], members: list[Served], times: range) -> dict[str, Any]:
    def came(at: int) -> int:
        return sum(
            traffic_counted(one, code, at + times.step) - traffic_counted(one, code, at)
            for one in members
            for code in CODES[metric]
            if at >= one.since
        )

    points = [[float(at * 1000), float(came(at))] for at in times]
    return {
        "metric": metric,
        "display_name": metric,
        "scope": ",".join(tags) or "*",
        "tag_set": list(tags),
        "expression": f"sum:{metric}{{{','.join(tags) or '*'}}}",
        "aggr": "sum",
        "interval": times.step,
        "length": len(points),
        "start": times.start * 1000,
        "end": (times[-1] if times else times.start) * 1000,
        "pointlist": points,
        "query_index": 0,
        "unit": None,
    }


def monitor_json(one: Monitor) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "type": one.kind,
        "query": one.query,
        "message": one.message,
        "tags": list(one.tags),
        "overall_state": one.status,
        "created": one.created.isoformat(),
        "modified": one.modified.isoformat(),
        "deleted": None,
        "multi": False,
        "priority": None,
        "options": {"notify_no_data": False, "include_tags": True},
    }


def event_json(one: Event) -> dict[str, Any]:
    return {
        "id": one.id,
        "type": "event",
        "attributes": {
            "attributes": {"title": one.title, "status": one.status, "timestamp": milliseconds(one.at)},
            "message": one.message,
            "tags": list(one.tags),
            "timestamp": stamp(one.at),
        },
    }


def log_json(one: Log) -> dict[str, Any]:
    return {
        "id": one.id,
        "type": "log",
        "attributes": {
            "attributes": {},
            "host": one.host,
            "message": one.message,
            "service": one.service,
            "status": one.status,
            "tags": list(one.tags),
            "timestamp": stamp(one.at),
        },
    }


def milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def stamp(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


MOST = 1000

APP_KEY = "dd-application-key"
"""Not asked for where it is only asked whether the other key is good."""

NOW_WORD = re.compile(r"now(?:-(?P<count>[0-9]+)(?P<unit>[smhd]))?")

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """All there is to be found; events and logs the oldest first."""

    monitors: Sequence[Monitor]
    events: Sequence[Event]
    logs: Sequence[Log]
    services: list[Served]


def here(scale: float) -> Here:
    found = sorted(events(scale), key=lambda each: (each.at, each.id))
    lines = sorted(logs(scale), key=lambda each: (each.at, each.id))
    return Here(monitors=monitors(scale), events=found, logs=lines, services=served(scale))


def app(api_key: str, app_key: str, found: Here, limits: Rates) -> Starlette:
    def route(called: str, path: str, answer: Any, method: str) -> Route:
        async def asked(request: Request) -> Response:
            if not _opens(request, api_key, request.headers.get(APP_KEY, "") if called == "validate" else app_key):
                return JSONResponse({"errors": ["Forbidden"]}, 403)
            if seconds := wait(limits, called, time.monotonic()):
                headers = {"X-RateLimit-Limit": "1", "X-RateLimit-Period": "60", "X-RateLimit-Remaining": "0"}
                said = {"errors": ["Too many requests"]}
                return JSONResponse(
                    said, 429, {**headers, "X-RateLimit-Reset": str(seconds), "X-RateLimit-Name": called}
                )
            try:
                body = await request.json() if method == "POST" else {}
                return JSONResponse(answer(found, {**request.query_params, **request.path_params}, body))
            except KeyError:
                return JSONResponse({"errors": ["Not found"]}, 404)
            except (ValueError, json.JSONDecodeError) as error:
                return JSONResponse({"errors": [str(error)]}, 400)

        return Route(path, asked, methods=[method])

    return Starlette(
        routes=[
            route("validate", "/api/v1/validate", lambda *_: {"valid": True}, "GET"),
            route("monitors", "/api/v1/monitor", listed, "GET"),
            route("monitors", "/api/v1/monitor/{id}", single, "GET"),
            route("events", "/api/v2/events/search", found_events, "POST"),
            route("logs", "/api/v2/logs/events/search", found_logs, "POST"),
            route("metrics", "/api/v1/query", points, "GET"),
        ]
    )


def _opens(request: Request, api_key: str, app_key: str) -> bool:
    given = request.headers.get("dd-api-key", ""), request.headers.get(APP_KEY, "")
    pairs = zip(given, (api_key, app_key), strict=True)
    return all(hmac.compare_digest(one.encode(), other.encode()) for one, other in pairs)


def listed(found: Here, query: Mapping[str, str], body: Any) -> Any:
    """Monitors with all of the tags; all of them where no page is asked for."""
    tags = [each for each in query.get("monitor_tags", "").split(",") if each]
    kept = [each for each in found.monitors if set(tags) <= set(each.tags)]
    size = int(query.get("page_size", "100"))
    if "page" in query:
        kept = kept[int(query["page"]) * size :][:size]
    return [monitor_json(each) for each in kept]


def single(found: Here, query: Mapping[str, str], body: Any) -> Any:
    return monitor_json({str(each.id): each for each in found.monitors}[query["id"]])


def found_events(found: Here, query: Mapping[str, str], body: Any) -> Any:
    return _page([(each, event_json(each), {"status": each.status}) for each in found.events], body)


def found_logs(found: Here, query: Mapping[str, str], body: Any) -> Any:
    return _page(
        [
            (each, log_json(each), {"service": each.service, "host": each.host, "status": each.status})
            for each in found.logs
        ],
        body,
    )


def points(found: Here, query: Mapping[str, str], body: Any) -> Any:
    start, end = int(query["from"]), int(query["to"])
    answer = series(found.services, query["query"], start, end)
    return {
        "status": "ok",
        "res_type": "time_series",
        "resp_version": 1,
        "query": query["query"],
        "from_date": start * 1000,
        "to_date": end * 1000,
        "series": answer,
        "values": [],
        "times": [],
        "message": "",
        "group_by": [],
    }


def _page(items: Sequence[tuple[Any, dict[str, Any], Mapping[str, str]]], body: Mapping[str, Any]) -> Any:
    """From a moment to another, both counted; a cursor is the place after the last that was shown."""
    wanted, paging = body.get("filter") or {}, body.get("page") or {}
    meets, low = search(wanted.get("query") or "*"), _moment(wanted.get("from") or "now-15m")
    high = _moment(wanted["to"]) if wanted.get("to") else None
    kept = [
        shown
        for one, shown, own in items
        if low <= milliseconds(one.at) and (high is None or milliseconds(one.at) <= high) and meets(own, one.tags)
    ]
    if str(body.get("sort", "-timestamp")).startswith("-"):
        kept.reverse()
    size = int(paging.get("limit") or 10)
    if not 1 <= size <= MOST:
        raise ValueError("page.limit must be between 1 and 1000")
    start = _place(paging["cursor"]) if paging.get("cursor") else 0
    after = {"page": {"after": _cursor(start + size)}} if start + size < len(kept) else {}
    return {"data": kept[start : start + size], "meta": {"elapsed": 1, "status": "done", **after}}


def _moment(text: str) -> int:
    """Milliseconds, a time as ISO 8601 has it, or `now-15m`."""
    if text.isdecimal():
        return int(text)
    word = NOW_WORD.fullmatch(text)
    if word is not None:
        return round(1000 * (time.time() - int(word["count"] or 0) * SECONDS.get(word["unit"] or "s", 1)))
    at = datetime.fromisoformat(text)
    return milliseconds(at.replace(tzinfo=at.tzinfo or UTC))


def _cursor(place: int) -> str:
    return urlsafe_b64encode(f"at {place}".encode()).decode()


def _place(cursor: str) -> int:
    try:
        return int(urlsafe_b64decode(cursor).decode().removeprefix("at "))
    except ValueError:
        raise BadSearch("the cursor is none of ours") from None


def main() -> None:
    parser = options("datadog")
    parser.add_argument("--rate", action="append", default=[], help="a minute: `50`, or `logs=5`")
    chosen = parser.parse_args()
    follow(chosen.parent)
    keys = os.environ.get("DATADOG_API_KEY"), os.environ.get("DATADOG_APP_KEY")
    if not keys[0] or not keys[1]:
        sys.exit("DATADOG_API_KEY and DATADOG_APP_KEY are not set; set them to the keys that the server shall accept")
    serve(app(keys[0], keys[1], here(chosen.scale), rates(chosen.rate)), chosen.port)


if __name__ == "__main__":
    main()
