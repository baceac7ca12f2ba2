"""Whatever a query holds and whatever breaks, errors show no internals, and no key leaks."""

import asyncio
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import pytest

from onedoor.errors import ConnectorError
from onedoor.spi.scan import ScanRequest
from onedoor.storage.database import MetadataDatabase
from tests import acme
from tests.http.conftest import HookedConnector, OpenServer, Response, RunningServer

GOLDEN = Path(__file__).parents[2] / "golden"
SECRET = "hunter2"
DETAIL = (
    f'could not connect to postgresql://onedoor:{SECRET}@db.internal:5432: SELECT "credit_limit" FROM "customer"'
    ' File "/srv/onedoor/sources/sql.py", line 12'
)
# "did you mean `me { ... }`" repeats what was asked, so it suggests no name
LEAK = re.compile(
    rf"""{SECRET} | Traceback | File\ " | \.py\b | /(srv|home|usr|tmp|var|etc|opt|root|work)/ | site-packages
    | \b(SELECT|INSERT|UPDATE|DELETE|FROM|WHERE|JOIN)\b | postgres | sqlite | asyncpg | psycopg | sqlalchemy | aiohttp
    | snowflake\.connector | boto | slack_sdk | graphql\. | orjson | uvicorn | db\.internal
    | \b[A-Z]\w*(Error|Exception|Warning)\b | \bNoneType\b | object\ at\ 0x | <class | line\ \d+
    | Did\ you\ mean(?!\ .\w+\ .\ \.\.\.)""",
    re.VERBOSE,
)
FAILURES = (
    ValueError(DETAIL), KeyError("credit_limit"), RuntimeError(DETAIL), OSError(2, DETAIL, "/srv/onedoor/secret"),
    AttributeError("'NoneType' object has no attribute 'rows'"), RecursionError(DETAIL), MemoryError(),
    ConnectionResetError(104, DETAIL), TimeoutError(DETAIL), UnicodeDecodeError("utf-8", b"\xff", 0, 1, DETAIL),
    ExceptionGroup(DETAIL, [ValueError(DETAIL)]), ConnectorError("`internal` is away"),
)  # fmt: skip
HOSTILE = (
    "creditLimt", "salry", "__schem", "customer", "customers(first: -1)", "(", ")", "{", "}", "$", "$x", "@skip",
    "@include(if: 1)", "...", "... on Nobody", "...f", '"', '"""', "'; --", '"\\u0000"', "\x00", "\x1b", "\u202e",
    "-1", "1e999", "9" * 400, "null", "true", "[", "]", ":", "!", "&", "|", "#", ",", "é", "mutation", "subscription",
    "fragment f on Customer { ...f }", "type", "a: b: c", "id: {}", "first: null", 'after: "x"', "\ufeff", "not: {",
)  # fmt: skip
VARIABLES = (None, 1, -1, 1.5, "", "x", "\x00", "'; --", True, [], {}, [[]], {"eq": None}, {"eq": {"eq": 1}}, 2**63)
COUNT = int(os.environ.get("FUZZ") or 2000)
AT_ONCE = 100


def mixed() -> Iterator[Mapping[str, Any]]:
    """Good questions, each changed in some places; the same each time."""
    random = Random(7)
    paths = sorted(GOLDEN.glob("*/query.graphql"))
    good = [path.read_text(encoding="utf-8") for path in paths]
    given = [
        json.loads(item.read_text()) if item.exists() else {} for item in (p.with_name("variables.json") for p in paths)
    ]
    for _ in range(COUNT):
        place = random.randrange(len(good))
        tokens = re.findall(r'"[^"]*"|\w+|\s+|[^\w\s]', good[place])
        for _ in range(random.choice([0, 1, 1, 1, 2, 5])):
            index = random.randrange(len(tokens))
            change = random.randrange(4)
            if change == 0:
                tokens[index] = random.choice(HOSTILE)
            elif change == 1:
                tokens.insert(index, f" {random.choice(HOSTILE)} ")
            elif change == 2:
                tokens[index] = random.choice(tokens)
            elif len(tokens) > 1:
                del tokens[index]
        variables = {name: random.choice([value, random.choice(VARIABLES)]) for name, value in given[place].items()}
        yield {"query": "".join(tokens), "variables": variables}


def without_traceback(failure: Exception) -> Exception:
    """The same without the places it was raised at before."""
    return type(failure)(*failure.args)


def failing(random: Random) -> Any:
    async def fail(ask: ScanRequest) -> None:
        if random.random() < 0.2:
            raise without_traceback(random.choice(FAILURES))

    return fail


