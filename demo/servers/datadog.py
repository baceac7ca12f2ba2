"""Emulate Datadog's metrics, monitors, events and logs."""

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
from demo.data.operations import ServiceTraffic, count_requests, list_traffic
from demo.servers.run import build_parser, end_with_parent, serve
from demo.servers.slack.app import MethodRates, count_call, parse_rates

TERM = re.compile(r"(?P<not>-)?(?P<key>[a-z_@.]+):(?:(?P<one>[^\s()\"]+)|\"(?P<text>[^\"]*)\"|\((?P<any>[^()]*)\))")


class BadSearch(ValueError):
    """A search that this emulator cannot read."""


def compile_search(text: str) -> Callable[[Mapping[str, Any], Sequence[str]], bool]:
    """Compile a search into a test of an item's fields and tags."""
    terms = list(_parse_terms(text))

    def meets(own: Mapping[str, Any], tags: Sequence[str]) -> bool:
        return all(_has_value(own, tags, key, values) != turned for key, values, turned in terms)

    return meets


def _parse_terms(text: str) -> list[tuple[str, list[str], bool]]:
    series, at = [], 0
    text_filter = "" if text.strip() == "*" else text.strip()
    while at < len(text_filter):
        if text_filter.startswith("AND ", at):
            at += 4
            continue
        term = TERM.match(text_filter, at)
        if term is None:
            raise BadSearch(f"cannot read the search at {at}")
        values = [term["one"] or term["text"] or ""] if term["any"] is None else term["any"].split(" OR ")
        series.append(
            (term["key"].removeprefix("@"), [value.strip().strip('"') for value in values], bool(term["not"]))
        )
        at = term.end()
        at += len(text_filter[at:]) - len(text_filter[at:].lstrip())
    return series


def _has_value(own: Mapping[str, Any], tags: Sequence[str], key: str, values: Sequence[str]) -> bool:
    if own.get(key) in values:
        return True
    return any(f"{key}:{value}" in tags for value in values)


QUERY = re.compile(
    r"sum:(?P<metric>[a-z_.]+)\{(?P<scope>[^{}]*)\}(?: by \{(?P<by>[a-z_,]*)\})?(?:\.as_count\(\))?"
    r"\.rollup\(sum, ?(?P<step>[0-9]+)\)"
)

CODES: Mapping[str, tuple[str, ...]] = {"acme.requests": ("200", "500"), "acme.errors": ("500",)}

MOST_POINTS = 1500


