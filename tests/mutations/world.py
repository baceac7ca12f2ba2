"""A house whose rows can be changed: accounts and entries in a bank, posts on a board, and what its people may ask."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from graphql import build_schema

from auth.authentication import Principal
from auth.policy import AccessPolicy
from onedoor.audit.record import AuditRecord
from onedoor.model.catalog import ActionCall, ActionResult, Catalog, Limits
from onedoor.model.mapping import TypeMapping
from onedoor.mutations.context import MutationContext, compile_sagas
from onedoor.mutations.declarations import Compensation, MutationDeclaration, RowMutation, Saga, Step
from onedoor.mutations.history import HISTORY_CONNECTOR, HistoryConnector, add_history_mappings, build_tracked_types
from onedoor.mutations.ledger import Ledger
from onedoor.mutations.recovery import recover_intents
from onedoor.mutations.service import build_mutation_actions
from onedoor.runtime import resilience
from onedoor.spi.connector import ChangeKind, Connector
from onedoor.spi.scan import ScanRequest
from onedoor.storage.database import MetadataDatabase
from tests.mutations.bank import Bank, Board, Faulty

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
    "Account": TypeMapping(type="Account", source="bank", collection="account"),
    "Entry": TypeMapping(type="Entry", source="bank", collection="entry", key=("account_id", "line")),
    "Post": TypeMapping(type="Post", source="board", collection="post"),
    "Locker": TypeMapping(
        type="Locker", source="vault", collection="entry", key=("store", "account_id", "line"), constants={"store": "V"}
    ),
}
OPENING = Saga(
    field="openAccount",
    type="Account",
    steps=(
        Step(
            name="account", source="bank", collection="account", kind=ChangeKind.CREATE,
            key=lambda given, _: {"id": int(given["number"])}, values=lambda given, _: {"name": given["name"]},
        ),
        Step(
            name="entry", source="bank", collection="entry", kind=ChangeKind.CREATE,
            key=lambda given, _: {"account_id": int(given["number"]), "line": 1}, values=lambda _, __: {"text": "open"},
        ),
        Step(
            name="post", source="board", collection="post", kind=ChangeKind.CREATE,
            values=lambda given, made: {"text": f"welcome {made['account'].after['name']}"}, depends_on=("account",),
        ),
        Step(
            name="greeting", source="bank", collection="entry", kind=ChangeKind.CREATE,
            key=lambda given, _: {"account_id": int(given["number"]), "line": 2},
            values=lambda _, made: {"text": made["post"].after["id"]}, depends_on=("post",),
        ),
    ),
)  # fmt: skip
ANNOUNCED = replace(
    OPENING,
    field="announceAccount",
    steps=tuple(
        replace(each, compensation=Compensation.NONE) if each.name == "post" else each for each in OPENING.steps
    ),
)
MOVING = Saga(
    field="moveIn",
    type="Account",
    steps=(
        replace(OPENING.steps[0], name="account"),
        replace(OPENING.steps[1], name="locker", source="vault"),
    ),
)
DECLARED: tuple[MutationDeclaration, ...] = (
    RowMutation(field="createAccount", type="Account", kind=ChangeKind.CREATE),
    RowMutation(field="updateAccount", type="Account", kind=ChangeKind.UPDATE),
    RowMutation(field="deleteAccount", type="Account", kind=ChangeKind.DELETE),
    RowMutation(field="putEntry", type="Entry", kind=ChangeKind.PUT),
    RowMutation(field="putLocker", type="Locker", kind=ChangeKind.PUT),
    RowMutation(field="createPost", type="Post", kind=ChangeKind.CREATE),
    OPENING,
    ANNOUNCED,
    MOVING,
)
ADA = Principal(
    person_id="P1", first_name="Ada", last_name="Lovelace", email="ada@acme.example", groups=frozenset({"everyone"}),
    grants=(), key_id="K1", key_created=datetime(2026, 1, 1, tzinfo=UTC), key_expires=datetime(2027, 1, 1, tzinfo=UTC),
)  # fmt: skip
LIMITS = Limits(source_seconds=1.0)


@dataclass(slots=True, kw_only=True)
class World:
    """One process's share of it; several may stand on one state and one bank."""

    shop: MutationContext
    bank: Faulty
    board: Faulty
    vault: Faulty
    journal: list[AuditRecord] = field(default_factory=list)
    published: list[tuple[str, str, str]] = field(default_factory=list)

    async def ask(self, field: str, /, *, caller: Principal = ADA, seconds: float = 10.0, **given: Any) -> ActionResult:
        until = asyncio.get_running_loop().time() + seconds
        act = ActionCall(principal=caller, field=field, arguments={"input": given}, record_id="R1", deadline=until)
        return await build_mutation_actions(self.shop)[field](act)

    async def kept(self, record: AuditRecord) -> None:
        self.journal.append(record)

    async def settled(self) -> None:
        """Passes until one ends an intent."""
        async with asyncio.timeout(15):
            while not await recover_intents(self.shop, self.kept):  # noqa: ASYNC110 - it is asked until it says so
                await asyncio.sleep(0.1)

    async def history(self, type_name: str, overlay: Connector | None = None, **among: Any) -> list[dict[str, Any]]:
        """All rows of its changes, by column."""
        source = overlay or self.shop.catalog.connectors[HISTORY_CONNECTOR]
        columns = tuple(source.capabilities(type_name).columns)
        found = [batch async for batch in source.scan(ScanRequest(collection=type_name, columns=columns, **among))]
        return [dict(zip(columns, row, strict=True)) for batch in found for row in batch]


def world(state: MetadataDatabase, path: Path, *, board: Board | None = None, **more: Any) -> World:
    bank, board_, vault = Faulty(Bank(path)), Faulty(board or Board()), Faulty(Bank(path.with_suffix(".vault")))
    ledger = Ledger(state, lease_seconds=more.pop("lease_seconds", 2.0))
    told: list[tuple[str, str, str]] = []
    house = housed({"bank": bank, "board": board_, "vault": vault}, ledger)
    guards = {
        name: resilience.wrap_connector(name, source, LIMITS, monotonic) for name, source in house.connectors.items()
    }
    shop = MutationContext(
        catalog=house, connectors=guards, sagas=compile_sagas(house, guards, DECLARED), ledger=ledger, redaction_key=b"s" * 32,
        publish=lambda *each: told.append(each), **more,
    )  # fmt: skip
    return World(shop=shop, bank=bank, board=board_, vault=vault, published=told)


def housed(sources: Mapping[str, Any], ledger: Ledger) -> Catalog:
    parts: dict[str, Any] = {
        "schema": build_schema(SDL), "policy": AccessPolicy({}), "mappings": add_history_mappings(BINDINGS, BINDINGS), "version": "",
        "cursor_secret": b"c" * 32,
    }  # fmt: skip
    return Catalog(
        connectors={
            **sources,
            HISTORY_CONNECTOR: HistoryConnector(ledger, build_tracked_types(parts["mappings"], sources)),
        },
        **parts,
    )


Open = Callable[..., World]
