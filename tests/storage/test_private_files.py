"""What the product writes is readable by its owner alone, whatever umask it is started with."""

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from onedoor.audit.log import open_audit_log
from onedoor.cli import main
from onedoor.config import read_secret_file
from onedoor.errors import ConfigurationError
from onedoor.storage.database import open_database, utc_now
from onedoor.storage.private_files import restrict_to_owner
from tests.jobs.application import PEPPER, open_application


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    """Let others read whatever is made without a thought."""
    umask = os.umask(0o022)
    yield
    os.umask(umask)


def list_open_files(folder: Path) -> list[str]:
    """List the files that others than their owner may read."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files != []
    return sorted(path.name for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077)


async def test_state_queue_and_records_are_their_owners_alone(tmp_path: Path) -> None:
    async with open_application(tmp_path, (), url=f"sqlite:///{tmp_path}/state.sqlite", at_once=True):
        open_files = list_open_files(tmp_path)
        is_queued = (tmp_path / "state-jobs.sqlite").exists()
    assert (open_files, is_queued) == ([], True)


def test_a_command_makes_nothing_that_others_may_read(tmp_path: Path) -> None:
    created = CliRunner().invoke(main.main, ["new", str(tmp_path / "acme")])
    assert (created.exit_code, list_open_files(tmp_path)) == (0, [])
    assert os.umask(0o022) == 0o022


def test_files_of_an_earlier_release_are_closed_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"sqlite:///{tmp_path}/state.sqlite"
    open_database(url, PEPPER).close()
    for name in ("state.sqlite", "state.sqlite-wal"):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o644)
    with caplog.at_level(logging.WARNING, "onedoor"):
        open_database(url, PEPPER).close()
    assert list_open_files(tmp_path) == []
    assert [record.getMessage() for record in caplog.records] == [
        f"`{tmp_path}/{name}` could be read by other users of this machine: it is now its owner's alone"
        for name in ("state.sqlite", "state.sqlite-wal")
    ]


def test_a_file_of_another_user_that_others_may_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.sqlite"
    path.touch()

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(ConfigurationError, match=r"let its owner run `chmod go= .*state\.sqlite`$"):
        restrict_to_owner([path, tmp_path / "none"])


def test_a_secret_in_a_file_that_others_may_read_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "pepper"
    path.write_text("secret")
    assert read_secret_file(path, "state.pepper") == "secret"
    path.chmod(0o600)
    read_secret_file(path, "state.pepper")
    (warning,) = caplog.messages
    assert warning == (f"`state.pepper` is in a file that other users of this machine may read: run `chmod go= {path}`")


def test_a_log_file_is_its_owners_alone(tmp_path: Path) -> None:
    open_audit_log(tmp_path, utc_now()).close()
    assert list_open_files(tmp_path) == []
