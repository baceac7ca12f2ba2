"""Keep warm processes that decode files, so that no file can end or bloat this one; see `reader_process`."""

import asyncio
import atexit
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from weakref import WeakKeyDictionary

from onedoor.connectors.files.reader_process import (
    FRAME_HEADER,
    MAX_FLAW_BYTES,
    MAX_FLAWS,
    PROGRAM,
    RANGE,
    DecodingFailure,
    Frame,
    FrameKind,
)
from onedoor.errors import ConnectorError
from onedoor.runtime.call_context import yielding_slot
from onedoor.runtime.concurrency import Deadline
from onedoor.runtime.fair_slots import FairSlots

LOG = logging.getLogger("onedoor.files")

IMPORT_ROOT = Path(__file__).parents[3]

START_SECONDS = 30.0

END_SECONDS = 10.0
"""How long a process may take to end that has closed its connection; then it is killed."""

FAILURES = {failure.encode(): failure for failure in DecodingFailure}

RECEIVE_BYTES = 256 * 1024

MAX_RANGES = 20_000
"""Of one file: a column of a row group is one, or a few."""

ERROR_OUTPUT_BYTES = 64 * 1024

ENVIRONMENT = {"LANG": "C.UTF-8", "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}
"""All that a reader's environment holds, as this process's own may hold secrets; one thread needs one arena."""

OUT_OF_MEMORY_WORDS = (b"bad_alloc", b"MemoryError")
"""What a process that ends for want of memory writes to standard error."""

RangeReader: TypeAlias = Callable[[int, int], Awaitable[bytes | None]]
"""Reads bytes of the file that is decoded, by start and length; None: there are none to have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderLimits:
    """What a reader may use. The seconds are those of one file, without what its bytes take to arrive."""

    memory_bytes: int = 640 * 2**20
    cpu_seconds: int = 5
    seconds: float = 10.0
    max_files: int = 100
    """After so many files a reader is replaced."""
    max_resident_bytes: int = 256 * 2**20
    """A reader that has more than this in memory after a file is replaced."""


DEFAULT_LIMITS = ReaderLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodingRequest:
    """What a decoder is asked for, as JSON, the end of the file, and the bounds that the answer must keep."""

    content: bytes
    tail: bytes
    max_rows: int
    max_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedFile:
    """The rows of a file as JSON, and what its columns hold that JSON cannot; or why there are none."""

    rows: tuple[str, ...] = ()
    flaws: tuple[str, ...] = ()
    failure: DecodingFailure | None = None


class ReaderLost(Exception):
    """A reader is of no more use: it has ended by itself, broken a bound or used up its time."""

    def __init__(self, *, ended: bool) -> None:
        super().__init__()
        self.ended = ended


@dataclass(slots=True, kw_only=True, eq=False)
class ReaderProcess:
    """A process that decodes one file at a time; its connection belongs to no event loop."""

    process: subprocess.Popen[bytes]
    connection: socket.socket
    lifeline: int
    seconds_left: float
    file_count: int = 1
    received: bytearray = field(default_factory=bytearray)

    async def receive(self, max_bytes: int) -> Frame:
        """Return the next frame, whose content has at most `max_bytes`. Raises ReaderLost."""
        header = await self._take(FRAME_HEADER.size)
        kind, length = FRAME_HEADER.unpack(header)
        if length > max_bytes or kind not in list(FrameKind):
            raise ReaderLost(ended=False)
        return Frame(FrameKind(kind), await self._take(length))

    async def _take(self, length: int) -> bytes:
        while len(self.received) < length:
            start = asyncio.get_running_loop().time()
            content = await self._receive_in_time(start)
            self.seconds_left -= asyncio.get_running_loop().time() - start
            if not content:
                raise ReaderLost(ended=self.seconds_left > 0)
            self.received += content
        content = bytes(self.received[:length])
        del self.received[:length]
        return content

    async def _receive_in_time(self, now: float) -> bytes:
        """Return what the process sends next, or nothing where it has ended or used up its time.

        Meanwhile the source waits for us, not we for it.
        """
        async with yielding_slot():
            with suppress(OSError), Deadline(now + self.seconds_left):
                return await asyncio.get_running_loop().sock_recv(self.connection, RECEIVE_BYTES)
        return b""

    async def send(self, *frames: Frame) -> None:
        """Send frames. Raises ReaderLost."""
        loop = asyncio.get_running_loop()
        content = b"".join(FRAME_HEADER.pack(kind, len(content)) + content for kind, content in frames)
        try:
            with Deadline(loop.time() + self.seconds_left):
                await loop.sock_sendall(self.connection, content)
        except OSError as error:
            raise ReaderLost(ended=not isinstance(error, TimeoutError)) from None

    def is_running(self) -> bool:
        return self.process.poll() is None

    def is_worn(self, limits: ReaderLimits) -> bool:
        return self.file_count >= limits.max_files or read_resident_bytes(self.process.pid) > limits.max_resident_bytes

    @property
    def has_crashed(self) -> bool:
        return self.process.returncode == -signal.SIGSEGV

    def end(self) -> None:
        """Kill the process and wait for its end, which takes as long as the kernel needs to free its memory."""
        assert self.process.stderr is not None
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        self.connection.close()
        os.close(self.lifeline)

    def end_lost(self, *, ended: bool) -> DecodingFailure:
        """End a lost process and return why the file that it was decoding cannot be decoded.

        What was killed, but not from here, was killed by the kernel for want of memory.
        """
        assert self.process.stderr is not None
        was_killed = ended and self._wait_for_own_end() == -signal.SIGKILL
        self.process.kill()
        self.process.wait()
        os.set_blocking(self.process.stderr.fileno(), False)
        output = self.process.stderr.read(ERROR_OUTPUT_BYTES) or b""
        self.end()
        LOG.warning("a process that decodes files was ended or ended itself, with %d", self.process.returncode)
        out_of_memory = was_killed or any(word in output for word in OUT_OF_MEMORY_WORDS)
        return DecodingFailure.UNPACKED_TOO_LARGE if out_of_memory else DecodingFailure.UNREADABLE

    def _wait_for_own_end(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            return self.process.wait(END_SECONDS)
        return None


class ReaderPool:
    """At most `size` readers that run one decoder, `module:function` below the folder `import_root`."""

    def __init__(
        self,
        decoder: str,
        *,
        size: int = 2,
        limits: ReaderLimits = DEFAULT_LIMITS,
        import_root: Path = IMPORT_ROOT,
    ) -> None:
        self.decoder, self.size, self.limits, self.import_root = decoder, size, limits, import_root
        self.idle: list[ReaderProcess] = []
        self.places = WeakKeyDictionary[asyncio.AbstractEventLoop, FairSlots]()
        atexit.register(self.close)

    async def decode(self, request: DecodingRequest, read_range: RangeReader) -> DecodedFile:
        """Decode one file, as soon as a reader is free. Raises ConnectorError where none can be started."""
        async with AsyncExitStack() as stack:
            async with yielding_slot():
                await stack.enter_async_context(self._get_places().hold())
            return await self._decode(request, read_range)

    def _get_places(self) -> FairSlots:
        return self.places.setdefault(asyncio.get_running_loop(), FairSlots(self.size))

    async def _decode(
        self, request: DecodingRequest, read_range: RangeReader, *, is_second_try: bool = False
    ) -> DecodedFile:
        """Decode with one reader; where that crashes, once more with another.

        A reader that is short of memory may crash at what another one reports.
        """
        reader = self._take_idle() or await self._start()
        try:
            decoded = await _decode_with(reader, request, read_range)
        except ReaderLost as lost:
            failure = await asyncio.to_thread(reader.end_lost, ended=lost.ended)
            if reader.has_crashed and not is_second_try:
                return await self._decode(request, read_range, is_second_try=True)
            return DecodedFile(failure=failure)
        except BaseException:
            await asyncio.to_thread(reader.end)
            raise
        if reader.is_worn(self.limits):
            await asyncio.to_thread(reader.end)
        else:
            self.idle.append(reader)
        return decoded

    def _take_idle(self) -> ReaderProcess | None:
        while self.idle:
            reader = self.idle.pop()
            if reader.is_running():
                reader.file_count += 1
                reader.seconds_left = self.limits.seconds
                return reader
            reader.end()
        return None

    async def _start(self) -> ReaderProcess:
        """Start a reader and wait until it is ready. Raises ConnectorError."""
        try:
            reader = self._spawn()
        except OSError:
            raise _build_start_error() from None
        try:
            await reader.receive(0)
        except ReaderLost:
            await asyncio.to_thread(reader.end)
            raise _build_start_error() from None
        except BaseException:
            await asyncio.to_thread(reader.end)
            raise
        reader.seconds_left = self.limits.seconds
        return reader

    def _spawn(self) -> ReaderProcess:
        connection, inner_connection = socket.socketpair()
        inner_lifeline, lifeline = os.pipe()
        limits = f"{self.limits.memory_bytes},{self.limits.cpu_seconds}"
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-c", PROGRAM, str(IMPORT_ROOT), str(self.import_root), self.decoder, limits],
                stdin=inner_lifeline,
                stdout=inner_connection.fileno(),
                stderr=subprocess.PIPE,
                bufsize=0,
                env=ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        except OSError:
            connection.close()
            os.close(lifeline)
            raise
        finally:
            inner_connection.close()
            os.close(inner_lifeline)
        connection.setblocking(False)
        return ReaderProcess(process=process, connection=connection, lifeline=lifeline, seconds_left=START_SECONDS)

    def close(self) -> None:
        """End the readers that are idle; those at work end with this process."""
        while self.idle:
            self.idle.pop().end()


async def _decode_with(reader: ReaderProcess, request: DecodingRequest, read_range: RangeReader) -> DecodedFile:
    """Decode one file. Raises ReaderLost, also where the answer is larger than the request allows."""
    await reader.send(Frame(FrameKind.REQUEST, request.content), Frame(FrameKind.CONTENT, request.tail))
    rows, flaws, bytes_left = list[str](), list[str](), request.max_bytes + MAX_FLAWS * MAX_FLAW_BYTES
    ranges_left = MAX_RANGES
    while True:
        kind, content = await reader.receive(bytes_left)
        bytes_left -= len(content)
        match kind:
            case FrameKind.ROW if len(rows) < request.max_rows:
                rows.append(_decode_text(content))
            case FrameKind.FLAW if len(flaws) < MAX_FLAWS:
                flaws.append(_decode_text(content))
            case FrameKind.RANGE if len(content) == RANGE.size and ranges_left > 0:
                ranges_left -= 1
                part = await read_range(*RANGE.unpack(content))
                await reader.send(Frame(FrameKind.REFUSED) if part is None else Frame(FrameKind.CONTENT, part))
            case FrameKind.DONE:
                return DecodedFile(rows=tuple(rows), flaws=tuple(flaws))
            case FrameKind.FAILED if content in FAILURES:
                return DecodedFile(failure=FAILURES[content])
            case _:
                raise ReaderLost(ended=False)


def _decode_text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ReaderLost(ended=False) from None


def _build_start_error() -> ConnectorError:
    return ConnectorError("no process can be started that decodes the file")


def read_resident_bytes(pid: int) -> int:
    """Return how much of a process is in memory, or 0 where the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGESIZE")
    except (OSError, ValueError, IndexError):
        return 0
