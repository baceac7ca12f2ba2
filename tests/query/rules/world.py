"""Keep a few accounts, deals, notes and papers, in SQLite and in memory, under rules for rows and masks."""

import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from auth.authentication import Principal
from onedoor.connectors.memory import MemoryCollection, MemoryConnector
from onedoor.connectors.sql import sqlite as sqlite_connector
from onedoor.mapping import ALL_ROWS, Lookup, Relationship, TopicSubscription, TypeMapping, attribute, bucket, last
from onedoor.model.catalog import Catalog
from onedoor.model.reader import allow_all_rows, list_masking_groups
from onedoor.mutations.context import MutationContext, build_mutation_context
from onedoor.mutations.declarations import MutationDeclaration, RowMutation
from onedoor.mutations.history import HISTORY_CONNECTOR, HistoryConnector, add_history_mappings, build_tracked_types
from onedoor.mutations.ledger import Ledger
from onedoor.mutations.service import build_mutation_actions
from onedoor.query.context import ExecutionResult, QueryEngine
from onedoor.query.startup_checks import validate_catalog, validate_mutations
from onedoor.schema.builder import build_schema_and_policy
from onedoor.schema.builtin import load_builtin_module
from onedoor.spi.capabilities import Capabilities, ColumnType
from onedoor.spi.connector import ChangeKind, Connector
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest
from onedoor.storage.database import open_database
from tests import acme
from tests.metadata import PEPPER, copy_sqlite
from tests.query.rules import subjects

TABLES = """
CREATE TABLE account (id INTEGER PRIMARY KEY, name TEXT, region TEXT, phone TEXT, email TEXT, "limit" INTEGER);
CREATE TABLE deal (id INTEGER PRIMARY KEY, title TEXT, amount INTEGER, account_id INTEGER REFERENCES account (id),
  paper_id INTEGER);
INSERT INTO account VALUES (1, 'Ada', 'EU', '+43 1 5551234', 'ada@a.example', 2500),
  (2, 'Bob', 'US', '1234', 'bob@b.example', 900), (3, 'Cyd', NULL, NULL, NULL, NULL),
  (4, 'Dan', 'EU', '+43 1 5554711', 'dan@d.example', 0);
INSERT INTO deal (id, title, amount, account_id) VALUES
  (10, 'red', 5, 1), (11, 'blue', 7, 2), (12, 'green', 1, 3), (13, 'none', 2, NULL),
  (14, 'grey', 3, 4);
"""
INTEGER, TEXT = ColumnType.INTEGER, ColumnType.TEXT
NOTES = MemoryConnector(
    {
        "note": MemoryCollection(
            capabilities=acme.sql({"id": INTEGER, "text": TEXT, "account_id": INTEGER}, acme.FOLDED, 100),
            rows=[(100, "x", 1), (101, "y", 2), (102, "z", 3)],
        )
    }
)
CONTRACTS = ((1, "a", 1, None), (2, "b", 2, None), (3, "c", None, None))
MEMOS = ((1, "m", 2, "Eve"),)
REGION = {"region": attribute("region")}
MASKS = {
    "phone": {"desk": last(4), "vendor": last(2)},
    "email": {"desk": last(3)},
    "band": {"desk": bucket(1000), "vendor": bucket(10_000)},
}
ACCOUNT = TypeMapping(
    type="Account",
    source="db",
    collection="account",
    columns={"band": "limit"},
    relationships={
        "deals": Relationship(to="Deal", local="id", remote="account_id"),
        "notes": Relationship(to="Note", local="id", remote="account_id"),
        "papers": Relationship(to="Paper", local="id", remote="account_id"),
    },
    rows={"staff": ALL_ROWS, "desk": {"region": "EU"}, "vendor": REGION},
    mask=MASKS,
)
DEAL = TypeMapping(
    type="Deal",
    source="db",
    collection="deal",
    relationships={
        "account": Relationship(to="Account", local="account_id", remote="id"),
        "paper": Relationship(to="Paper", local="paper_id", remote="id"),
    },
    lookups={
        "accountName": Lookup(source="db", collection="account", local="account_id", remote="id", column="name"),
    },
)
ACCOUNT_LINK = Relationship(to="Account", local="account_id", remote="id")
NOTE = TypeMapping(type="Note", source="elsewhere", collection="note", relationships={"account": ACCOUNT_LINK})
CONTRACT = TypeMapping(
    type="Contract",
    source="CONTRACT",
    collection="paper",
    key=("kind", "id"),
    constants={"kind": "CONTRACT"},
    relationships={"account": ACCOUNT_LINK},
    rows={"staff": ALL_ROWS, "desk": ALL_ROWS, "vendor": {"account": REGION}},
)
MEMO = TypeMapping(type="Memo", source="MEMO", collection="paper", key=("kind", "id"), constants={"kind": "MEMO"})
MAPPINGS = {mapping.type: mapping for mapping in (ACCOUNT, DEAL, NOTE, CONTRACT, MEMO)}
MUTATIONS: tuple[MutationDeclaration, ...] = (
    RowMutation(field="createAccount", type="Account", kind=ChangeKind.CREATE),
    RowMutation(field="updateAccount", type="Account", kind=ChangeKind.UPDATE),
    RowMutation(field="deleteAccount", type="Account", kind=ChangeKind.DELETE),
    RowMutation(field="updateDeal", type="Deal", kind=ChangeKind.UPDATE),
)
SUBSCRIPTIONS = {"accountChanged": TopicSubscription(topic="Account", argument="id")}


