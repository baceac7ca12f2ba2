"""`receipt(record:)` shows their own receipts to everyone, and all to auditors."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from onedoor.audit.checkpointer import Sealing
from onedoor.audit.log import open_audit_log
from onedoor.audit.receipts import check_receipt, hash_answer
from onedoor.audit.statements import TrustedKeys
from onedoor.query.context import QueryEngine
from tests import acme
from tests.audit.conftest import record_of
from tests.audit.sealed_logs import KEYS, NEVER, SIGNER
from tests.query.access.services import open_engine

DATA = b'{"me":{"firstName":"Ada"}}'
RECEIPT = """query ($record: ID!) { receipt(record: $record) {
  record time person algorithm digest statement rest place size path checkpoint
} }"""


@pytest.fixture
async def engine(tmp_path: Path) -> QueryEngine:
    """An engine whose records are one answer to Acme's person in `sales`, and one to somebody else."""
    audit_log = open_audit_log(
        tmp_path, datetime(2026, 11, 1, tzinfo=UTC), sealing=Sealing(signer=SIGNER, seconds=NEVER)
    )
    for number, person in enumerate((acme.caller("sales").person_id, "another")):
        await audit_log.append(record_of(number, person=person, digest=hash_answer(DATA), salt="5" * 32))
    await asyncio.to_thread(audit_log.close)
    return open_engine(acme.build_catalog(), records=tmp_path)


async def ask_receipt(engine: QueryEngine, number: int, group: str) -> Any:
    result = await acme.ask(engine, RECEIPT, group, variables={"record": record_of(number).id})
    assert result.errors == []
    assert result.data is not None
    return result.data["receipt"]


async def test_what_is_answered_proves_the_answer(engine: QueryEngine) -> None:
    receipt = await ask_receipt(engine, 0, "sales")
    assert check_receipt(DATA, receipt, TrustedKeys(KEYS))["person"] == acme.caller("sales").person_id


@pytest.mark.parametrize(("number", "group", "is_shown"), [(0, "sales", True), (1, "sales", False), (1, "audit", True)])
async def test_a_receipt_is_shown_to_its_person_and_to_auditors(
    engine: QueryEngine, number: int, group: str, *, is_shown: bool
) -> None:
    assert (await ask_receipt(engine, number, group) is not None) == is_shown
