"""Records' bodies in, chained lines on the disk out: the file under a journal, in one thread, without a clock."""

from collections.abc import Sequence
from contextlib import suppress

from records import chain
from records.disk import Disk, write_all


class Tape:
    """An open file whose whole lines are durable up to `_end`; whatever a failure left past it is cut off."""

    def __init__(self, file: int, head: bytes, disk: Disk) -> None:
        """Takes an empty file, open to append, and makes its header durable."""
        self._file, self._disk, self._end, self._torn = file, disk, 0, False
        self._keep([head])

    def write(self, bodies: Sequence[bytes]) -> None:
        """Returns when all are durable, after one sync. Raises OSError when none counts as written."""
        self._cut()
        lines, prev = [], self._prev
        for body in bodies:
            lines.append(chain.linked(body, prev))
            prev = chain.digest(lines[-1])
        try:
            self._keep(lines)
        except BaseException:
            with suppress(OSError):  # else the next write tries again, before it writes
                self._cut()
            raise

    def _cut(self) -> None:
        """Takes off what a failure left, so that nobody reads a record of what was never answered."""
        if self._torn:
            self._disk.truncate(self._file, self._end)
            self._torn = False

    def _keep(self, lines: Sequence[bytes]) -> None:
        octets = b"".join(line + b"\n" for line in lines)
        self._torn = True
        write_all(self._disk, self._file, octets)
        # a sync that failed may have forgotten what it could not write: the lines are written anew, not synced again
        self._disk.sync(self._file)
        self._torn = False
        self._end += len(octets)
        self._prev = chain.digest(lines[-1])
