"""The three things the journal asks of a disk, so that a test can make the i-th of them fail."""

import os
from collections.abc import Callable
from dataclasses import dataclass

SYNC: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)
"""Not every system has fdatasync."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """`write` gives how many bytes it took; each raises OSError."""

    write: Callable[[int, bytes], int] = os.write
    sync: Callable[[int], None] = SYNC
    truncate: Callable[[int, int], None] = os.ftruncate


def write_all(disk: Disk, file: int, octets: bytes) -> None:
    """Writes every byte: a disk about to be full takes some of them, and fails at the next call."""
    while octets:
        octets = octets[disk.write(file, octets) :]
