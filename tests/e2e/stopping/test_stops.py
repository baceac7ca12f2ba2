"""A door that is told to stop under load answers what it has begun and loses no record of what it answered.

`STOPS=100` stops it a hundred times.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo.servers.run import HOST, ROOT, Running
from onedoor.audit.reader import read_records, verify_folder
from tests.e2e.stopping.doors import Askers, environment, furnished, open_door

STOPS = int(os.environ.get("STOPS", "2"))
THREADS = 8
REQUESTS = 400
"""Enough that a fair spread gives neither of two workers less than a third of them, but once in a million million."""
SIGNALS = (signal.SIGTERM, signal.SIGKILL)


def free_port() -> int:
    with socket.create_server((HOST, 0)) as made:
        return int(made.getsockname()[1])


@pytest.fixture
def port() -> int:
    return free_port()


def test_no_answered_request_is_missing_from_the_records(
    tmp_path: Path, acme_servers: Running, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    key = furnished(tmp_path, acme_servers, port)
    acknowledged: list[str] = []
    for number in range(STOPS):
        with open_door(tmp_path, port, key) as door:
            askers = Askers(door)
            threads = askers.run(THREADS, until=20 + 7 * number % 60)
            assert askers.enough.wait(20)
            door.process.send_signal(SIGNALS[number % 2])
            door.process.wait(35)
            for each in threads:
                each.join()
            acknowledged += askers.acknowledged
    recorded = {each["id"] for each in read_records(tmp_path / "records")}
    lost = [each for each in acknowledged if each not in recorded]
    with capsys.disabled():
        print(f"\n{STOPS} stops, {len(acknowledged)} answers acknowledged, {len(lost)} of them without a record")
    assert lost == []
    assert verify_folder(tmp_path / "records").broken is None


def test_a_door_told_to_stop_ends_in_order(tmp_path: Path, acme_servers: Running, port: int) -> None:
    key = furnished(tmp_path, acme_servers, port)
    with open_door(tmp_path, port, key) as door:
        askers = Askers(door)
        threads = askers.run(THREADS, until=30)
        assert askers.enough.wait(20)
        door.process.terminate()
        code = door.process.wait(35)
        for each in threads:
            each.join()
    assert (code in (0, -signal.SIGTERM), askers.refused) == (True, 0)


def test_several_workers_share_a_port_evenly_and_each_keeps_its_own_journal(
    tmp_path: Path, acme_servers: Running, port: int
) -> None:
    key = furnished(tmp_path, acme_servers, port)
    with open_door(tmp_path, port, key, workers=2) as door:
        askers = Askers(door, reconnects=True)
        threads = askers.run(THREADS, until=1)
        deadline = time.monotonic() + 30
        while len(begun := shares(tmp_path / "records")) < 2 or min(begun) < 2:
            assert time.monotonic() < deadline, "one worker answered nothing"
            time.sleep(0.02)
        before = shares(tmp_path / "records")
        while sum(shares(tmp_path / "records")) - sum(before) < REQUESTS:
            assert time.monotonic() < deadline, "the workers are too slow"
            time.sleep(0.02)
        got = [now - then for now, then in zip(shares(tmp_path / "records"), before, strict=True)]
        door.process.terminate()
        door.process.wait(35)
        for each in threads:
            each.join()
    assert min(got) > sum(got) / 3, got


def shares(records: Path) -> list[int]:
    """Lines in each worker's journal."""
    return [path.read_bytes().count(b"\n") for path in sorted(records.glob("*.jsonl"))]


def test_a_taken_port_is_one_sentence(tmp_path: Path, acme_servers: Running) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        furnished(tmp_path, acme_servers, port)
        command = [sys.executable, "-m", "onedoor", "serve"]
        ended = subprocess.run(command, cwd=ROOT, env=environment(tmp_path), capture_output=True, check=False)
    assert (ended.returncode, ended.stderr.decode().splitlines()[-1]) == (
        2,
        f"Error: port {port} of `127.0.0.1` is taken or may not be used: choose another",
    )
