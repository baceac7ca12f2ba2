"""Measure documents sent for the first time, larger pages, larger schemas, and memory."""

import http.client
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from benchmarks import onedoor
from benchmarks.load import load
from benchmarks.questions import QUESTIONS, ROWS, flat
from benchmarks.servers import NotRunning, Server, start
from benchmarks.sides import ONEDOOR, HttpRequest, Side, graphql, requests
from onedoor.schema.reader import read_shapes

DOCUMENTS = 100
TYPES = (20, 500)
ROUNDS = 3
FIELDS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """A schema of so many types: milliseconds of its questions at one connection, and of a first-time document."""

    types: int
    one: float
    music: float
    first: float


def rss(server: Server) -> float | None:
    """Resident megabytes of a process; None where the system does not tell."""
    status = Path(f"/proc/{server.process.pid}/status")
    if not status.exists():
        return None
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return int(lines["VmRSS"].split()[0]) / 1024


def by_rows(sides: list[Side], seconds: float) -> dict[str, dict[int, float]]:
    """By side and number of rows, the median milliseconds of one answer at one connection."""
    results: dict[str, dict[int, float]] = {item.name: {} for item in sides}
    for rows in ROWS:
        for side in sides:
            queries = requests(side.name, flat(rows))
            results[side.name][rows] = load(side, queries, seconds=seconds, connections=1).median
    return results


def measure_compilation(side: Side) -> float:
    """Milliseconds that a document of fifty fields takes longer at its first time than at its second."""
    first, second = [], []
    connection = http.client.HTTPConnection(urlsplit(side.server.url).netloc, timeout=20)
    for number in range(DOCUMENTS):
        request = graphql(document(f"unseen{number}"), {})
        first.append(timed(connection, side, request))
        second.append(timed(connection, side, request))
    connection.close()
    return (median(first) - median(second)) * 1000


def document(name: str) -> str:
    """Fifty fields over four types, two of them connections; no two names give the same text."""
    columns = "id name email city country segment credit createdAt"
    copies = [f"{name}_{number}: name" for number in range(FIELDS - len(columns.split()) - 16)]
    orders = "orders(first: 1) { nodes { id placedAt status total items(first: 1) { nodes { id quantity"
    product = "product { id name price } } } } totalCount pageInfo { hasNextPage } }"
    return f"query {name} {{ customer(id: 7) {{ {columns} {' '.join(copies)} {orders} {product} }} }}"


def timed(connection: http.client.HTTPConnection, side: Side, request: HttpRequest) -> float:
    started = time.perf_counter()
    connection.request(request.method, request.path, request.body.encode(), dict(side.headers))
    reply = connection.getresponse()
    body = reply.read()
    took = time.perf_counter() - started
    if reply.status != 200 or b'"errors"' in body:
        raise NotRunning(f"{side.name} answered {reply.status}: {body[:200].decode('utf-8', 'replace')}")
    return took


def by_types(folder: Path, key: str, environment: Mapping[str, str], seconds: float) -> Iterator[Typed]:
    """Two servers side by side, one with a large schema; their rounds interleave."""
    type_count = len(read_shapes(onedoor.load_schema_modules()).types) - 1
    with ExitStack() as stack:
        servers = {
            types: start_server(stack, folder, key, environment, "--types", str(types - type_count)) for types in TYPES
        }
        queries = {
            question.name: requests(ONEDOOR, question) for question in QUESTIONS if question.name in ("one", "music")
        }
        took: dict[tuple[int, str], list[float]] = {(types, name): [] for types in TYPES for name in queries}
        for _ in range(ROUNDS):
            for types, name in took:
                result = load(servers[types], queries[name], seconds=seconds, connections=1)
                took[types, name].append(result.median)
        for types, server in servers.items():
            one, music = (median(took[types, name]) for name in ("one", "music"))
            yield Typed(types=types, one=one, music=music, first=measure_compilation(server))


def start_server(stack: ExitStack, folder: Path, key: str, environment: Mapping[str, str], *words: str) -> Side:
    """Onedoor, with everything on."""
    config = str(folder / "onedoor.toml")
    server = start(stack, "benchmarks.onedoor", "--config", config, *words, environment=environment)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    return Side(name=ONEDOOR, server=server, headers=headers)
