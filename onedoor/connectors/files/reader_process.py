"""Decode files one at a time in a process of its own, within limits, for a parent that hands over their bytes.

`python -I -c PROGRAM ROOT DECODER_ROOT DECODER LIMITS`: ROOT is the folder that this package is imported from, DECODER
a `module:function` below DECODER_ROOT. Standard output is a
socket to the parent, standard input a pipe that only the parent holds open: when the parent ends, however it does, the
kernel ends this process, whatever it does. What is written here is not trusted by the parent.
"""

import fcntl
import io
import json
import math
import os
import resource
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum, StrEnum
from importlib import import_module
from typing import Any, NamedTuple, TypeAlias

PROGRAM = (
    "import sys; sys.path += sys.argv[1:3]; "
    "from onedoor.connectors.files.reader_process import main; main(*sys.argv[3:])"
)
"""What the interpreter runs: `-I` keeps the parent's folders and environment out of the import path."""

LIFELINE, CHANNEL = 0, 1

OPEN_FILES_MAX = 32

MAX_FLAWS, MAX_FLAW_BYTES = 20, 8192
"""What is said of one file at most."""

FLUSH_BYTES = 64 * 1024

FRAME_HEADER = struct.Struct("<BI")
"""The kind and the length of a frame's content."""

RANGE = struct.Struct("<QQ")
"""The start and the length of a range."""


class FrameKind(IntEnum):
    """What one frame says."""

    READY = 0
    """To the parent: files can be decoded."""
    REQUEST = 1
    """From the parent: decode a file, described by JSON; the end of the file follows as CONTENT."""
    RANGE = 2
    """To the parent: send these bytes of the file."""
    CONTENT = 3
    """From the parent: the bytes of the range."""
    REFUSED = 4
    """From the parent: there are no such bytes to have."""
    ROW = 5
    """To the parent: one row as JSON."""
    FLAW = 6
    """To the parent: what columns hold that JSON cannot, and that their rows have as null."""
    DONE = 7
    """To the parent: that was all of the file."""
    FAILED = 8
    """To the parent: the file cannot be decoded, for one of `DecodingFailure`."""


class DecodingFailure(StrEnum):
    """Why a file cannot be decoded."""

    UNREADABLE = "unreadable"
    UNPACKED_TOO_LARGE = "unpacked"
    ROWS_TOO_LARGE = "rows"


class DecodingFailed(Exception):
    """The file cannot be decoded."""

    def __init__(self, failure: DecodingFailure) -> None:
        super().__init__(failure)
        self.failure = failure


class Frame(NamedTuple):
    """One message of the parent or of this process."""

    kind: FrameKind
    content: bytes = b""


Decoder: TypeAlias = Callable[["RangeFile", Mapping[str, Any]], Iterator[Frame]]
"""Decodes a file for a request, which holds its `size`, to frames of the kinds ROW and FLAW. Raises DecodingFailed."""


class Channel:
    """Frames to and from the parent; those to the parent are gathered until it has to see them."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection, self.input, self.output = connection, connection.makefile("rb"), bytearray()

    def receive(self) -> Frame | None:
        """Send what is gathered and wait for the next frame; None: the parent has closed its end."""
        self.flush()
        header = self.input.read(FRAME_HEADER.size)
        if len(header) < FRAME_HEADER.size:
            return None
        kind, length = FRAME_HEADER.unpack(header)
        return Frame(FrameKind(kind), self.input.read(length))

    def send(self, frame: Frame) -> None:
        self.output += FRAME_HEADER.pack(frame.kind, len(frame.content))
        self.output += frame.content
        if len(self.output) > FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        self.connection.sendall(self.output)
        self.output.clear()


class RangeFile(io.RawIOBase):
    """Let a decoder read the parent's file as if it were open here; `tail` is the end of it, which is here already."""

    def __init__(self, channel: Channel, size: int, tail: bytes) -> None:
        super().__init__()
        self.channel, self.size, self.tail, self.position = channel, size, tail, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = 0) -> int:
        self.position = offset + (0, self.position, self.size)[whence]
        return self.position

    def read(self, size: int = -1) -> bytes:
        """Read the next bytes. Raises OSError where the parent refuses them, because that is what stops pyarrow."""
        length = max(0, min(self.size - self.position, self.size if size < 0 else size))
        if length == 0:
            return b""
        content = self._read_tail(length) if self.position >= self.size - len(self.tail) else self._read_range(length)
        self.position += len(content)
        return content

    def _read_tail(self, length: int) -> bytes:
        start = self.position - (self.size - len(self.tail))
        return self.tail[start : start + length]

    def _read_range(self, length: int) -> bytes:
        self.channel.send(Frame(FrameKind.RANGE, RANGE.pack(self.position, length)))
        frame = self.channel.receive()
        if frame is None or frame.kind is not FrameKind.CONTENT:
            raise OSError
        return frame.content


def main(decoder_name: str, limits: str) -> None:
    """Decode files until the parent closes the channel."""
    memory_bytes, cpu_seconds = map(int, limits.split(","))
    end_with_parent()
    for kind, limit in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_NOFILE, OPEN_FILES_MAX),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))
    limit_cpu(cpu_seconds)
    module, _, function = decoder_name.partition(":")
    decode = getattr(import_module(module), function)
    channel = Channel(socket.socket(fileno=CHANNEL))
    channel.send(Frame(FrameKind.READY))
    while (frame := channel.receive()) is not None:
        limit_cpu(cpu_seconds)
        request, tail = json.loads(frame.content), channel.receive()
        if tail is None:
            return
        for answer in answer_request(decode, RangeFile(channel, request["size"], tail.content), request):
            channel.send(answer)


def answer_request(decode: Decoder, file: RangeFile, request: Mapping[str, Any]) -> Iterator[Frame]:
    """Yield all frames of one file."""
    try:
        yield from decode(file, request)
    except DecodingFailed as error:
        yield Frame(FrameKind.FAILED, error.failure.encode())
    except MemoryError:
        yield Frame(FrameKind.FAILED, DecodingFailure.UNPACKED_TOO_LARGE.encode())
    else:
        yield Frame(FrameKind.DONE)


def end_with_parent() -> None:
    """Have the kernel send SIGIO, which ends a process, once the other end of the lifeline is closed."""
    fcntl.fcntl(LIFELINE, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(LIFELINE, fcntl.F_SETFL, fcntl.fcntl(LIFELINE, fcntl.F_GETFL) | os.O_ASYNC)


def limit_cpu(seconds: int) -> None:
    """Let this process use so many more seconds of CPU time; the kernel ends it with SIGXCPU after those."""
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + seconds, resource.RLIM_INFINITY))
