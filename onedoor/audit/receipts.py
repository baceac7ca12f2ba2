"""Give a receipt for an answer: proof that the sealed log says who was given it; and check one, months later.

An answer is the exact text of `data` in a response. Its digest stands in the record of the request, in the part of the
line that is shown in a receipt; of the rest of the line, and of all other lines, digests alone are shown.
"""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from onedoor.audit import log, reader
from onedoor.audit.checkpoints import Checkpoint, parse_checkpoint
from onedoor.audit.merkle import build_path, compute_root, compute_root_from_path, hash_leaf, hash_line_leaf, split_line
from onedoor.audit.record import ID_LENGTH, decode_record_time
from onedoor.audit.statements import (
    STATEMENT_OFFSET,
    StatementKind,
    TrustedKeys,
    parse_statement,
)
from onedoor.errors import OnedoorError

ALGORITHM = "SHA-256"

RECORD_ID_PATTERN = re.compile(f"[0-7][0-9A-HJKMNP-TV-Z]{{{ID_LENGTH - 1}}}")

CHECKPOINT_MEMBER = f'"{StatementKind.CHECKPOINT}":'.encode()


class ReceiptRefused(OnedoorError):
    """A receipt proves nothing of an answer; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerReceipt:
    """What the log says of one answer, and the path from there to a signed root; no path before it is sealed."""

    record: str
    time: str
    person: str | None
    digest: str
    statement: str
    """The first part of the record's line."""
    rest: str
    """The digest of the other part."""
    place: int = 0
    size: int = 0
    path: Sequence[str] = ()
    checkpoint: str | None = None


def hash_answer(data: bytes) -> str:
    """Return the digest of an answer."""
    return sha256(data).hexdigest()


def find_receipt(folder: Path, record_id: str, person: str | None = None) -> AnswerReceipt | None:
    """Return the receipt of the answer with this record, or of one given to this person alone.

    None: there is no such record, or nothing was answered. Raises ReceiptRefused where the log was altered.
    """
    if RECORD_ID_PATTERN.fullmatch(record_id) is None:
        return None
    time = decode_record_time(record_id)
    for path in reader.list_log_files(folder):
        found = _find_answer(path, record_id) if _may_hold(path, time) else None
        if found is not None:
            number, line = found
            return _build_receipt(path, number, line, person)
    return None


def _may_hold(path: Path, time: datetime) -> bool:
    """Whether a file was written since a time and begun before, or while a request of that time may have run."""
    until = time + timedelta(seconds=log.LOCK_SECONDS)
    return path.name <= f"{until:%Y%m%dT%H%M%S.%fZ}~" and path.stat().st_mtime >= int(time.timestamp())


def _find_answer(path: Path, record_id: str) -> tuple[int, bytes] | None:
    """Return the number of the line of a record that says what was answered, and the line."""
    for number, line in enumerate(reader.read_whole_lines(path), start=1):
        if reader.parse_record_id(line) == record_id:
            shown = log.parse_line(split_line(line)[0] + b"}")
            if shown is not None and shown.get("digest") is not None:
                return number, line
    return None


def _build_receipt(path: Path, number: int, line: bytes, person: str | None) -> AnswerReceipt | None:
    shown, rest = split_line(line)
    record = orjson.loads(shown + b"}")
    if person is not None and record["person"] != person:
        return None
    return AnswerReceipt(
        record=record["id"],
        time=record["time"],
        person=record["person"],
        digest=record["digest"],
        statement=shown.decode(),
        rest=sha256(rest).hexdigest(),
        **_find_proof(path, number),
    )


def _find_proof(path: Path, number: int) -> Mapping[str, Any]:
    """Return the path of a line and the checkpoint that covers it, if there is one yet."""
    found = _find_checkpoint(path, number)
    if found is None:
        return {}
    body, checkpoint = found
    first, lines = checkpoint.state.first, checkpoint.state.lines
    leaves = [hash_line_leaf(line) for line in islice(reader.read_whole_lines(path), first - 1, lines)]
    if compute_root(leaves).hex() != checkpoint.state.root:
        raise ReceiptRefused("the log does not fit its checkpoints: run `python -m onedoor audit verify`")
    return {
        "place": number - first,
        "size": len(leaves),
        "path": tuple(node.hex() for node in build_path(leaves, number - first)),
        "checkpoint": body.decode(),
    }