def person(*groups: str, **attributes: str) -> Principal:
    own = {name: tuple(values.split()) for name, values in attributes.items()}
    return replace(acme.caller(*groups), groups=frozenset({"everyone", *groups}), attributes=own)


STAFF, DESK, VENDOR = person("staff"), person("desk"), person("vendor", region="EU")
"""Who sees all accounts, those of Europe by a constant, and those of Europe by an attribute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    engine: QueryEngine
    mutations: MutationContext

    async def ask(self, who: Principal, text: str, **variables: Any) -> ExecutionResult:
        return await acme.ask_as(self.engine, who, text, variables=variables)


@asynccontextmanager
async def open_world(
    folder: Path, *, forgets_promises: bool = False, contracts: Sequence[Row] = CONTRACTS
) -> AsyncIterator[World]:
    """Open the tables in a folder, of whose connectors nothing is promised if they forget it."""
    path = folder / "db.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(TABLES)
    connectors: dict[str, Connector] = {
        "db": await sqlite_connector.connect(
            sqlite_connector.SqliteOptions(path=str(path), writable=("account", "deal"))
        ),
        "elsewhere": NOTES,
        "CONTRACT": build_papers(contracts),
        "MEMO": build_papers(MEMOS),
    }
    if forgets_promises:
        connectors = {name: Forgetful(connector) for name, connector in connectors.items()}
    with closing(open_database(copy_sqlite(folder), PEPPER)) as database, closing(Ledger(database)) as ledger:
        catalog = build_catalog(connectors, ledger)
        engine = acme.open_engine(catalog)
        mutations = build_mutation_context(engine, MUTATIONS, ledger=ledger, redaction_key=b"r" * 32)
        catalog.actions.update(build_mutation_actions(mutations))
        validate_mutations(catalog)
        yield World(engine=engine, mutations=mutations)
        for connector in connectors.values():
            await connector.close()


def build_papers(rows: Sequence[Row]) -> MemoryConnector:
    columns = {"id": INTEGER, "name": TEXT, "account_id": INTEGER, "author": TEXT}
    capabilities = acme.sql(columns, acme.FOLDED, 100)
    return MemoryConnector({"paper": MemoryCollection(capabilities=capabilities, rows=rows)})


def build_catalog(connectors: Mapping[str, Connector], ledger: Ledger, **changed: TypeMapping) -> Catalog:
    """Build the catalog, some of its mappings changed."""
    mappings = add_history_mappings({**MAPPINGS, **changed}, ["Account", "Deal"])
    schema, policy = build_schema_and_policy(
        [subjects, load_builtin_module("changes", None)], list_masking_groups(mappings)
    )
    catalog = Catalog(
        schema=schema,
        policy=allow_all_rows(policy, mappings),
        mappings=mappings,
        connectors={
            **connectors,
            HISTORY_CONNECTOR: HistoryConnector(ledger, build_tracked_types(mappings, connectors)),
        },
        subscriptions=SUBSCRIPTIONS,
        cursor_secret=b"a secret of the tests",
        version="1",
    )
    validate_catalog(catalog)
    return catalog


class Forgetful:
    """A connector that answers as another does, and promises nothing but what it can be changed by."""

    def __init__(self, connector: Any) -> None:
        self.connector = connector

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connector, name)

    def capabilities(self, collection: str) -> Capabilities:
        return acme.nothing(self.connector.capabilities(collection))

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        assert request == ScanRequest(collection=request.collection, columns=request.columns)
        async for rows in self.connector.scan(request):
            yield rows

    async def ping(self) -> None:
        await self.connector.ping()

    async def close(self) -> None:
        await self.connector.close()
