"""Stand before a server, and inject one fault into every connection."""

import asyncio
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

HOST = "127.0.0.1"
CHUNK = 65536
DRIP_SECONDS = 0.05
WAIT_SECONDS = 0.05
"""How long to wait for the client to speak first; some wait for the server."""
NOISE = bytes(number * 37 % 256 for number in range(1024))
WORDS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    429: "Too Many Requests",
    500: "Internal Server Error",
}
AT_ONCE = struct.pack("ii", 1, 0)
"""The SO_LINGER option by which closing resets the connection."""


@dataclass(slots=True, kw_only=True)
class Wire:
    """Passes everything on while `fault` is None. `came` counts the connections since the fault was set."""

    to: tuple[str, int]
    fault: str | None = None
    came: int = 0
    sent: int = 0
    """Bytes sent of an endless response."""
    says: Mapping[bytes, bytes] = field(default_factory=dict)
    """While the fault is `told`: the response by the start of the request."""
    port: int = 0
    server: asyncio.Server | None = None
    links: set[StreamWriter] = field(default_factory=set)
    serving: set["asyncio.Task[Any]"] = field(default_factory=set)

    async def set(self, fault: str | None) -> None:
        """Set the fault, and close what is open, so that nothing passes it by."""
        self.fault, self.came, self.sent = fault, 0, 0
        if fault == "refused" and self.server is not None:
            self.server.close()
            self.server = None
        elif self.server is None:
            self.server = await asyncio.start_server(self.link, HOST, self.port, reuse_address=True)
            self.port = self.server.sockets[0].getsockname()[1]
        for link in tuple(self.links):
            link.transport.abort()

    async def link(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.came += 1
        self.links.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await ACTS.get(self.fault or "", status)(self, reader, writer)
        finally:
            self.serving.discard(task)
            self.links.discard(writer)
            writer.close()

    @asynccontextmanager
    async def onward(self, reader: StreamReader) -> AsyncIterator[StreamReader]:
        """Send the client's bytes to the server, and yield what the server responds."""
        theirs, them = await asyncio.open_connection(*self.to)
        asking = asyncio.ensure_future(poured(reader, them))
        try:
            yield theirs
        finally:
            asking.cancel()
            them.close()
            await asyncio.wait((asking,))


async def poured(reader: StreamReader, writer: StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()


async def passed(wire: Wire, reader: StreamReader, writer: StreamWriter) -> None:
    async with wire.onward(reader) as theirs:
        await poured(theirs, writer)


async def reset(wire: Wire, reader: StreamReader, writer: StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    writer.transport.abort()


async def hang(wire: Wire, reader: StreamReader, writer: StreamWriter) -> None:
    while await reader.read(CHUNK):
        pass


async def slow(wire: Wire, reader: StreamReader, writer: StreamWriter) -> None:
    async with wire.onward(reader) as theirs:
        while data := await theirs.read(1):
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(DRIP_SECONDS)


async def half(wire: Wire, reader: StreamReader, writer: StreamWriter) -> None:
    async with wire.onward(reader) as theirs:
        data = await theirs.read(CHUNK)
        writer.write(data[: len(data) // 2])
        await writer.drain()


async def garbage(wire: Wire, reader: StreamReader, writer: StreamWriter) -> None:
    await read_chunk(reader)
    writer.write(NOISE)
    await writer.drain()


async def huge(wire: Wire, reader: StreamReader, writer: StreamWriter) -> None:
    """Send a response that never ends, as fast as the client reads."""
    if (await read_chunk(reader)).split(b" ", 1)[0] in (b"GET", b"POST", b"PUT", b"HEAD"):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n[")
    while True:
        writer.write(b'"x",' * (CHUNK // 4))
        wire.sent += CHUNK
        await writer.drain()


async def schema(wire: Wire, reader: StreamReader, writer: StreamWriter) -> None:
    """Send a complete, well-formed response of another API."""
    await read_chunk(reader)
    writer.write(reply(200, b'{"weather": {"today": ["rain"]}}'))
    await writer.drain()


async def page(wire: Wire, reader: StreamReader, writer: StreamWriter) -> None:
    """Send the login page of a proxy."""
    await read_chunk(reader)
    writer.write(reply(200, b"<html><title>SECRET</title>"))
    await writer.drain()


async def status(wire: Wire, reader: StreamReader, writer: StreamWriter) -> None:
    """Send the HTTP status that names the fault."""
    await read_chunk(reader)
    writer.write(reply(int(wire.fault or 0), b'{"error": "SECRET at /srv/internal/path.py"}'))
    await writer.drain()


async def answer_from_script(wire: Wire, reader: StreamReader, writer: StreamWriter) -> None:
    content = await reader.read(CHUNK)
    writer.write(next((answer for start, answer in wire.says.items() if content.startswith(start)), b""))
    await writer.drain()


async def read_chunk(reader: StreamReader) -> bytes:
    try:
        return await asyncio.wait_for(reader.read(CHUNK), WAIT_SECONDS)
    except TimeoutError:
        return b""


def reply(status: int, body: bytes, **headers: str) -> bytes:
    response_headers = {"content-type": "application/json", "connection": "close", **headers}
    head = f"HTTP/1.1 {status} {WORDS[status]}\r\n" + "".join(
        f"{name}: {item}\r\n" for name, item in response_headers.items()
    )
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


ACTS: Mapping[str, Callable[[Wire, StreamReader, StreamWriter], Awaitable[None]]] = {
    "": passed,
    "refused": passed,
    "reset": reset,
    "hanging": hang,
    "slow": slow,
    "half": half,
    "garbage": garbage,
    "huge": huge,
    "page": page,
    "schema": schema,
    "scripted": answer_from_script,
}
"""Any other fault is an HTTP status."""


@asynccontextmanager
async def open_wire(host: str, port: int) -> AsyncIterator[Wire]:
    wire = Wire(to=(host, port))
    await wire.set(None)
    try:
        yield wire
    finally:
        await wire.set("refused")
        for item in wire.serving:
            item.cancel()
        await asyncio.gather(*wire.serving, return_exceptions=True)
        await asyncio.sleep(0)