def _find_checkpoint(path: Path, number: int) -> tuple[bytes, Checkpoint] | None:
    """Return the checkpoint that covers a line, as it was signed and parsed."""
    for line in islice(reader.read_whole_lines(path), number, None):
        statement = parse_statement(line) if line.startswith(CHECKPOINT_MEMBER, STATEMENT_OFFSET) else None
        checkpoint = None if statement is None else parse_checkpoint(statement)
        if statement is not None and checkpoint is not None and checkpoint.state.lines >= number:
            return statement.to_body(), checkpoint
    return None


def check_receipt(answer: bytes, receipt: Mapping[str, Any], trusted: TrustedKeys) -> Mapping[str, Any]:
    """Check that an answer is the one of a receipt, and return what the record says: `id`, `time`, `person` and more.

    `answer` is a response, or its `data` alone. Raises ReceiptRefused.
    """
    try:
        shown = str(receipt["statement"]).encode()
        record: dict[str, Any] = orjson.loads(shown + b"}")
        digest, rest = record["digest"], bytes.fromhex(receipt["rest"])
        path = [bytes.fromhex(node) for node in receipt["path"]]
        place, size = int(receipt["place"]), int(receipt["size"])
    except (KeyError, TypeError, ValueError) as reason:
        raise ReceiptRefused("this is no receipt: store what `receipt(record:)` answers") from reason
    if receipt.get("checkpoint") is None:
        raise ReceiptRefused("the record was not sealed yet: ask for the receipt again after the next checkpoint")
    _check_names(answer)
    if digest not in {hash_answer(data) for data in _list_answers(answer)}:
        raise ReceiptRefused("the receipt is for another answer: its digest is not that of `data`")
    statement = parse_statement(str(receipt["checkpoint"]).encode())
    checkpoint = None if statement is None else parse_checkpoint(statement)
    if statement is None or checkpoint is None or not trusted.vouch_for(statement):
        raise ReceiptRefused("the checkpoint is signed by no key that is trusted at its time")
    leaf = hash_leaf(sha256(shown).digest() + rest)
    root = compute_root_from_path(leaf, place, size, path)
    if (
        root is None
        or root.hex() != checkpoint.state.root
        or size != checkpoint.state.lines - checkpoint.state.first + 1
    ):
        raise ReceiptRefused("the record is not among those that the checkpoint seals")
    return {**record, "sealed": checkpoint.time, "key": statement.content["key"]}


def _check_names(answer: bytes) -> None:
    """Refuse what two readers may read differently: readers disagree on which of two members with one name counts."""
    try:
        json.loads(answer.decode(), object_pairs_hook=_collect_members)
    except (ValueError, RecursionError) as reason:
        raise ReceiptRefused("the answer is not one JSON text in which no object has a name twice") from reason


def _collect_members(members: Sequence[tuple[str, Any]]) -> Mapping[str, Any]:
    """Make an object of its members. Raises ValueError where a name stands twice."""
    collected = dict(members)
    if len(collected) < len(members):
        raise ValueError("a name stands twice")
    return collected


def _list_answers(answer: bytes) -> list[bytes]:
    """Return what may be the answer: the text itself, `data` in it as it stands, and `data` as it would be written."""
    answers = [answer.strip()]
    data = extract_data(answer)
    if data is not None:
        answers.append(data)
        with suppress(orjson.JSONDecodeError):
            answers.append(orjson.dumps(orjson.loads(data)))
    return answers


def extract_data(body: bytes) -> bytes | None:
    """Return the text of the member `data` of a JSON object, exactly as it stands there; None: there is none."""
    decoder = json.JSONDecoder()
    try:
        text = body.decode().strip()
        place = _skip_space(text, 1) if text.startswith("{") else len(text)
        while text[place] == '"':
            name, place = decoder.raw_decode(text, place)
            start = _skip_space(text, _skip_space(text, place) + 1)
            _, place = decoder.raw_decode(text, start)
            if name == "data":
                return text[start:place].encode()
            place = _skip_space(text, _skip_space(text, place) + 1)
    except (ValueError, IndexError):
        return None
    return None


def _skip_space(text: str, place: int) -> int:
    while place < len(text) and text[place] in " \t\r\n":
        place += 1
    return place
