"""Give tests a folder for audit logs, a record to append, and a disk whose i-th step fails."""

import errno
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from onedoor.audit.log import SYNC_DATA, DiskOps
from onedoor.audit.record import (
    RANDOM_BYTES,
    AuditOutcome,
    AuditRecord,
    ConnectorUsage,
    DeniedField,
    build_record_id,
    format_timestamp,
)

AT = datetime(2026, 11, 1, 12, 30, 15, 123_456, tzinfo=UTC)


def record_of(number: int, **changes: Any) -> AuditRecord:
    """The record of the number-th request."""
    at = AT.replace(microsecond=number)
    record = AuditRecord(
        id=build_record_id(at, number.to_bytes(RANDOM_BYTES, "big")), time=format_timestamp(at), surface="graphql",
        outcome=AuditOutcome.PARTIAL, status=200, person="p1", key_id="4PpNKnMFvEXo", groups=("finance",),
        operation="Q", fields=("Customer.name",), withheld=(DeniedField(field="Customer.total", reason="finance"),),
        sources=(ConnectorUsage(source="warehouse", collection="finance.invoice", calls=1, rows=2, ms=0.5),), rows=2,
    )  # fmt: skip
    return replace(record, **changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def record() -> Callable[..., AuditRecord]:
    return record_of


@pytest.fixture
def failing() -> Callable[..., DiskOps]:
    return failing_disk


def failing_disk(*, writes: Iterable[int] = (), syncs: Iterable[int] = (), truncates: Iterable[int] = ()) -> DiskOps:
    """A disk that is full at these writes (having taken half), and broken at these syncs and truncations, from 0."""
    bad_writes, bad_syncs, bad_truncates = set(writes), set(syncs), set(truncates)
    counts = {"write": -1, "sync": -1, "truncate": -1}

    def due(step: str, bad: set[int]) -> bool:
        counts[step] += 1
        return counts[step] in bad

    def write(file: int, octets: bytes) -> int:
        if not due("write", bad_writes):
            return os.write(file, octets)
        os.write(file, octets[: len(octets) // 2])
        raise OSError(errno.ENOSPC, "no space left")

    def sync(file: int) -> None:
        if due("sync", bad_syncs):
            raise OSError(errno.EIO, "input/output error")
        SYNC_DATA(file)

    def truncate(file: int, length: int) -> None:
        if due("truncate", bad_truncates):
            raise OSError(errno.EIO, "input/output error")
        os.ftruncate(file, length)

    return DiskOps(write=write, sync=sync, truncate=truncate)
