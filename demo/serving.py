"""What the demo's servers share: their options, the tie to the process that started them, and a prompt stop."""

import argparse
import ctypes
import os
import signal
import sys
from typing import Any

import uvicorn

HOST = "127.0.0.1"
PR_SET_PDEATHSIG = 1


def options(name: str) -> argparse.ArgumentParser:
    """`--port`, `--scale` and `--parent`, which every server has."""
    parser = argparse.ArgumentParser(prog=f"python -m demo.{name}")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--scale", type=float, default=1.0, help="1: the whole company; 0.01: a hundredth of it")
    parser.add_argument("--parent", type=int, help="the process without which this one shall not live")
    return parser


def follow(parent: int | None) -> None:
    """Ends this process when its parent ends, however that comes; a parent that is gone already counts."""
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def serve(app: Any, port: int) -> None:
    """Serves on loopback until SIGTERM or SIGINT; a request still running then has one second."""
    uvicorn.run(app, host=HOST, port=port, log_level="warning", timeout_graceful_shutdown=1)
