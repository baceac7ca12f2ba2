"""What is looked for in, the words of Drive's own search out: at least what is meant, for us to look through.

Drive compares names and addresses in any case, and times as it keeps them, so what it finds is more than we mean.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.words import All, Op, Test

LONGEST = 200
"""Longer text is not searched by."""
MOST = 50
"""So many values in one search: its address must not be too long."""
ADDRESS = re.compile(r"[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9.-]{1,190}")
EPOCH = 1970
END = 9999
SECOND = timedelta(seconds=1)


def literal(text: str) -> str | None:
    """The text as a search writes it; None: it is none to search by."""
    if not text.isprintable() or not text or len(text) > LONGEST:
        return None
    return quoted(text)


def quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def narrowed(where: Any) -> Iterator[str]:
    """A search for each test that can be said as one; every row that meets the filter meets them all."""
    if isinstance(where, All):
        for part in where.parts:
            yield from narrowed(part)
    elif isinstance(where, Test):
        said = SAID[where.column][1](where)
        if said is not None:
            yield said


def either(searches: Iterable[str | None]) -> str | None:
    """None where one of them cannot be said, as nothing is narrowed then."""
    found = list(searches)
    if not found or None in found or len(found) > MOST:
        return None
    return f"({' or '.join(filter(None, found))})"


def both(*searches: str | None) -> str:
    return " and ".join(filter(None, searches))


def in_folders(ids: Sequence[str]) -> str:
    return "(" + " or ".join(f"'{id}' in parents" for id in ids) + ")"


def named(test: Test) -> str | None:
    return either(equal("name", value) for value in values(test))


def typed(test: Test) -> str | None:
    return either(equal("mimeType", value) for value in values(test))


def equal(field: str, value: str) -> str | None:
    said = literal(value)
    return None if said is None else f"{field} = {said}"


def owned(test: Test) -> str | None:
    return either(by(value) for value in values(test))


def by(address: str) -> str | None:
    said = literal(address) if ADDRESS.fullmatch(address) else None
    return None if said is None else f"{said} in owners"


def changed(test: Test) -> str | None:
    """Times to the second, from the one before to the one after."""
    at: datetime = test.value
    after = test.op in (Op.GT, Op.GTE, Op.EQ) and at.year > EPOCH
    before = test.op in (Op.LT, Op.LTE, Op.EQ) and EPOCH < at.year < END
    return both(
        f"modifiedTime >= '{written(at - SECOND)}'" if after else None,
        f"modifiedTime <= '{written(at + SECOND)}'" if before else None,
    )


def written(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def values(test: Test) -> Sequence[str]:
    return test.value if test.op is Op.IN else (test.value,)


SAME = frozenset({Op.EQ, Op.IN})
SAID: Mapping[str, tuple[frozenset[Op], Callable[[Test], str | None]]] = {
    "name": (SAME, named),
    "content_type": (SAME, typed),
    "owner_email": (SAME, owned),
    "modified": (frozenset({Op.EQ, Op.LT, Op.LTE, Op.GT, Op.GTE}), changed),
}
"""By column, the tests that a search makes fewer files of, and how."""
