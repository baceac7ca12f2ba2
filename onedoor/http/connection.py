"""End connections in order: a client that reads nothing is cut off, one that still sends is given time to read."""

import asyncio
from typing import Any


class OrderlyTransport:
    """A transport that closes as RFC 9112, section 9.6, asks, so that the last response is not lost to a reset.

    While `is_receiving`, `close` ends our side alone, and what the client still sends is discarded: until it ends its
    side, or for `closing_seconds` after the last byte has left.
    """

    def __init__(self, transport: asyncio.Transport, closing_seconds: float) -> None:
        self.transport, self.closing_seconds = transport, closing_seconds
        self.write = transport.write
        self.is_receiving = False
        self.is_draining = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def is_closing(self) -> bool:
        return self.is_draining or self.transport.is_closing()

    def close(self) -> None:
        if self.is_closing():
            return
        if not self.is_receiving:
            self.transport.close()
            return
        self.is_draining = True
        self.transport.write_eof()
        self.transport.set_protocol(DrainProtocol(self.transport, self.closing_seconds))
        self.transport.resume_reading()


class DrainProtocol(asyncio.Protocol):
    """Discards what comes over a connection that ends; `former` hears the rest of what happens to it."""

    def __init__(self, transport: asyncio.Transport, seconds: float) -> None:
        former = transport.get_protocol()
        assert isinstance(former, asyncio.Protocol)
        self.transport, self.seconds, self.former = transport, seconds, former
        self.timer = asyncio.get_running_loop().call_later(seconds, self._check)

    def data_received(self, data: bytes) -> None:
        """Discard it."""

    def pause_writing(self) -> None:
        self.former.pause_writing()

    def resume_writing(self) -> None:
        self.former.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        self.timer.cancel()
        self.former.connection_lost(error)

    def _check(self) -> None:
        """End the wait, unless something is still to be sent: a StallTimer watches over that."""
        if self.transport.get_write_buffer_size():
            self.timer = asyncio.get_running_loop().call_later(self.seconds, self._check)
        else:
            self.transport.abort()


class StallGuard(asyncio.Protocol):
    """Lets a StallTimer watch over whatever of a protocol waits to be sent; the protocol sets `stall_timer`."""

    stall_timer: "StallTimer"

    def connection_lost(self, exc: Exception | None) -> None:
        self.stall_timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.stall_timer.start()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.stall_timer.cancel()


class StallTimer:
    """Aborts a connection whose client takes in nothing for a while, though something waits to be sent."""

    def __init__(self, transport: asyncio.WriteTransport | OrderlyTransport, seconds: float) -> None:
        """Have the transport report any byte that it cannot send at once: even the last may stay for ever."""
        self.transport, self.seconds = transport, seconds
        self.pending_bytes = 0
        self.timer: asyncio.TimerHandle | None = None
        transport.set_write_buffer_limits(high=0)

    def start(self) -> None:
        self.cancel()
        self.pending_bytes = self.transport.get_write_buffer_size()
        self.timer = asyncio.get_running_loop().call_later(self.seconds, self._check)

    def cancel(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _check(self) -> None:
        if self.transport.get_write_buffer_size() >= self.pending_bytes:
            self.transport.abort()
        else:
            self.start()
