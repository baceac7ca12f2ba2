"""Send a query to each of the three servers, and check that their answers are equal."""

import http.client
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from benchmarks.questions import Question
from benchmarks.servers import Server

ONEDOOR, BY_HAND, LIMIT = "Onedoor", "Strawberry by hand", "the limit"
SHOWN = 160
COMPARED = 3
"""How many answers to each query are compared."""
MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T[\d:.]+(Z|\+00:00)")
TRANSPARENT = ("nodes", "aggregate")
"""An object with one of these fields alone is replaced by its value, as lists by hand are plain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One request; no body: an empty text."""

    method: str
    path: str
    body: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the three, and the headers each request to it carries."""

    name: str
    server: Server
    headers: Mapping[str, str]


class NotAnswered(Exception):
    """One did not answer, or another way than the rest."""


def requests(name: str, question: Question) -> list[HttpRequest]:
    """Build the requests of the load for one of the three sides."""
    if name == LIMIT:
        return [HttpRequest(method="GET", path=f"/{question.name}?{variable(item)}") for item in question.variables]
    document = question.onedoor if name == ONEDOOR else question.by_hand
    return [graphql(document, item) for item in question.variables]


def variable(variables: Mapping[str, Any]) -> str:
    return "".join(str(value) for value in variables.values())


def graphql(document: str, variables: Mapping[str, Any]) -> HttpRequest:
    return HttpRequest(method="POST", path="/graphql", body=json.dumps({"query": document, "variables": variables}))


def equal(sides: list[Side], question: Question) -> dict[str, float]:
    """Return the seconds that each side took alone for its last answer.

    Raises NotAnswered, naming the one whose answer differs from the limit's.
    """
    took: dict[str, float] = {}
    for place in range(COMPARED):
        answers: dict[str, Any] = {}
        for side in sides:
            sent = requests(side.name, question)
            started = time.perf_counter()
            answers[side.name] = normalize(answer(side, sent[place % len(sent)]))
            took[side.name] = time.perf_counter() - started
        for name, found in answers.items():
            if found != answers[LIMIT]:
                raise NotAnswered(f"{name} answers otherwise than the limit: {difference(found, answers[LIMIT])}")
    return took


def answer(side: Side, request: HttpRequest) -> Any:
    """Return the data of one reply. Raises NotAnswered."""
    connection = http.client.HTTPConnection(urlsplit(side.server.url).netloc, timeout=20)
    connection.request(request.method, request.path, request.body.encode() or None, dict(side.headers))
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    data = json.loads(body) if reply.status in (200, 400) else {}
    if data.get("data") is None or data.get("errors"):
        raise NotAnswered(f"{side.name} answered {reply.status}: {body[:SHOWN].decode('utf-8', 'replace')}")
    return data["data"]


def normalize(found: Any) -> Any:
    """Normalize an answer: plain lists, times in UTC."""
    if isinstance(found, dict):
        if len(found) == 1 and next(iter(found)) in TRANSPARENT:
            return normalize(next(iter(found.values())))
        return {name: normalize(value) for name, value in found.items()}
    if isinstance(found, list):
        return [normalize(item) for item in found]
    if isinstance(found, str) and MOMENT.fullmatch(found):
        return datetime.fromisoformat(found)
    return found


def difference(one: Any, other: Any, at: str = "data") -> str:
    """Return the first place where two answers differ."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return next(
            (difference(one[item], other[item], f"{at}.{item}") for item in one if one[item] != other[item]), at
        )
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return next((difference(a, b, f"{at}.{place}") for place, (a, b) in pairs if a != b), at)
    return f"at `{at}`: {str(one)[:SHOWN]} for {str(other)[:SHOWN]}"
