"""A server's place in, one of our own out that stands before it, and hangs up once the server did as it was told."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

HOST = "127.0.0.1"
CHUNK = 65536


@dataclass(slots=True, kw_only=True)
class Cut:
    """`lost`: of which requests the answer is lost, by how they begin; of all others nothing is noticed."""

    to: tuple[str, int]
    lost: bytes | None = None
    serving: set["asyncio.Task[Any]"] = field(default_factory=set)
    told: int = 0
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
        asked = bytearray()
        asking = asyncio.ensure_future(poured(reader, them, asked))
        try:
            while data := await theirs.read(CHUNK):
                if self.lost is not None and self.lost in asked:
                    self.told += 1
                    writer.transport.abort()
                    return
                asked.clear()
                writer.write(data)
                await writer.drain()
        finally:
            asking.cancel()
            them.close()
            await asyncio.wait((asking,))


async def poured(reader: StreamReader, writer: StreamWriter, seen: bytearray) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK):
            seen += data
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def cut(port: int) -> AsyncIterator[tuple[Cut, int]]:
    """It, and its port."""
    made = Cut(to=(HOST, port))
    server = await asyncio.start_server(made.link, HOST, 0)
    try:
        yield made, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for each in made.serving:
            each.cancel()
        await asyncio.gather(*made.serving, return_exceptions=True)
