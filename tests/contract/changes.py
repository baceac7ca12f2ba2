"""The history of changes under contract: a state with changes of two types in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from auth.state import opened
from engine.change import kept
from engine.change.bindings import VALUES, VALUES_ID
from engine.change.history import History, Kept
from engine.change.row_key import RowKey
from engine.words import Can, Column, Kind
from records.intents import Ending, Intent, Left, State
from records.ledger import Ledger
from tests.acme import NOW

PEPPER = b"a pepper of at least thirty-two characters"
KINDS = {"id": Kind.INTEGER, "name": Kind.TEXT, "credit": Kind.DECIMAL, "at": Kind.TIME, "tags": Kind.LIST}
COLUMNS = {name: Column(kind) for name, kind in KINDS.items()}
KEYS = {"Customer": ("id",), "Customer" + VALUES: (VALUES_ID,), "Order": ("id",), "Order" + VALUES: (VALUES_ID,)}
ROW = {"id": 7, "name": "\ud800 é", "credit": None, "at": NOW, "tags": ("a", "b")}


@asynccontextmanager
async def history(folder: Path) -> AsyncIterator[History]:
    state = opened(f"sqlite:///{folder}/state.sqlite", PEPPER)
    ledger = Ledger(state)
    for number in range(12):
        await _changed(ledger, number)
    kept_of = Kept(key=RowKey(can=Can(columns=COLUMNS), columns=("id",), fixed={}), kinds=KINDS)
    yield History(ledger, {"Customer": kept_of, "Order": kept_of})
    ledger.close()
    state.close()


async def _changed(ledger: Ledger, number: int) -> None:
    name = ledger.new_id()
    intent = Intent(
        id=name, person="P1", key_id="K1", groups=("sales",), mutation="m", idempotency_key=None, body=b"", input="{}",
        reason=None, record="R1", steps=1, leads=f"{name}-1", begun_at=NOW,
    )  # fmt: skip
    assert await ledger.begin(intent, ()) is None
    left = Left(
        id=f"{name}-1", intent_id=name, type="Order" if number % 3 else "Customer", row=("7", "é", "a:b")[number % 2],
        verb="update", state=State.DONE, version_before=None, version_after="2", at=NOW, person="P1", mutation="m",
        before=kept.row_text(ROW if number % 4 else None), after=kept.row_text({**ROW, "id": number}),
        reason=None if number % 2 else "why", record="R1",
    )  # fmt: skip
    await ledger.end(Ending(intent_id=name, state=State.DONE, left=(left,)))
