"""Keys, a scale and rates to the ASGI app: monitors, events, logs and metrics, as much as is read of them."""

import hmac
import json
import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.datadog.metrics import series
from demo.datadog.search import BadSearch, search
from demo.datadog.shapes import event_json, log_json, milliseconds, monitor_json
from demo.slack.rates import Rates, wait
from demo.world.traffic import Served, served
from demo.world.watch import Event, Log, Monitor, events, logs, monitors

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
