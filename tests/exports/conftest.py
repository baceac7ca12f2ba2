"""Exports over Acme in memory: a real journal, a real folder, and work that can be told who asks now."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from auth.caller import Caller
from engine.desk import Desk
from engine.house import Limits
from engine.source import Source
from exports.clerk import Clerk
from exports.export import Exporting, export
from exports.folder import Folder
from exports.start import start
from exports.words import Format, Result, Stated, Wish
from records.journal import Journal
from records.journal import opened as journal_opened
from records.read import read
from tests import acme

FORMATS = [pytest.param(each, id=each.value) for each in Format]


@dataclass(slots=True)
class Works:
    """Somebody's work: `now` tells, at each look, who holds the key; `stop`, after how many looks nobody wants it."""

    now: Callable[[int], Caller | None]
    stop: int | None = None
    looks: int = 0
    told: list[tuple[int, int | None]] = field(default_factory=list)

    async def caller(self) -> Caller | None:
        self.looks += 1
        return self.now(self.looks)

    def cancelled(self) -> bool:
        return self.stop is not None and self.looks >= self.stop

    async def progress(self, rows: int, of: int | None) -> None:
        self.told.append((rows, of))


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Where exports are made in a test."""

    clerk: Clerk
    store: Folder
    journal: Path

    @property
    def desk(self) -> Desk:
        return self.clerk.desk

    def records(self) -> list[Mapping[str, Any]]:
        return list(read(self.journal))

    async def stated(self, text: str, format: Format = Format.CSV, *groups: str, id: str = "e1", **wish: Any) -> Stated:
        return await start(self.clerk, self.store, acme.caller(*groups), id, Wish(text=text, format=format, **wish))

    def exporting(self, stated: Stated, works: Works, part_rows: int = 25) -> Exporting:
        return Exporting(clerk=self.clerk, store=self.store, work=works, stated=stated, part_rows=part_rows)

    async def made(self, text: str, format: Format = Format.CSV, *groups: str, **wish: Any) -> Result:
        stated = await self.stated(text, format, *groups, **wish)
        return await export(self.exporting(stated, always(*groups)))

    async def body(self, made: Result, at: int = 0) -> bytes:
        chunks = [chunk for part in made.files[at].parts async for chunk in self.store.read(made.id, part)]
        return b"".join(chunks)

    async def whole(self, made: Result, folder: Path) -> Sequence[Path]:
        """The files, each written as it is downloaded."""
        for at, each in enumerate(made.files):
            (folder / each.name).write_bytes(await self.body(made, at))
        return [folder / each.name for each in made.files]


def always(*groups: str) -> Works:
    caller = acme.caller(*groups)
    return Works(lambda looks: caller)


Rooms = Callable[..., Room]


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[Rooms]:
    """Opens rooms; pages are of ten rows unless limits say otherwise."""
    journals: list[Journal] = []

    def opened(given: Mapping[str, Source] | None = None, limits: Limits | None = None) -> Room:
        for each in ("journal", "exports"):
            (tmp_path / each).mkdir(exist_ok=True)
        journal = journal_opened(tmp_path / "journal", datetime.now(UTC))
        journals.append(journal)
        sources = {**acme.sources(), **(given or {})}
        house = acme.house(sources, limits or Limits(first_max=10, first_default=5))
        clerk = Clerk(desk=acme.opened(house), journal=journal, records_key=b"a key of records")
        return Room(clerk=clerk, store=Folder(tmp_path / "exports"), journal=tmp_path / "journal")

    yield opened
    for each in journals:
        each.close()


@pytest.fixture
def room(rooms: Rooms) -> Room:
    return rooms()


async def by_page(room: Room, text: str, *groups: str, key: str, most: int) -> list[dict[str, Any]]:
    """The rows of a list as a client reads them: `text` takes `$first` and `$after`, and asks for the cursor."""
    found: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        told = await acme.ask(room.desk, text, *groups, variables={"first": 7, "after": after})
        assert told.data is not None
        nodes = told.data[key]["nodes"]
        found += nodes
        after = told.data[key]["pageInfo"]["endCursor"]
        if len(nodes) < 7 or len(found) >= most:
            return found[:most]


def without(caller: Caller, *groups: str) -> Caller:
    return replace(caller, groups=caller.groups - set(groups))
