"""A store and an ask in, what is inside its files out: a beginning of text, rows of a table, an address to fetch from.

Each is a collection that no list shows: its rows are looked up by a file's id, and by what was asked for.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

from engine.errors import Code, SourceFailed
from engine.words import All, Ask, Can, Column, Kind, Op, Row, Test
from sources.content.cells import Wanted, wanted
from sources.content.tables import rows
from sources.content.words import Store
from sources.fan_out import fan_out

KEYS = 20
AT_ONCE = 4
TEXT_BYTES = 2**20
"""Of one text, at the most."""
FIRST = 1000
"""Rows of one file, at the most."""
MINUTES = 5
READ_BYTES = 16 * 2**20
"""What a store's `read_bytes` is, where its settings do not say."""
ASKED = frozenset({Op.EQ})


def _can(value: str, kind: Kind, arguments: Mapping[str, Kind], needed: str) -> Can:
    columns = {"id": Column(Kind.TEXT), value: Column(kind)}
    columns |= {name: Column(each, ASKED) for name, each in arguments.items()}
    return Can(columns=columns, keys=KEYS, key_columns=frozenset({("id",)}), requires=("id", needed))


CANS: Mapping[str, Can] = {
    "text": _can("text", Kind.TEXT, {"max_bytes": Kind.INTEGER}, "max_bytes"),
    "rows": _can("rows", Kind.LIST, {"first": Kind.INTEGER, "columns": Kind.LIST, "where": Kind.TEXT}, "first"),
    "download": _can("url", Kind.TEXT, {"minutes": Kind.INTEGER}, "minutes"),
}
"""What every store of files has beside the list of them."""


async def read(store: Store, ask: Ask, read_bytes: int) -> AsyncIterator[Sequence[Row]]:
    """`read_bytes`: the most that is read of one file for its rows."""
    given = arguments(ask.where)
    look = LOOKS[ask.collection](store, given, read_bytes)
    ids = [key[0] for key in ask.keys.values] if ask.keys else []

    async def found(id: str) -> Row:
        told = {"id": id, **given, **await look(id)}
        return tuple(told[name] for name in ask.columns)

    yield await fan_out(found, ids, AT_ONCE)


def arguments(where: Any) -> dict[str, Any]:
    tests = where.parts if isinstance(where, All) else (where,)
    return {"columns": None, "where": None} | {each.column: each.value for each in tests if isinstance(each, Test)}


Look = Callable[[str], Awaitable[dict[str, Any]]]


def _text(store: Store, given: Mapping[str, Any], read_bytes: int) -> Look:
    most = within("maxBytes", given["max_bytes"], TEXT_BYTES)

    async def look(id: str) -> dict[str, Any]:
        return {"text": legible(await store.octets(id, 0, most), whole=most)}

    return look


def _rows(store: Store, given: Mapping[str, Any], read_bytes: int) -> Look:
    asked: Wanted = wanted(within("first", given["first"], FIRST), given["columns"], given["where"] or "[]")

    async def look(id: str) -> dict[str, Any]:
        return {"rows": await rows(store, id, asked, read_bytes)}

    return look


def _download(store: Store, given: Mapping[str, Any], read_bytes: int) -> Look:
    seconds = within("minutes", given["minutes"], MINUTES) * 60

    async def look(id: str) -> dict[str, Any]:
        return {"url": await store.download_url(id, seconds) if seconds else None}

    return look


LOOKS: Mapping[str, Callable[[Store, Mapping[str, Any], int], Look]] = {
    "text": _text,
    "rows": _rows,
    "download": _download,
}


def within(name: str, given: int, most: int) -> int:
    if not 0 <= given <= most:
        raise SourceFailed(f"`{name}` takes a number from 0 to {most}", Code.LIMIT_EXCEEDED)
    return given


def legible(octets: bytes, whole: int) -> str | None:
    """UTF-8, a last character that was cut in two left out; None: it is no text."""
    cut = len(octets) == whole
    for short in range(4 if cut else 1):
        try:
            text = octets[: len(octets) - short].decode("utf-8-sig")
        except UnicodeDecodeError:
            continue
        return None if "\0" in text else text
    return None
