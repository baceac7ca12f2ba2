"""How the lines of a journal hold together: each holds the digest of the line before it. Pure."""

import re
from hashlib import sha256
from typing import Any

import orjson

PREV = re.compile(rb'\{"prev":"([0-9a-f]{64})"[,}]')


def header(started: str, process: int) -> bytes:
    """The first line of a file; the chain hangs from it."""
    return orjson.dumps({"journal": "onedoor", "version": 1, "started": started, "process": process})


def linked(body: bytes, prev: str) -> bytes:
    """A record's line with the digest of the line before put first in it."""
    return b'{"prev":"' + prev.encode() + b'",' + body[1:]


def digest(line: bytes) -> str:
    """SHA-256 of a line without its line end, in hex."""
    return sha256(line).hexdigest()


def follows(line: bytes, before: bytes) -> bool:
    """Whether a line holds the digest of the one before."""
    match = PREV.match(line)
    return match is not None and match[1].decode() == digest(before)


def whole(line: bytes) -> bool:
    """Whether a line, as read from a file, was written to its end: a crash may tear the last one."""
    return line.endswith(b"\n")


def parsed(line: bytes) -> dict[str, Any] | None:
    """The record of a line; None where it is none."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return record if isinstance(record, dict) else None
