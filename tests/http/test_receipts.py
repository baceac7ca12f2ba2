"""Over the wire: the digest of what was sent is on record, and the receipt proves the bytes that came."""

import asyncio
import hashlib
from dataclasses import asdict
from typing import Any

from onedoor.audit.checkpointer import Sealing
from onedoor.audit.receipts import check_receipt, extract_data, find_receipt
from onedoor.audit.statements import TrustedKeys
from tests.audit.sealed_logs import KEYS, NEVER, SIGNER
from tests.http.conftest import OpenServer, RunningServer

CUSTOMER = "{ customer(id: 1) { name creditLimit } }"
WITH_RECEIPT: Any = {"extensions": {"onedoor": {"receipt": True}}}


async def test_an_answer_is_proved_by_the_log(open_server: OpenServer) -> None:
    server: RunningServer = await open_server(sealing=Sealing(signer=SIGNER, seconds=NEVER))
    reply = await server.ask(CUSTOMER, **WITH_RECEIPT)
    checkpointer = server.app_state.executor.audit_log.checkpointer
    assert checkpointer is not None
    await asyncio.to_thread(checkpointer.seal)
    (record,) = server.records()
    data = extract_data(reply.raw)
    assert data is not None
    assert reply.body["extensions"]["onedoor"]["receipt"] == {
        "record": record["id"], "algorithm": "SHA-256", "digest": hashlib.sha256(data).hexdigest(),
    }  # fmt: skip
    receipt = find_receipt(server.folder, reply.headers["x-request-id"])
    assert receipt is not None
    proved = check_receipt(reply.raw, asdict(receipt), TrustedKeys(KEYS))
    assert (proved["person"], proved["digest"]) == (record["person"], record["digest"])


async def test_a_digest_is_recorded_of_every_answer_and_of_nothing_else(server: RunningServer) -> None:
    replies = [await server.ask(text) for text in (CUSTOMER, "{ __typename }", "{ nobody }")]
    assert [record.get("digest") for record in server.records()] == [
        *(hashlib.sha256(extract_data(reply.raw) or b"").hexdigest() for reply in replies[:2]), None
    ]  # fmt: skip
    assert [record.get("salt") is None for record in server.records()] == [False, False, True]
    assert all("extensions" not in reply.body for reply in replies[:2])