def errors_and_headers(told: Response) -> str:
    """Errors and headers; data may hold any word."""
    headers = {name: value for name, value in told.headers.items() if name.lower() not in ("date", "server")}
    return json.dumps([told.body.get("errors", []), headers], ensure_ascii=False)


async def test_no_error_of_a_fuzzed_query_shows_internals(
    open_server: OpenServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server: RunningServer = await open_server(
        {name: HookedConnector(source, failing(Random(name))) for name, source in acme.sources().items()}
    )
    queries, leaks, statuses = list(mixed()), [], set()
    for start in range(0, COUNT, AT_ONCE):
        some = queries[start : start + AT_ONCE]
        whos = [("sales", "finance", "nobody", None)[number % 4] for number in range(len(some))]
        results = await asyncio.gather(*(server.ask(who=who, **item) for item, who in zip(some, whos, strict=True)))
        statuses |= {result.status for result in results}
        leaks += [
            (item, leak[0])
            for item, reply in zip(some, results, strict=True)
            if SECRET.encode() in reply.raw or (leak := LEAK.search(errors_and_headers(reply)))
        ]
    with capsys.disabled():
        print(f"\n{COUNT} changed questions, {len(leaks)} of their replies with a leak")
    assert (leaks, statuses) == ([], {200, 400, 401, 500})


AWAY = {
    "TimeoutError": "`internal` did not answer within 2 s (limit `source_seconds`)",
    "ConnectorError": "`internal` is away",
}
"""What a source raises by itself when it does not answer: no crash, so nothing is logged."""
SPARED = "`internal` is unavailable after repeated failures, and is tried again within a second"


@pytest.mark.parametrize("failure", FAILURES, ids=lambda item: type(item).__name__)
async def test_internal_errors_look_alike_and_are_logged_once(
    open_server: OpenServer, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    async def fail(ask: ScanRequest) -> None:
        raise without_traceback(failure)

    server: RunningServer = await open_server({"internal": HookedConnector(acme.sources()["internal"], fail)})
    text = "{ " + " ".join(f"a{number}: customers(first: 50) {{ nodes {{ id }} }}" for number in range(20)) + " }"
    with caplog.at_level(logging.INFO, logger="onedoor"):
        result = await server.ask(text)
    assert LEAK.search(errors_and_headers(result)) is None
    lines = [item.getMessage() for item in caplog.records if item.name.startswith("onedoor")]
    (record,) = server.records()
    if away := AWAY.get(type(failure).__name__):
        messages = {error["message"] for error in result.body["errors"]}
        assert (messages - {SPARED}, result.status, lines) == ({away}, 200, [])
        return
    message = f"something went wrong here; it is on record as {record['id']}"
    assert (result.status, result.body) == (500, {"errors": [{"message": message, "extensions": {"code": "INTERNAL"}}]})
    assert [line.startswith(f"request {record['id']} crashed: ") for line in lines] == [True]


async def test_no_secret_of_a_key_is_in_logs_records_database_or_replies(
    open_server: OpenServer, state: MetadataDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    async def crash(ask: ScanRequest) -> None:
        raise ValueError(DETAIL)

    server: RunningServer = await open_server({"internal": HookedConnector(acme.sources()["internal"], crash)})
    keys = [*server.keys.of.values(), server.keys.expired, server.keys.revoked]
    result = []
    with caplog.at_level(logging.DEBUG):
        for key in keys:
            for headers in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}, {"x-api-key": f"{key}x"}):
                for text in ("{ me { id email key { id } } }", "{ customers { totalCount } }", "{", "{ nobody }"):
                    result.append(await server.send(json={"query": text}, headers=headers))
            result.append(await server.send("GET", f"/graphql?query={quote('{ me { id } }')}&key={key}"))
            result.append(await server.send("GET", f"/graphql?key={key}", headers={"x-api-key": key}))
            result.append(await server.ask('{ customer(id: "' + key + '") { name } }'))
            result.append(await server.ask("query($id: ID!) { customer(id: $id) { name } }", variables={"id": key}))
            result.append(await server.ask("{", extensions={"key": key}))
    assert {item.status for item in result} == {200, 400, 401, 500}
    database = Path(state.engine.url.database or "")
    files = [*server.folder.iterdir(), *database.parent.iterdir()]
    kept = b"".join(path.read_bytes() for path in files) + b"".join(item.raw for item in result)
    headers = " ".join(f"{name}: {value}" for item in result for name, value in item.headers.items())
    everything = kept.decode(errors="replace") + headers + caplog.text
    assert database in files
    assert [item for item in keys if item in everything or item.split("_")[2] in everything] == []
