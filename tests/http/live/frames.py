"""Send WebSocket frames byte by byte: whole, torn, and such as no client would send."""

import asyncio
import base64
import os
import struct
from asyncio import StreamReader, StreamWriter
from dataclasses import dataclass

from tests.http.live.conftest import PROTOCOL, SECONDS

TEXT, BINARY, PARTS, CLOSE, PING = 1, 2, 0, 8, 9


def frame(opcode: int, payload: bytes, *, last: bool = True, masked: bool = True, reserved: int = 0) -> bytes:
    first = (0x80 if last else 0) | reserved << 4 | opcode
    size = len(payload)
    length = size if size < 126 else 126 if size < 65_536 else 127
    head = bytes([first, (0x80 if masked else 0) | length])
    head += struct.pack("!H", size) if length == 126 else struct.pack("!Q", size) if length == 127 else b""
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(octet ^ mask[index % 4] for index, octet in enumerate(payload))


@dataclass(frozen=True, slots=True)
class Wire:
    reader: StreamReader
    writer: StreamWriter

    async def send(self, octets: bytes) -> None:
        self.writer.write(octets)
        await self.writer.drain()

    async def frame(self) -> tuple[int, bytes]:
        """Read the next frame of the server, which masks none."""
        async with asyncio.timeout(SECONDS):
            first, second = await self.reader.readexactly(2)
            size = second & 0x7F
            if size >= 126:
                size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
            return first & 0x0F, await self.reader.readexactly(size)

    async def wait_closed(self) -> int | None:
        """The code it was closed with; None: it was cut off."""
        try:
            while True:
                opcode, payload = await self.frame()
                if opcode == CLOSE:
                    return int.from_bytes(payload[:2], "big") if payload else None
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        finally:
            self.writer.close()


async def open_websocket(port: int, receive_buffer: int | None = None) -> Wire:
    """A WebSocket at /graphql."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=receive_buffer or 2**16)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET /graphql HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: {key}\r\n"
        f"sec-websocket-version: 13\r\nsec-websocket-protocol: {PROTOCOL}\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 "), head
    return Wire(reader, writer)