def query_series(traffic: list[ServiceTraffic], query: str, start: int, end: int) -> list[dict[str, Any]]:
    """Return points on whole steps, each the sum of the step that begins there."""
    match = QUERY.fullmatch(query)
    if match is None or match["metric"] not in CODES or not int(match["step"]):
        raise BadSearch("cannot read the query")
    step = int(match["step"])
    first = -(-start // step) * step
    if (end - first) // step >= MOST_POINTS:
        step *= 1 + (end - first) // step // MOST_POINTS
    by = tuple(part for part in (match["by"] or "").split(",") if part)
    return [
        _build_series(match["metric"], tags, members, range(first, end + 1, step))
        for tags, members in _group_services(match, by, traffic)
    ]


def _group_services(
    asked: re.Match[str], by: tuple[str, ...], traffic: list[ServiceTraffic]
) -> Iterator[tuple[tuple[str, ...], list[ServiceTraffic]]]:
    scope = [part.strip() for part in asked["scope"].split(",") if part.strip() != "*"]
    results: dict[tuple[str, ...], list[ServiceTraffic]] = {}
    for service_traffic in traffic:
        tags = {"service": service_traffic.service, "env": service_traffic.environment}
        if all(
            f"{key}:{value}" in scope or key not in {item.partition(":")[0] for item in scope}
            for key, value in tags.items()
        ):
            results.setdefault(tuple(f"{key}:{tags[key]}" for key in by if key in tags), []).append(service_traffic)
    yield from sorted(results.items())


def _build_series(metric: str, tags: tuple[str, ...], members: list[ServiceTraffic], times: range) -> dict[str, Any]:
    def came(at: int) -> int:
        return sum(
            count_requests(member, code, at + times.step) - count_requests(member, code, at)
            for member in members
            for code in CODES[metric]
            if at >= member.since
        )

    points = [[float(moment * 1000), float(came(moment))] for moment in times]
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


def format_monitor(monitor: Monitor) -> dict[str, Any]:
    return {
        "id": monitor.id,
        "name": monitor.name,
        "type": monitor.kind,
        "query": monitor.query,
        "message": monitor.message,
        "tags": list(monitor.tags),
        "overall_state": monitor.status,
        "created": monitor.created.isoformat(),
        "modified": monitor.modified.isoformat(),
        "deleted": None,
        "multi": False,
        "priority": None,
        "options": {"notify_no_data": False, "include_tags": True},
    }


def format_event(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "type": "event",
        "attributes": {
            "attributes": {"title": event.title, "status": event.status, "timestamp": to_milliseconds(event.at)},
            "message": event.message,
            "tags": list(event.tags),
            "timestamp": format_time(event.at),
        },
    }


def format_log(log: Log) -> dict[str, Any]:
    return {
        "id": log.id,
        "type": "log",
        "attributes": {
            "attributes": {},
            "host": log.host,
            "message": log.message,
            "service": log.service,
            "status": log.status,
            "tags": list(log.tags),
            "timestamp": format_time(log.at),
        },
    }


def to_milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def format_time(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


MOST = 1000

APP_KEY = "dd-application-key"
"""Not asked for where it is only asked whether the other key is good."""

NOW_WORD = re.compile(r"now(?:-(?P<count>[0-9]+)(?P<unit>[smhd]))?")

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True, kw_only=True)
class DatadogData:
    """All that can be found; events and logs are sorted, the oldest first."""

    monitors: Sequence[Monitor]
    events: Sequence[Event]
    logs: Sequence[Log]
    services: list[ServiceTraffic]


def build_data(scale: float) -> DatadogData:
    results = sorted(events(scale), key=lambda event: (event.at, event.id))
    lines = sorted(logs(scale), key=lambda log: (log.at, log.id))
    return DatadogData(monitors=monitors(scale), events=results, logs=lines, services=list_traffic(scale))


def app(api_key: str, app_key: str, data: DatadogData, limits: MethodRates) -> Starlette:
    def route(called: str, path: str, answer: Any, method: str) -> Route:
        async def asked(request: Request) -> Response:
            if not _has_keys(request, api_key, request.headers.get(APP_KEY, "") if called == "validate" else app_key):
                return JSONResponse({"errors": ["Forbidden"]}, 403)
            if seconds := count_call(limits, called, time.monotonic()):
                headers = {"X-RateLimit-Limit": "1", "X-RateLimit-Period": "60", "X-RateLimit-Remaining": "0"}
                text_filter = {"errors": ["Too many requests"]}
                return JSONResponse(
                    text_filter, 429, {**headers, "X-RateLimit-Reset": str(seconds), "X-RateLimit-Name": called}
                )
            try:
                body = await request.json() if method == "POST" else {}
                return JSONResponse(answer(data, {**request.query_params, **request.path_params}, body))
            except KeyError:
                return JSONResponse({"errors": ["Not found"]}, 404)
            except (ValueError, json.JSONDecodeError) as error:
                return JSONResponse({"errors": [str(error)]}, 400)

        return Route(path, asked, methods=[method])

    return Starlette(
        routes=[
            route("validate", "/api/v1/validate", lambda *_: {"valid": True}, "GET"),
            route("monitors", "/api/v1/monitor", list_monitors, "GET"),
            route("monitors", "/api/v1/monitor/{id}", get_monitor, "GET"),
            route("events", "/api/v2/events/search", search_events, "POST"),
            route("logs", "/api/v2/logs/events/search", search_logs, "POST"),
            route("metrics", "/api/v1/query", query_points, "GET"),
        ]
    )


def _has_keys(request: Request, api_key: str, app_key: str) -> bool:
    given = request.headers.get("dd-api-key", ""), request.headers.get(APP_KEY, "")
    pairs = zip(given, (api_key, app_key), strict=True)
    return all(hmac.compare_digest(service_traffic.encode(), other.encode()) for service_traffic, other in pairs)


def list_monitors(data: DatadogData, query: Mapping[str, str], body: Any) -> Any:
    """List the monitors with all of the tags, unpaged if no page is asked for."""
    tags = [part for part in query.get("monitor_tags", "").split(",") if part]
    monitors = [monitor for monitor in data.monitors if set(tags) <= set(monitor.tags)]
    size = int(query.get("page_size", "100"))
    if "page" in query:
        monitors = monitors[int(query["page"]) * size :][:size]
    return [format_monitor(item) for item in monitors]


def get_monitor(data: DatadogData, query: Mapping[str, str], body: Any) -> Any:
    return format_monitor({str(monitor.id): monitor for monitor in data.monitors}[query["id"]])


def search_events(data: DatadogData, query: Mapping[str, str], body: Any) -> Any:
    return _cut_page([(event, format_event(event), {"status": event.status}) for event in data.events], body)


def search_logs(data: DatadogData, query: Mapping[str, str], body: Any) -> Any:
    return _cut_page(
        [(log, format_log(log), {"service": log.service, "host": log.host, "status": log.status}) for log in data.logs],
        body,
    )


def query_points(data: DatadogData, query: Mapping[str, str], body: Any) -> Any:
    start, end = int(query["from"]), int(query["to"])
    answer = query_series(data.services, query["query"], start, end)
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


def _cut_page(items: Sequence[tuple[Any, dict[str, Any], Mapping[str, str]]], body: Mapping[str, Any]) -> Any:
    """Return items between two moments, both included; a cursor is the position after the last item."""
    wanted, paging = body.get("filter") or {}, body.get("page") or {}
    meets, low = compile_search(wanted.get("query") or "*"), _parse_time(wanted.get("from") or "now-15m")
    high = _parse_time(wanted["to"]) if wanted.get("to") else None
    page = [
        shown
        for service_traffic, shown, own in items
        if low <= to_milliseconds(service_traffic.at)
        and (high is None or to_milliseconds(service_traffic.at) <= high)
        and meets(own, service_traffic.tags)
    ]
    if str(body.get("sort", "-timestamp")).startswith("-"):
        page.reverse()
    size = int(paging.get("limit") or 10)
    if not 1 <= size <= MOST:
        raise ValueError("page.limit must be between 1 and 1000")
    start = _decode_cursor(paging["cursor"]) if paging.get("cursor") else 0
    after = {"page": {"after": _encode_cursor(start + size)}} if start + size < len(page) else {}
    return {"data": page[start : start + size], "meta": {"elapsed": 1, "status": "done", **after}}


def _parse_time(text: str) -> int:
    """Read milliseconds, ISO 8601, or a form such as `now-15m`."""
    if text.isdecimal():
        return int(text)
    word = NOW_WORD.fullmatch(text)
    if word is not None:
        return round(1000 * (time.time() - int(word["count"] or 0) * SECONDS.get(word["unit"] or "s", 1)))
    moment = datetime.fromisoformat(text)
    return to_milliseconds(moment.replace(tzinfo=moment.tzinfo or UTC))


def _encode_cursor(place: int) -> str:
    return urlsafe_b64encode(f"at {place}".encode()).decode()


def _decode_cursor(cursor: str) -> int:
    try:
        return int(urlsafe_b64decode(cursor).decode().removeprefix("at "))
    except ValueError:
        raise BadSearch("the cursor is none of ours") from None


def main() -> None:
    parser = build_parser("datadog")
    parser.add_argument("--rate", action="append", default=[], help="a minute: `50`, or `logs=5`")
    chosen = parser.parse_args()
    end_with_parent(chosen.parent)
    keys = os.environ.get("DATADOG_API_KEY"), os.environ.get("DATADOG_APP_KEY")
    if not keys[0] or not keys[1]:
        sys.exit("DATADOG_API_KEY and DATADOG_APP_KEY are not set; set them to the keys that the server shall accept")
    serve(app(keys[0], keys[1], build_data(chosen.scale), parse_rates(chosen.rate)), chosen.port)


if __name__ == "__main__":
    main()
