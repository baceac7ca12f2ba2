"""Decode files as hostile ones may have it: each decoder does one thing wrong, or tells on itself."""

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from typing import Any

from onedoor.connectors.files.reader_process import FRAME_HEADER, RANGE, Frame, FrameKind, RangeFile

ROW = Frame(FrameKind.ROW, b"{}")

hoard = bytearray()


def abort(file: RangeFile, request: Mapping[str, Any]) -> Iterator[Frame]:
    yield ROW
    os.abort()


def crash(file: RangeFile, request: Mapping[str, Any]) -> Iterator[Frame]:
    yield ROW
    os.kill(os.getpid(), signal.SIGSEGV)


def crash_at_second_file(file: RangeFile, request: Mapping[str, Any]) -> Iterator[Frame]:
    yield from crash(file, request) if hoard else (ROW,)
    hoard.extend(b"x")


def leave(file: RangeFile, request: Mapping[str, Any]) -> Iterator[Frame]:
    yield ROW
    os._exit(0)


def raise_error(file: RangeFile, request: Mapping[str, Any]) -> Iterator[Frame]:
    yield ROW
    raise RuntimeError


def eat_memory(file: RangeFile, request: Mapping[str, Any]) -> Iterator[Frame]:
    while True:
        hoard.extend(bytes(2**24))
        yield from ()


def abort_for_memory(file: RangeFile, request: Mapping[str, Any]) -> Iterator[Frame]:
    os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
    yield from abort(file, request)


def spin(file: RangeFile, request: Mapping[str, Any]) -> Iterator[Frame]:
    while True:
        yield from ()


def sleep(file: RangeFile, request: Mapping[str, Any]) -> Iterator[Frame]:
    yield ROW
    time.sleep(3600)


def write_rows(file: RangeFile, request: Mapping[str, Any]) -> Iterator[Frame]:
    while True:
        yield ROW


def write_flaws(file: RangeFile, request: Mapping[str, Any]) -> Iterator[Frame]:
    while True:
        yield Frame(FrameKind.FLAW, b"x")


def write_errors(file: RangeFile, request: Mapping[str, Any]) -> Iterator[Frame]:
    while True:
        os.write(2, bytes(2**16))
        yield from ()


def write_long_row(file: RangeFile, request: Mapping[str, Any]) -> Iterator[Frame]:
    yield Frame(FrameKind.ROW, bytes(request["max_bytes"] + 200_000))


def promise_long_row(file: RangeFile, request: Mapping[str, Any]) -> Iterator[Frame]:
    os.write(1, FRAME_HEADER.pack(FrameKind.ROW, 2**32 - 1))
    yield from spin(file, request)


def write_no_frame(file: RangeFile, request: Mapping[str, Any]) -> Iterator[Frame]:
    os.write(1, b"\xff" * 1000)
    yield from spin(file, request)


def write_no_text(file: RangeFile, request: Mapping[str, Any]) -> Iterator[Frame]:
    yield Frame(FrameKind.ROW, b"\xff")


def ask_for_too_much(file: RangeFile, request: Mapping[str, Any]) -> Iterator[Frame]:
    file.channel.send(Frame(FrameKind.RANGE, RANGE.pack(2**63, 2**63)))
    answer = file.channel.receive()
    assert answer is not None
    yield Frame(FrameKind.ROW, json.dumps(answer.kind.name).encode())


def ask_for_ever(file: RangeFile, request: Mapping[str, Any]) -> Iterator[Frame]:
    while True:
        file.channel.send(Frame(FrameKind.RANGE, RANGE.pack(0, 0)))
        file.channel.receive()
        yield from ()


def tell(file: RangeFile, request: Mapping[str, Any]) -> Iterator[Frame]:
    facts = {
        "pid": os.getpid(),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "files": len(os.listdir("/proc/self/fd")) - 1,
    }
    yield Frame(FrameKind.ROW, json.dumps(facts).encode())


def hoard_and_tell(file: RangeFile, request: Mapping[str, Any]) -> Iterator[Frame]:
    hoard.extend(os.urandom(2**24))
    yield from tell(file, request)


def tell_and_spin(file: RangeFile, request: Mapping[str, Any]) -> Iterator[Frame]:
    """Ask for a range that names this process, then never return."""
    file.channel.send(Frame(FrameKind.RANGE, RANGE.pack(os.getpid(), 1)))
    file.channel.flush()
    yield from spin(file, request)
