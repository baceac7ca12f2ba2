"""A receipt proves that one answer was given to one person, shows no other record, and proves nothing else."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from onedoor.audit.checkpointer import Sealing
from onedoor.audit.log import open_audit_log
from onedoor.audit.receipts import ReceiptRefused, check_receipt, extract_data, find_receipt, hash_answer
from onedoor.audit.record import AuditRecord
from onedoor.audit.statements import TrustedKey, TrustedKeys
from tests.audit.conftest import AT
from tests.audit.sealed_logs import KEYS, NEVER, OTHER_SIGNER, SIGNER

Make = Callable[..., AuditRecord]
START = datetime(2026, 11, 1, 12, tzinfo=UTC)
DATA = b'{"customer":{"name":"Ada"}}'
ANSWER = b'{"data":' + DATA + b',"extensions":{"onedoor":{}}}'
TRUSTED = TrustedKeys(KEYS)


@pytest.fixture
async def folder_with_answers(folder: Path, record: Make) -> Path:
    """A log of nine answers and a checkpoint in their midst; the fifth is the one to prove."""
    audit_log = open_audit_log(folder, START, sealing=Sealing(signer=SIGNER, seconds=NEVER))
    assert audit_log.checkpointer is not None
    for number in range(9):
        digest = hash_answer(DATA if number == 5 else str(number).encode())
        await audit_log.append(record(number, person=f"p{number}", digest=digest, salt=f"{number:032}"))
        if number == 3:
            audit_log.checkpointer.seal()
    audit_log.close()
    return folder


def load_receipt(folder: Path, id: str) -> Mapping[str, Any]:
    receipt = find_receipt(folder, id)
    assert receipt is not None
    shown: Mapping[str, Any] = orjson.loads(orjson.dumps(asdict(receipt)))
    return shown


@pytest.fixture
def receipt(folder_with_answers: Path, record: Make) -> Mapping[str, Any]:
    return load_receipt(folder_with_answers, record(5).id)


@pytest.mark.parametrize("answer", [ANSWER, DATA, b'{\n  "data": {"customer": {"name": "Ada"}}\n}\n'])
def test_a_receipt_proves_who_was_given_the_answer_and_when(
    receipt: Mapping[str, Any], record: Make, answer: bytes
) -> None:
    proved = check_receipt(answer, receipt, TRUSTED)
    assert (proved["id"], proved["person"], proved["time"]) == (record(5).id, "p5", record(5).time)


@pytest.mark.parametrize("number", range(9))
def test_every_answer_has_a_receipt(folder_with_answers: Path, record: Make, number: int) -> None:
    receipt = load_receipt(folder_with_answers, record(number).id)
    answer = DATA if number == 5 else str(number).encode()
    assert check_receipt(answer, receipt, TRUSTED)["person"] == f"p{number}"


def test_a_receipt_shows_no_other_record_and_of_its_own_no_source_and_no_field(receipt: Mapping[str, Any]) -> None:
    text = orjson.dumps(receipt).decode()
    assert "p4" not in text
    assert not any(word in text for word in ("warehouse", "finance.invoice", "Customer"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rest": "0" * 64}, "the record is not among those that the checkpoint seals"),
        ({"place": 3}, "the record is not among those that the checkpoint seals"),
        ({"size": 9}, "the record is not among those that the checkpoint seals"),
        ({"path": []}, "the record is not among those that the checkpoint seals"),
        ({"checkpoint": None}, "the record was not sealed yet"),
        ({"checkpoint": "{}"}, "the checkpoint is signed by no key"),
        ({"statement": "{"}, "this is no receipt"),
        ({"rest": "none"}, "this is no receipt"),
    ],
)
def test_a_receipt_that_was_altered_proves_nothing(
    receipt: Mapping[str, Any], changes: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(ReceiptRefused, match=message):
        check_receipt(ANSWER, {**receipt, **changes}, TRUSTED)


def test_a_receipt_names_nobody_else(receipt: Mapping[str, Any]) -> None:
    forged = {**receipt, "statement": receipt["statement"].replace('"p5"', '"p6"')}
    with pytest.raises(ReceiptRefused, match="not among those"):
        check_receipt(ANSWER, forged, TRUSTED)


def test_another_answer_and_another_key_are_refused(receipt: Mapping[str, Any]) -> None:
    with pytest.raises(ReceiptRefused, match="for another answer"):
        check_receipt(ANSWER.replace(b"Ada", b"Eva"), receipt, TRUSTED)
    with pytest.raises(ReceiptRefused, match="signed by no key"):
        check_receipt(ANSWER, receipt, TrustedKeys([TrustedKey(public_key=OTHER_SIGNER.public_key)]))


@pytest.mark.parametrize(
    "answer",
    [
        b'{"data":' + DATA + b',"data":{"customer":{"name":"Eva"}}}',
        b'{"data":{"customer":{"name":"Eva","name":"Ada"}}}',
        b'{"data":' + DATA + b',"errors":[{"path":[],"path":[1]}]}',
        ANSWER + b'{"data":{"customer":{"name":"Eva"}}}',
        b'{"data":' + DATA + b",",
    ],
    ids=["data twice", "a name in data twice", "a name beside data twice", "text behind it", "no JSON"],
)
def test_an_answer_that_two_readers_may_read_differently_is_refused(receipt: Mapping[str, Any], answer: bytes) -> None:
    with pytest.raises(ReceiptRefused, match="not one JSON text in which no object has a name twice"):
        check_receipt(answer, receipt, TRUSTED)


async def test_before_the_checkpoint_there_is_no_path(folder: Path, record: Make) -> None:
    audit_log = open_audit_log(folder, START, sealing=Sealing(signer=SIGNER, seconds=NEVER))
    await audit_log.append(record(1, digest=hash_answer(DATA)))
    receipt = find_receipt(folder, record(1).id)
    audit_log.close()
    assert receipt is not None
    assert (receipt.digest, receipt.checkpoint, receipt.path) == (hash_answer(DATA), None, ())


@pytest.mark.parametrize("id", ["", "no id", "0" * 26, "../" * 9, "U" * 26, "Z" * 26, "0" * 25 + "L", "7" + "Z" * 25])
def test_what_is_no_record_has_no_receipt(folder_with_answers: Path, id: str) -> None:
    assert find_receipt(folder_with_answers, id) is None


def test_a_receipt_is_for_the_person_who_was_answered(folder_with_answers: Path, record: Make) -> None:
    assert find_receipt(folder_with_answers, record(5).id, "p4") is None
    assert find_receipt(folder_with_answers, record(5).id, "p5") == find_receipt(folder_with_answers, record(5).id)


async def test_what_was_asked_before_a_file_and_answered_in_it_has_a_receipt(folder: Path, record: Make) -> None:
    audit_log = open_audit_log(folder, AT + timedelta(minutes=5), sealing=Sealing(signer=SIGNER, seconds=NEVER))
    await audit_log.append(record(1, digest=hash_answer(DATA)))
    audit_log.close()
    assert check_receipt(ANSWER, load_receipt(folder, record(1).id), TRUSTED)["id"] == record(1).id


async def test_a_record_without_an_answer_has_no_receipt(folder: Path, record: Make) -> None:
    audit_log = open_audit_log(folder, START)
    await audit_log.append(record(1))
    audit_log.close()
    assert find_receipt(folder, record(1).id) is None


@pytest.mark.parametrize(
    ("body", "data"),
    [
        (b'{"errors":[{"message":"\\"data\\":1"}],"data":{"a":1.0,"b":[]},"extensions":{}}', b'{"a":1.0,"b":[]}'),
        (b' { "data" : null }', b"null"),
        (b'{"errors":[]}', None),
        (b"[1]", None),
        (b'{"data":', None),
        (b"\xff", None),
    ],
)
def test_data_is_cut_out_of_an_answer_as_it_stands(body: bytes, data: bytes | None) -> None:
    assert extract_data(body) == data
