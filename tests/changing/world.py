"""A house whose rows can be changed: accounts and entries in a bank, posts on a board, and what its people may ask."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from graphql import build_schema

from auth.caller import Caller
from auth.rules import Rules
from auth.state import State
from engine import guard
from engine.act import Act, Acted
from engine.binding import Binding
from engine.change.bindings import SOURCE, with_history
from engine.change.declared import Changes, Declared, Saga, Step, Undo
from engine.change.history import History, kept_of
from engine.change.run import changing
from engine.change.settle import settle
from engine.change.words import Verb
from engine.change.workshop import Workshop, sagas
from engine.house import House, Limits
from engine.source import Source
from engine.words import Ask
from records.ledger import Ledger
from records.record import Record
from tests.changing.bank import Bank, Board, Faulty

PEPPER = b"a pepper of at least thirty-two characters"
SDL = """
type Query { account(id: ID!): Account }
enum Kind { CURRENT SAVINGS }
type Account { id: ID! name: String! ownerId: ID kind: Kind tags: [String!] version: Int }
type Entry { id: ID! accountId: ID line: Int text: String version: Int }
type Post { id: ID! text: String }
type Locker { id: ID! store: String text: String version: Int }
"""
BINDINGS = {
    "Account": Binding(type="Account", source="bank", collection="account"),
    "Entry": Binding(type="Entry", source="bank", collection="entry", key=("account_id", "line")),
    "Post": Binding(type="Post", source="board", collection="post"),
    "Locker": Binding(
        type="Locker", source="vault", collection="entry", key=("store", "account_id", "line"), constants={"store": "V"}
    ),
}
OPENING = Saga(
    field="openAccount",
    type="Account",
    steps=(
        Step(
            name="account", source="bank", collection="account", verb=Verb.CREATE,
            key=lambda given, _: {"id": int(given["number"])}, values=lambda given, _: {"name": given["name"]},
        ),
        Step(
            name="entry", source="bank", collection="entry", verb=Verb.CREATE,
            key=lambda given, _: {"account_id": int(given["number"]), "line": 1}, values=lambda _, __: {"text": "open"},
        ),
        Step(
            name="post", source="board", collection="post", verb=Verb.CREATE,
            values=lambda given, made: {"text": f"welcome {made['account'].after['name']}"}, needs=("account",),
        ),
        Step(
            name="greeting", source="bank", collection="entry", verb=Verb.CREATE,
            key=lambda given, _: {"account_id": int(given["number"]), "line": 2},
            values=lambda _, made: {"text": made["post"].after["id"]}, needs=("post",),
        ),
    ),
)  # fmt: skip
ANNOUNCED = replace(
    OPENING,
    field="announceAccount",
    steps=tuple(replace(each, undo=Undo.NONE) if each.name == "post" else each for each in OPENING.steps),
)
MOVING = Saga(
    field="moveIn",
    type="Account",
    steps=(
        replace(OPENING.steps[0], name="account"),
        replace(OPENING.steps[1], name="locker", source="vault"),
    ),
)
DECLARED: tuple[Declared, ...] = (
    Changes(field="createAccount", type="Account", verb=Verb.CREATE),
    Changes(field="updateAccount", type="Account", verb=Verb.UPDATE),
    Changes(field="deleteAccount", type="Account", verb=Verb.DELETE),
    Changes(field="putEntry", type="Entry", verb=Verb.PUT),
    Changes(field="putLocker", type="Locker", verb=Verb.PUT),
    Changes(field="createPost", type="Post", verb=Verb.CREATE),
    OPENING,
    ANNOUNCED,
    MOVING,
)
ADA = Caller(
    person_id="P1", first_name="Ada", last_name="Lovelace", email="ada@acme.example", groups=frozenset({"everyone"}),
    grants=(), key_id="K1", key_created=datetime(2026, 1, 1, tzinfo=UTC), key_expires=datetime(2027, 1, 1, tzinfo=UTC),
)  # fmt: skip
LIMITS = Limits(source_seconds=1.0)


@dataclass(slots=True, kw_only=True)
class World:
    """One process's share of it; several may stand on one state and one bank."""

    shop: Workshop
    bank: Faulty
    board: Faulty
    vault: Faulty
    journal: list[Record] = field(default_factory=list)
    published: list[tuple[str, str, str]] = field(default_factory=list)

    async def ask(self, field: str, /, *, caller: Caller = ADA, seconds: float = 10.0, **given: Any) -> Acted:
        until = asyncio.get_running_loop().time() + seconds
        act = Act(caller=caller, field=field, arguments={"input": given}, record="R1", until=until)
        return await changing(self.shop)[field](act)

    async def kept(self, record: Record) -> None:
        self.journal.append(record)

    async def settled(self) -> None:
        """Passes until one ends an intent."""
        async with asyncio.timeout(15):
            while not await settle(self.shop, self.kept):  # noqa: ASYNC110 - it is asked until it says so
                await asyncio.sleep(0.1)

    async def history(self, type_name: str, overlay: Source | None = None, **among: Any) -> list[dict[str, Any]]:
        """All rows of its changes, by column."""
        source = overlay or self.shop.house.sources[SOURCE]
        columns = tuple(source.can(type_name).columns)
        found = [batch async for batch in source.read(Ask(collection=type_name, columns=columns, **among))]
        return [dict(zip(columns, row, strict=True)) for batch in found for row in batch]


def world(state: State, path: Path, *, board: Board | None = None, **more: Any) -> World:
    bank, board_, vault = Faulty(Bank(path)), Faulty(board or Board()), Faulty(Bank(path.with_suffix(".vault")))
    ledger = Ledger(state, lease_seconds=more.pop("lease_seconds", 2.0))
    told: list[tuple[str, str, str]] = []
    house = housed({"bank": bank, "board": board_, "vault": vault}, ledger)
    guards = {name: guard.guard(name, source, LIMITS, monotonic) for name, source in house.sources.items()}
    shop = Workshop(
        house=house, guards=guards, sagas=sagas(house, guards, DECLARED), ledger=ledger, secret=b"s" * 32,
        published=lambda *each: told.append(each), **more,
    )  # fmt: skip
    return World(shop=shop, bank=bank, board=board_, vault=vault, published=told)


def housed(sources: Mapping[str, Any], ledger: Ledger) -> House:
    parts: dict[str, Any] = {
        "schema": build_schema(SDL), "rules": Rules({}), "bindings": with_history(BINDINGS, BINDINGS), "version": "",
        "cursor_secret": b"c" * 32,
    }  # fmt: skip
    return House(sources={**sources, SOURCE: History(ledger, kept_of(parts["bindings"], sources))}, **parts)


Open = Callable[..., World]
