"""Forward a port, and break its connections in the middle of what is sent."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

HOST = "127.0.0.1"
PIECE = 16_384
RESET = struct.pack("ii", 1, 0)


class CuttingPort:
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
            broken = threading.Event()
            back = threading.Thread(target=self.back, args=(far, near, broken), daemon=True)
            back.start()
            self.onward(near, far, broken)
            back.join()

    def onward(self, near: socket.socket, far: socket.socket, broken: threading.Event) -> None:
        """Until it ends or breaks; who sent hears of that by a reset, once the far side took all that came through."""
        with contextlib.suppress(OSError):
            while piece := near.recv(PIECE):
                passed = self.allowed(len(piece))
                far.sendall(piece[:passed])
                if passed < len(piece):
                    broken.set()
                    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    break
        with contextlib.suppress(OSError):
            far.shutdown(socket.SHUT_WR)

    def back(self, far: socket.socket, near: socket.socket, broken: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while piece := far.recv(PIECE):
                if not broken.is_set():
                    near.sendall(piece)
        with contextlib.suppress(OSError):
            near.shutdown(socket.SHUT_RD)

    def allowed(self, count: int) -> int:
        with self.lock:
            if self.left is None or self.left >= count:
                self.left = None if self.left is None else self.left - count
                return count
            passed, self.left, self.cuts = self.left, None, self.cuts + 1
            return passed


@contextlib.contextmanager
def open_cutting_port(port: int) -> Iterator[CuttingPort]:
    result = CuttingPort(port)
    thread = threading.Thread(target=result.serve, daemon=True)
    thread.start()
    try:
        yield result
    finally:
        result.ear.shutdown(socket.SHUT_RDWR)
        result.ear.close()
        thread.join()
