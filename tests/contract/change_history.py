"""Open a history connector over a metadata database with changes of two types."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from onedoor.mutations import intents
from onedoor.mutations.history import VALUES_ID_COLUMN, VALUES_SUFFIX, HistoryConnector, RowKey, TrackedType
from onedoor.mutations.intents import HistoryRow, Intent, IntentOutcome, IntentState
from onedoor.mutations.ledger import Ledger
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.storage.database import open_database
from tests.acme import NOW
from tests.metadata import copy_sqlite

PEPPER = b"a pepper of at least thirty-two characters"
KINDS = {
    "id": ColumnType.INTEGER,
    "name": ColumnType.TEXT,
    "credit": ColumnType.DECIMAL,
    "at": ColumnType.TIME,
    "tags": ColumnType.LIST,
}
COLUMNS = {name: Column(kind) for name, kind in KINDS.items()}
KEYS = {
    "Customer": ("id",),
    "Customer" + VALUES_SUFFIX: (VALUES_ID_COLUMN,),
    "Order": ("id",),
    "Order" + VALUES_SUFFIX: (VALUES_ID_COLUMN,),
}
ROW = {"id": 7, "name": "\ud800 é", "credit": None, "at": NOW, "tags": ("a", "b")}


@asynccontextmanager
async def open_history(folder: Path) -> AsyncIterator[HistoryConnector]:
    state = open_database(copy_sqlite(folder), PEPPER)
    ledger = Ledger(state)
    for number in range(12):
        await _record_change(ledger, number)
    kept_of = TrackedType(
        row_key=RowKey(capabilities=Capabilities(columns=COLUMNS), id_columns=("id",), constants={}), column_types=KINDS
    )
    yield HistoryConnector(ledger, {"Customer": kept_of, "Order": kept_of})
    ledger.close()
    state.close()


async def _record_change(ledger: Ledger, number: int) -> None:
    name = ledger.new_id()
    intent = Intent(
        id=name, person="P1", key_id="K1", groups=("sales",), mutation="m", idempotency_key=None, body=b"", input="{}",
        reason=None, record="R1", steps=1, leads=f"{name}-1", begun_at=NOW,
    )  # fmt: skip
    assert await ledger.begin_intent(intent, ()) is None
    left = HistoryRow(
        id=f"{name}-1", intent_id=name, type="Order" if number % 3 else "Customer", row=("7", "é", "a:b")[number % 2],
        verb="update", state=IntentState.DONE, version_before=None, version_after="2", at=NOW, person="P1",
        mutation="m",
        before=intents.encode_row(ROW if number % 4 else None), after=intents.encode_row({**ROW, "id": number}),
        reason=None if number % 2 else "why", record="R1",
    )  # fmt: skip
    await ledger.end_intent(IntentOutcome(intent_id=name, state=IntentState.DONE, history=(left,)))
