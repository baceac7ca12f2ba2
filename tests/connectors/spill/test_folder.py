"""A start removes the spill folders of killed processes, and keeps those of living ones."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from onedoor.connectors.spill.folder import create_locked_folder, remove_abandoned_folders

HOLDS = """
import time
from onedoor.connectors.spill.folder import create_locked_folder
print(create_locked_folder().path, flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def holding(within: Path) -> "tuple[subprocess.Popen[str], Path]":
    """Start another process, and return it with its spill folder."""
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDS], stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(within)}
    )
    assert other.stdout is not None
    return other, Path(other.stdout.readline().strip())


def killed(other: "subprocess.Popen[str]") -> None:
    other.send_signal(signal.SIGKILL)
    other.communicate()


def test_only_folders_of_killed_processes_are_removed(within: Path) -> None:
    living, its = holding(within)
    dead, left = holding(within)
    killed(dead)
    (left / "duckdb_temp_storage-0.tmp").write_bytes(b"rows")
    mine, another = create_locked_folder(), within / "another"
    another.mkdir()
    (within / "onedoor-scratch-link").symlink_to(another)
    (within / "onedoor-scratch-file").write_text("no folder")
    remove_abandoned_folders()
    remaining = set(within.iterdir())
    killed(living)
    remove_abandoned_folders()
    later = set(within.iterdir())
    mine.close()
    others = {another, within / "onedoor-scratch-link", within / "onedoor-scratch-file"}
    assert (remaining, later) == ({its, mine.path, *others}, {mine.path, *others})


def test_a_folder_removed_before_its_lock_is_created_again(within: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = tempfile.mkdtemp
    folders = []

    def mkdtemp(prefix: str) -> str:
        path = real(prefix=prefix)
        if not folders:
            remove_abandoned_folders()
        folders.append(Path(path))
        return path

    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
    mine = create_locked_folder()
    assert (mine.path, set(within.iterdir())) == (folders[1], {folders[1]})
    mine.close()


def test_a_missing_temporary_folder_has_nothing_to_remove(within: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(within / "nowhere"))
    remove_abandoned_folders()
    with pytest.raises(OSError, match="nowhere"):
        create_locked_folder()
