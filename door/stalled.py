"""A connection whose client takes in nothing of what it is sent is cut off; one that is slow is not."""

import asyncio


class Stalled:
    """Looks, while more waits to be sent than should, whether any of it was taken in since it looked before."""

    def __init__(self, transport: asyncio.WriteTransport, seconds: float) -> None:
        self.transport, self.seconds = transport, seconds
        self.waiting = 0
        self.timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self.end()
        self.waiting = self.transport.get_write_buffer_size()
        self.timer = asyncio.get_running_loop().call_later(self.seconds, self._look)

    def end(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _look(self) -> None:
        if self.transport.get_write_buffer_size() >= self.waiting:
            self.transport.abort()
        else:
            self.begin()
