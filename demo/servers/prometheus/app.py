"""Prometheus emulator."""

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

from demo.data.business import Served, served, traffic_counted
from demo.servers.prometheus.promql import BadQuery, CannotEvaluate, Labels, Point, Series, Tree, duration, parse, value

MOST_POINTS = 11_000

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")

Params = Mapping[str, str]


class BadData(ValueError):
    """A parameter that Prometheus refuses with `bad_data`."""


def app(series: Sequence[Series], token: str | None = None) -> Starlette:
    """With a token it is asked for, as a proxy before a Prometheus would."""
    answers: Mapping[str, Callable[[Params], Any]] = {
        "query": lambda params: instant(series, params),
        "query_range": lambda params: ranged(series, params),
    }

    async def api(request: Request) -> Response:
        given = request.headers.get("authorization", "")
        if token is not None and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return PlainTextResponse("Unauthorized", 401)
        try:
            data = answers[request.path_params["path"]](await params_of(request))
        except KeyError:
            return PlainTextResponse("404 page not found", 404)
        except (BadQuery, BadData) as error:
            return failure(400, "bad_data", str(error))
        except CannotEvaluate as error:
            return failure(422, "execution", str(error))
        return reply(200, {"status": "success", "data": data})

    async def ready(request: Request) -> Response:
        return PlainTextResponse("Prometheus Server is Ready.\n")

    return Starlette(routes=[Route("/api/v1/{path}", api, methods=["GET", "POST"]), Route("/-/ready", ready)])


def instant(series: Sequence[Series], params: Params) -> Any:
    at = moment(params, "time") if "time" in params else int(time() * 1000)
    found = value(query(params), series, at)
    if not isinstance(found, dict):
        return {"resultType": "scalar", "result": [at / 1000, written(found)]}
    result = [{"metric": dict(labels), "value": [at / 1000, written(each)]} for labels, each in found.items()]
    return {"resultType": "vector", "result": result}


def ranged(series: Sequence[Series], params: Params) -> Any:
    start, end = moment(params, "start"), moment(params, "end")
    if end < start:
        raise BadData('invalid parameter "end": end timestamp must not be before start time')
    step = resolution(params)
    if (end - start) // step > MOST_POINTS:
        raise BadData("exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the resolution")
    tree = query(params)
    values: dict[Labels, list[list[Any]]] = {}
    for at in range(start, end + 1, step):
        found = value(tree, series, at)
        for labels, each in found.items() if isinstance(found, dict) else [((), found)]:
            values.setdefault(labels, []).append([at / 1000, written(each)])
    result = [{"metric": dict(labels), "values": values[labels]} for labels in sorted(values)]
    return {"resultType": "matrix", "result": result}


def query(params: Params) -> Tree:
    try:
        return parse(params.get("query", ""))
    except BadQuery as error:
        raise BadData(f'invalid parameter "query": parse error: {error}') from None


def moment(params: Params, name: str) -> int:
    """Unix seconds, or a time as RFC 3339 has it, in milliseconds."""
    given = params.get(name, "")
    try:
        if NUMBER.fullmatch(given):
            return round(float(given) * 1000)
        at = datetime.fromisoformat(given)
        return round(at.replace(tzinfo=at.tzinfo or UTC).timestamp() * 1000)
    except ValueError:
        raise BadData(f'invalid parameter "{name}": cannot parse "{given}" to a valid timestamp') from None


def resolution(params: Params) -> int:
    given = params.get("step", "")
    try:
        step = round(float(given) * 1000) if NUMBER.fullmatch(given) else duration(given)
    except BadQuery:
        raise BadData(f'invalid parameter "step": cannot parse "{given}" to a valid duration') from None
    if step <= 0:
        raise BadData('invalid parameter "step": zero or negative query resolution step widths are not accepted')
    return step


def written(number: float) -> str:
    """As Go writes it, without an exponent."""
    if isnan(number) or isinf(number):
        return "NaN" if isnan(number) else "+Inf" if number > 0 else "-Inf"
    return format(Decimal(repr(number)), "f").removesuffix(".0")


async def params_of(request: Request) -> Params:
    """Of the form, then of the URL; of several by one name, the first."""
    body = parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
    return dict(reversed([*body, *request.query_params.multi_items()]))


def failure(status: int, kind: str, said: str) -> Response:
    return reply(status, {"status": "error", "errorType": kind, "error": said})


def reply(status: int, said: Any) -> Response:
    return Response(json.dumps(said), status, media_type="application/json")


SCRAPE = 60_000
"""Milliseconds between two points."""


def history(scale: float, until: datetime) -> list[Series]:
    """From the first deployment on, up to a moment."""
    return [each for one in served(scale) for each in _of(one, int(until.timestamp() * 1000))]


def _of(one: Served, end: int) -> Iterator[Series]:
    for code in ("200", "500"):
        labels = {"service": one.service, "environment": one.environment, "code": code}
        yield Series(
            labels={"__name__": "http_requests_total", "job": "acme", **labels},
            points=partial(_points, one, end, code),
        )


def _points(one: Served, end: int, code: str, low: int, high: int) -> Sequence[Point]:
    """Scrapes stand on whole minutes."""
    start = -(-max(low, one.since * 1000) // SCRAPE) * SCRAPE
    return [(at, float(traffic_counted(one, code, at // 1000))) for at in range(start, min(high, end) + 1, SCRAPE)]


@dataclass(frozen=True, slots=True)
class Recorded:
    """Points that were written down, for a history of one's own."""

    points: tuple[Point, ...]

    def __call__(self, low: int, high: int) -> Sequence[Point]:
        times = [at for at, _ in self.points]
        return self.points[_from(times, low) : bisect_right(times, high)]


def _from(times: Sequence[int], low: int) -> int:
    return bisect_right(times, low - 1)
