"""Changes as tests tell them, and what they look at afterwards."""

from collections.abc import Sequence
from contextlib import aclosing
from itertools import count
from typing import Any

from engine.change.words import Change, Made, Unmade, Values, Verb, Writable
from engine.errors import Code
from engine.source import Source
from engine.words import Ask, Order
from tests.writing.tables import KEYS, KINDS

NUMBERS = count(1)


def change(verb: Verb, key: Values | None = None, /, *, collection: str = "thing", **values: Any) -> Change:
    """`at`: the version; `id`: the change's own, or a new one."""
    id, at = values.pop("told", None) or f"change-{next(NUMBERS)}", values.pop("at", None)
    return Change(id=id, collection=collection, verb=verb, key=key or {}, values=values, version=at)


def created(number: int, **values: Any) -> Change:
    return change(Verb.CREATE, {"id": number}, **{"code": f"code {number}", **values})


def part(thing: int, line: int = 1, verb: Verb = Verb.CREATE, **values: Any) -> Change:
    return change(verb, {"thing_id": thing, "line": line}, collection="part", **values)


async def make(source: Writable, *changes: Change, dry: bool = False) -> list[Made]:
    return list(await source.write(changes, dry=dry))


async def refusal(source: Writable, *changes: Change, dry: bool = False) -> tuple[Code, str]:
    try:
        await source.write(changes, dry=dry)
    except Unmade as reason:
        return reason.code, reason.reason
    raise AssertionError("it was made")


async def rows(source: Source, collection: str = "thing") -> list[dict[str, Any]]:
    columns = tuple(KINDS[collection])
    ask = Ask(collection=collection, columns=columns, order=tuple(Order(each) for each in KEYS[collection]))
    async with aclosing(source.read(ask)) as batches:  # type: ignore[type-var]
        found: list[Sequence[Any]] = [row for batch in [each async for each in batches] for row in batch]
    return [dict(zip(columns, row, strict=True)) for row in found]


def row(number: int, **values: Any) -> dict[str, Any]:
    return {**dict.fromkeys(KINDS["thing"]), "id": number, "code": f"code {number}", "version": 1, **values}
