"""Run Microsoft's own emulator of Azure Blob Storage, where its program is found."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from demo.servers.postgresql import follow
from demo.servers.run import accepts
from tests.servers.ports import find_free_port

HOST = "127.0.0.1"
PROGRAM = os.environ.get("AZURITE") or shutil.which("azurite-blob")
MISSING_MESSAGE = "Azure Blob Storage as Azurite has it: npm install azurite, and set AZURITE to its azurite-blob"
READY_SECONDS = 30.0
POLL_SECONDS = 0.05
FLAGS = ("--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent")


@contextmanager
def run_azurite(account: str, key: str) -> Iterator[str]:
    """The url of the account, which has nothing in it yet."""
    assert PROGRAM is not None
    port = find_free_port()
    process = subprocess.Popen(
        [PROGRAM, "--blobHost", HOST, "--blobPort", str(port), *FLAGS],
        env={**os.environ, "AZURITE_ACCOUNTS": f"{account}:{key}"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0, preexec_fn=follow,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not accepts(port):
            assert process.poll() is None, "Azurite stopped at its start"
            assert time.monotonic() < deadline, f"Azurite did not answer within {READY_SECONDS:g} s"
            time.sleep(POLL_SECONDS)
        yield f"http://{HOST}:{port}/{account}"
    finally:
        process.kill()
        process.wait()
