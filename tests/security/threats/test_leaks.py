"""Whatever is asked and whatever breaks, errors tell nothing of how the house is built; nor do keys get out."""

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
from tests.http.conftest import Door, Odd, Opening, Told

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
        json.loads(each.read_text()) if each.exists() else {} for each in (p.with_name("variables.json") for p in paths)
    ]
    for _ in range(COUNT):
        place = random.randrange(len(good))
        tokens = re.findall(r'"[^"]*"|\w+|\s+|[^\w\s]', good[place])
        for _ in range(random.choice([0, 1, 1, 1, 2, 5])):
            at = random.randrange(len(tokens))
            change = random.randrange(4)
            if change == 0:
                tokens[at] = random.choice(HOSTILE)
            elif change == 1:
                tokens.insert(at, f" {random.choice(HOSTILE)} ")
            elif change == 2:
                tokens[at] = random.choice(tokens)
            elif len(tokens) > 1:
                del tokens[at]
        variables = {name: random.choice([value, random.choice(VARIABLES)]) for name, value in given[place].items()}
        yield {"query": "".join(tokens), "variables": variables}


def fresh(failure: Exception) -> Exception:
    """The same without the places it was raised at before."""
    return type(failure)(*failure.args)


def failing(random: Random) -> Any:
    async def fail(ask: ScanRequest) -> None:
        if random.random() < 0.2:
            raise fresh(random.choice(FAILURES))

    return fail


def said(told: Told) -> str:
    """Errors and headers; data may hold any word."""
    headers = {name: value for name, value in told.headers.items() if name.lower() not in ("date", "server")}
    return json.dumps([told.body.get("errors", []), headers], ensure_ascii=False)


async def test_no_error_of_a_fuzzed_question_tells_how_the_house_is_built(
    opening: Opening, capsys: pytest.CaptureFixture[str]
) -> None:
    door: Door = await opening({name: Odd(each, failing(Random(name))) for name, each in acme.sources().items()})
    asked, found, statuses = list(mixed()), [], set()
    for start in range(0, COUNT, AT_ONCE):
        some = asked[start : start + AT_ONCE]
        whos = [("sales", "finance", "nobody", None)[number % 4] for number in range(len(some))]
        told = await asyncio.gather(*(door.ask(who=who, **each) for each, who in zip(some, whos, strict=True)))
        statuses |= {each.status for each in told}
        found += [
            (each, leak[0])
            for each, reply in zip(some, told, strict=True)
            if SECRET.encode() in reply.raw or (leak := LEAK.search(said(reply)))
        ]
    with capsys.disabled():
        print(f"\n{COUNT} changed questions, {len(found)} of their replies with a leak")
    assert (found, statuses) == ([], {200, 400, 401, 500})


AWAY = {"TimeoutError": "`internal` did not answer within 2 s", "ConnectorError": "`internal` is away"}
"""What a source raises by itself when it does not answer: no crash, so nothing is logged."""
SPARED = "`internal` is unavailable after repeated failures, and is tried again within a second"


@pytest.mark.parametrize("failure", FAILURES, ids=lambda each: type(each).__name__)
async def test_what_breaks_is_told_alike_and_logged_once(
    opening: Opening, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    async def fail(ask: ScanRequest) -> None:
        raise fresh(failure)

    door: Door = await opening({"internal": Odd(acme.sources()["internal"], fail)})
    text = "{ " + " ".join(f"a{number}: customers(first: 50) {{ nodes {{ id }} }}" for number in range(20)) + " }"
    with caplog.at_level(logging.INFO, logger="onedoor"):
        told = await door.ask(text)
    assert LEAK.search(said(told)) is None
    lines = [each.getMessage() for each in caplog.records if each.name.startswith("onedoor")]
    (record,) = door.records()
    if away := AWAY.get(type(failure).__name__):
        assert ({each["message"] for each in told.body["errors"]}, told.status, lines) == ({away, SPARED}, 200, [])
        return
    message = f"something went wrong here; it is on record as {record['id']}"
    assert (told.status, told.body) == (500, {"errors": [{"message": message, "extensions": {"code": "INTERNAL"}}]})
    assert [each.startswith(f"request {record['id']} crashed: ") for each in lines] == [True]


async def test_no_secret_of_a_key_is_in_logs_journal_state_or_replies(
    opening: Opening, state: MetadataDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    async def crash(ask: ScanRequest) -> None:
        raise ValueError(DETAIL)

    door: Door = await opening({"internal": Odd(acme.sources()["internal"], crash)})
    keys = [*door.keys.of.values(), door.keys.expired, door.keys.revoked]
    told = []
    with caplog.at_level(logging.DEBUG):
        for key in keys:
            for headers in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}, {"x-api-key": f"{key}x"}):
                for text in ("{ me { id email key { id } } }", "{ customers { totalCount } }", "{", "{ nobody }"):
                    told.append(await door.send(json={"query": text}, headers=headers))
            told.append(await door.send("GET", f"/graphql?query={quote('{ me { id } }')}&key={key}"))
            told.append(await door.send("GET", f"/graphql?key={key}", headers={"x-api-key": key}))
            told.append(await door.ask('{ customer(id: "' + key + '") { name } }'))
            told.append(await door.ask("query($id: ID!) { customer(id: $id) { name } }", variables={"id": key}))
            told.append(await door.ask("{", extensions={"key": key}))
    assert {each.status for each in told} == {200, 400, 401, 500}
    database = Path(state.engine.url.database or "")
    files = [*door.folder.iterdir(), *database.parent.iterdir()]
    kept = b"".join(path.read_bytes() for path in files) + b"".join(each.raw for each in told)
    headers = " ".join(f"{name}: {value}" for each in told for name, value in each.headers.items())
    everything = kept.decode(errors="replace") + headers + caplog.text
    assert database in files
    assert [each for each in keys if each in everything or each.split("_")[2] in everything] == []
