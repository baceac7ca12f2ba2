"""Check the sockets that a server listens on."""

import asyncio
import socket

from onedoor.http.server import bind_socket


async def test_replies_are_sent_at_once_under_any_event_loop() -> None:
    listener = bind_socket("127.0.0.1", 0)
    accepted = asyncio.get_running_loop().create_future()

    def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async with await asyncio.start_server(accept, sock=listener):
        _, writer = await asyncio.open_connection(*listener.getsockname())
        try:
            assert await accepted != 0
        finally:
            writer.close()
