"""Build small worlds with rows to change: accounts and entries in a bank, posts on a board, lockers in a vault."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
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
from onedoor.mutations.recovery import PASS_INTERVAL_SECONDS, recover_intents
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
MAPPINGS = {
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
            name="account",
            source="bank",
            collection="account",
            kind=ChangeKind.CREATE,
            key=lambda given, _: {"id": int(given["number"])},
            values=lambda given, _: {"name": given["name"]},
        ),
        Step(
            name="entry",
            source="bank",
            collection="entry",
            kind=ChangeKind.CREATE,
            key=lambda given, _: {"account_id": int(given["number"]), "line": 1},
            values=lambda _, __: {"text": "open"},
        ),
        Step(
            name="post",
            source="board",
            collection="post",
            kind=ChangeKind.CREATE,
            values=lambda given, results: {"text": f"welcome {results['account'].after['name']}"},
            depends_on=("account",),
        ),
        Step(
            name="greeting",
            source="bank",
            collection="entry",
            kind=ChangeKind.CREATE,
            key=lambda given, _: {"account_id": int(given["number"]), "line": 2},
            values=lambda _, results: {"text": results["post"].after["id"]},
            depends_on=("post",),
        ),
    ),
)
ANNOUNCED = replace(
    OPENING,
    field="announceAccount",
    steps=tuple(
        replace(step, compensation=Compensation.NONE) if step.name == "post" else step for step in OPENING.steps
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
DECLARATIONS: tuple[MutationDeclaration, ...] = (
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
    person_id="P1",
    first_name="Ada",
    last_name="Lovelace",
    email="ada@acme.example",
    groups=frozenset({"everyone"}),
    grants=(),
    key_id="K1",
    key_created=datetime(2026, 1, 1, tzinfo=UTC),
    key_expires=datetime(2027, 1, 1, tzinfo=UTC),
)
LIMITS = Limits(source_seconds=1.0)
PASSES_MAX = 40


class MovableClock:
    """The database's clock, moved forward by as much as a test likes."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now, self._moved = now, timedelta()

    def __call__(self) -> datetime:
        return self._now() + self._moved

    def advance(self, seconds: float) -> None:
        self._moved += timedelta(seconds=seconds)


@dataclass(slots=True, kw_only=True)
class World:
    """One process that applies mutations; several may share one metadata database and one bank."""

    context: MutationContext
    clock: MovableClock
    bank: Faulty
    board: Faulty
    vault: Faulty
    records: list[AuditRecord] = field(default_factory=list)
    published: list[tuple[str, str, str]] = field(default_factory=list)

    async def mutate(
        self, field: str, /, *, principal: Principal = ADA, seconds: float = 10.0, **fields: Any
    ) -> ActionResult:
        deadline = asyncio.get_running_loop().time() + seconds
        call = ActionCall(
            principal=principal, field=field, arguments={"input": fields}, record_id="R1", deadline=deadline
        )
        return await build_mutation_actions(self.context)[field](call)

    async def append_record(self, record: AuditRecord) -> None:
        self.records.append(record)

    async def recover(self) -> None:
        """Make passes, PASS_INTERVAL_SECONDS apart on this world's clock, until one ends an intent."""
        for _ in range(PASSES_MAX):
            self.clock.advance(PASS_INTERVAL_SECONDS)
            if await recover_intents(self.context, self.append_record):
                return
        raise AssertionError("no pass ended an intent")

    async def read_history(
        self, collection: str, overlay: Connector | None = None, **request: Any
    ) -> list[dict[str, Any]]:
        """Return the rows of the history, by column."""
        source = overlay or self.context.catalog.connectors[HISTORY_CONNECTOR]
        columns = tuple(source.capabilities(collection).columns)
        scan = source.scan(ScanRequest(collection=collection, columns=columns, **request))
        return [dict(zip(columns, row, strict=True)) async for batch in scan for row in batch]


def build_world(
    database: MetadataDatabase, path: Path, *, board: Board | None = None, lease_seconds: float = 2.0, **options: Any
) -> World:
    """Build a world whose bank is at `path`; `options` are further fields of its MutationContext."""
    sources = {
        "bank": Faulty(Bank(path)),
        "board": Faulty(board or Board()),
        "vault": Faulty(Bank(path.with_suffix(".vault"))),
    }
    clock = MovableClock(database.now)
    ledger = Ledger(replace(database, now=clock), lease_seconds=lease_seconds)
    published: list[tuple[str, str, str]] = []
    catalog = build_catalog(sources, ledger)
    connectors = {
        name: resilience.wrap_connector(name, source, LIMITS, monotonic) for name, source in catalog.connectors.items()
    }
    context = MutationContext(
        catalog=catalog,
        connectors=connectors,
        sagas=compile_sagas(catalog, connectors, DECLARATIONS),
        ledger=ledger,
        redaction_key=b"s" * 32,
        publish=lambda type_name, row, change_id: published.append((type_name, row, change_id)),
        **options,
    )
    return World(context=context, clock=clock, published=published, **sources)


def build_catalog(sources: Mapping[str, Any], ledger: Ledger) -> Catalog:
    mappings = add_history_mappings(MAPPINGS, MAPPINGS)
    history = HistoryConnector(ledger, build_tracked_types(mappings, sources))
    return Catalog(
        schema=build_schema(SDL),
        policy=AccessPolicy({}),
        mappings=mappings,
        connectors={**sources, HISTORY_CONNECTOR: history},
        version="",
        cursor_secret=b"c" * 32,
    )


OpenWorld = Callable[..., World]
