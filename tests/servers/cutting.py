"""A port in, another that leads to it out, whose connections can be broken in the middle of what is sent."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

HOST = "127.0.0.1"
PIECE = 16_384
RESET = struct.pack("ii", 1, 0)


class Cutting:
    """Passes everything on, both ways, until so many bytes more have been sent after `cut`: then it breaks, once."""

    def __init__(self, port: int) -> None:
        self.to = port
        self.ear = socket.create_server((HOST, 0))
        self.port: int = self.ear.getsockname()[1]
        self.left: int | None = None
        self.cuts = 0
        self.lock = threading.Lock()

    def cut(self, after: int) -> None:
        with self.lock:
            self.left = after

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.ear.accept()
                threading.Thread(target=self.connected, args=(near,), daemon=True).start()

    def connected(self, near: socket.socket) -> None:
        with near, socket.create_connection((HOST, self.to)) as far:
            back = threading.Thread(target=self.pass_on, args=(far, near, False), daemon=True)
            back.start()
            self.pass_on(near, far, True)
            back.join()

    def pass_on(self, one: socket.socket, other: socket.socket, counted: bool) -> None:
        """Until either side ends, or it breaks: then both sides are told by a reset, as of a cable that is cut."""
        with contextlib.suppress(OSError):
            while piece := one.recv(PIECE):
                passed = self.allowed(len(piece)) if counted else len(piece)
                other.sendall(piece[:passed])
                if passed < len(piece):
                    for each in (one, other):
                        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    break
        for each in (one, other):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RD)

    def allowed(self, count: int) -> int:
        with self.lock:
            if self.left is None or self.left >= count:
                self.left = None if self.left is None else self.left - count
                return count
            passed, self.left, self.cuts = self.left, None, self.cuts + 1
            return passed


@contextlib.contextmanager
def cutting(port: int) -> Iterator[Cutting]:
    made = Cutting(port)
    thread = threading.Thread(target=made.serve, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.ear.shutdown(socket.SHUT_RDWR)
        made.ear.close()
        thread.join()
