"""Stand before a server, and close the connection once it has applied a request."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

HOST = "127.0.0.1"
CHUNK = 65536


@dataclass(slots=True, kw_only=True)
class CuttingProxy:
    """`lost`: of which requests the answer is lost, by how they begin; of all others nothing is noticed."""

    to: tuple[str, int]
    lost: bytes | None = None
    serving: set["asyncio.Task[Any]"] = field(default_factory=set)
    applied: int = 0
    """Requests whose answer was lost."""

    async def link(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self.passed(reader, writer)
        finally:
            self.serving.discard(task)
            writer.close()

    async def passed(self, reader: StreamReader, writer: StreamWriter) -> None:
        theirs, them = await asyncio.open_connection(*self.to)
        received = bytearray()
        asking = asyncio.ensure_future(forward(reader, them, received))
        try:
            while data := await theirs.read(CHUNK):
                if self.lost is not None and self.lost in received:
                    self.applied += 1
                    writer.transport.abort()
                    return
                received.clear()
                writer.write(data)
                await writer.drain()
        finally:
            asking.cancel()
            them.close()
            await asyncio.wait((asking,))


async def forward(reader: StreamReader, writer: StreamWriter, seen: bytearray) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK):
            seen += data
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def open_proxy(port: int) -> AsyncIterator[tuple[CuttingProxy, int]]:
    """It, and its port."""
    proxy = CuttingProxy(to=(HOST, port))
    server = await asyncio.start_server(proxy.link, HOST, 0)
    try:
        yield proxy, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for item in proxy.serving:
            item.cancel()
        await asyncio.gather(*proxy.serving, return_exceptions=True)
