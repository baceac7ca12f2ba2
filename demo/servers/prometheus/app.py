"""Serve Prometheus's query API over the history of Acme's services."""

import hmac
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from math import isinf, isnan
from time import time
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from demo.data.operations import ServiceTraffic, count_requests, list_traffic
from demo.servers.prometheus.promql import (
    BadQuery,
    CannotEvaluate,
    Labels,
    Point,
    Series,
    Tree,
    evaluate,
    parse,
    parse_duration,
)

MOST_POINTS = 11_000

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")

Params = Mapping[str, str]


class BadData(ValueError):
    """A parameter that Prometheus refuses with `bad_data`."""


def app(series: Sequence[Series], token: str | None = None) -> Starlette:
    """Require the token if there is one, as a proxy before a Prometheus would."""
    answers: Mapping[str, Callable[[Params], Any]] = {
        "query": lambda params: query_instant(series, params),
        "query_range": lambda params: query_range(series, params),
    }

    async def api(request: Request) -> Response:
        header = request.headers.get("authorization", "")
        if token is not None and not hmac.compare_digest(header.encode(), f"Bearer {token}".encode()):
            return PlainTextResponse("Unauthorized", 401)
        try:
            data = answers[request.path_params["path"]](await read_params(request))
        except KeyError:
            return PlainTextResponse("404 page not found", 404)
        except (BadQuery, BadData) as error:
            return build_failure(400, "bad_data", str(error))
        except CannotEvaluate as error:
            return build_failure(422, "execution", str(error))
        return build_reply(200, {"status": "success", "data": data})

    async def ready(request: Request) -> Response:
        return PlainTextResponse("Prometheus Server is Ready.\n")

    return Starlette(routes=[Route("/api/v1/{path}", api, methods=["GET", "POST"]), Route("/-/ready", ready)])


def query_instant(series: Sequence[Series], params: Params) -> Any:
    moment = parse_moment(params, "time") if "time" in params else int(time() * 1000)
    series_values = evaluate(parse_query(params), series, moment)
    if not isinstance(series_values, dict):
        return {"resultType": "scalar", "result": [moment / 1000, format_number(series_values)]}
    result = [
        {"metric": dict(labels), "value": [moment / 1000, format_number(item)]}
        for labels, item in series_values.items()
    ]
    return {"resultType": "vector", "result": result}


def query_range(series: Sequence[Series], params: Params) -> Any:
    start, end = parse_moment(params, "start"), parse_moment(params, "end")
    if end < start:
        raise BadData('invalid parameter "end": end timestamp must not be before start time')
    step = parse_step(params)
    if (end - start) // step > MOST_POINTS:
        raise BadData("exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the resolution")
    tree = parse_query(params)
    values: dict[Labels, list[list[Any]]] = {}
    for index in range(start, end + 1, step):
        series_values = evaluate(tree, series, index)
        for labels, item in series_values.items() if isinstance(series_values, dict) else [((), series_values)]:
            values.setdefault(labels, []).append([index / 1000, format_number(item)])
    result = [{"metric": dict(labels), "values": values[labels]} for labels in sorted(values)]
    return {"resultType": "matrix", "result": result}


def parse_query(params: Params) -> Tree:
    try:
        return parse(params.get("query", ""))
    except BadQuery as error:
        raise BadData(f'invalid parameter "query": parse error: {error}') from None


def parse_moment(params: Params, name: str) -> int:
    """Return milliseconds of Unix seconds, or of a time in RFC 3339."""
    param = params.get(name, "")
    try:
        if NUMBER.fullmatch(param):
            return round(float(param) * 1000)
        moment = datetime.fromisoformat(param)
        return round(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)
    except ValueError:
        raise BadData(f'invalid parameter "{name}": cannot parse "{param}" to a valid timestamp') from None


def parse_step(params: Params) -> int:
    param = params.get("step", "")
    try:
        step = round(float(param) * 1000) if NUMBER.fullmatch(param) else parse_duration(param)
    except BadQuery:
        raise BadData(f'invalid parameter "step": cannot parse "{param}" to a valid duration') from None
    if step <= 0:
        raise BadData('invalid parameter "step": zero or negative query resolution step widths are not accepted')
    return step


def format_number(number: float) -> str:
    """Write a number as Go does, without an exponent."""
    if isnan(number) or isinf(number):
        return "NaN" if isnan(number) else "+Inf" if number > 0 else "-Inf"
    return format(Decimal(repr(number)), "f").removesuffix(".0")


async def read_params(request: Request) -> Params:
    """Read the form, then the URL; of several with one name, the first counts."""
    body = parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
    return dict(reversed([*body, *request.query_params.multi_items()]))


def build_failure(status: int, kind: str, message: str) -> Response:
    return build_reply(status, {"status": "error", "errorType": kind, "error": message})


def build_reply(status: int, message: Any) -> Response:
    return Response(json.dumps(message), status, media_type="application/json")


SCRAPE = 60_000
"""Milliseconds between two points."""


def build_history(scale: float, until: datetime) -> list[Series]:
    """Return the series from the first deployment up to a moment."""
    return [
        one_series
        for one in list_traffic(scale)
        for one_series in _build_service_series(one, int(until.timestamp() * 1000))
    ]


def _build_service_series(traffic: ServiceTraffic, end: int) -> Iterator[Series]:
    for code in ("200", "500"):
        labels = {"service": traffic.service, "environment": traffic.environment, "code": code}
        yield Series(
            labels={"__name__": "http_requests_total", "job": "acme", **labels},
            points=partial(_list_points, traffic, end, code),
        )


def _list_points(traffic: ServiceTraffic, end: int, code: str, low: int, high: int) -> Sequence[Point]:
    """Return points on whole minutes."""
    start = -(-max(low, traffic.since * 1000) // SCRAPE) * SCRAPE
    return [
        (index, float(count_requests(traffic, code, index // 1000)))
        for index in range(start, min(high, end) + 1, SCRAPE)
    ]


@dataclass(frozen=True, slots=True)
class RecordedPoints:
    """Points that are given, for a history of one's own."""

    points: tuple[Point, ...]

    def __call__(self, low: int, high: int) -> Sequence[Point]:
        times = [at for at, _ in self.points]
        return self.points[_find_first(times, low) : bisect_right(times, high)]


def _find_first(times: Sequence[int], low: int) -> int:
    return bisect_right(times, low - 1)
