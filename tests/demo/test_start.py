"""Run `python -m demo`: what it writes, whom it admits, and how it fails to start in a sentence."""

import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from graphql import parse, validate

import demo.__main__
from auth import api_keys, users
from auth.grant_store import GrantStore
from demo.run import IN_POSTGRESQL, PEOPLE, SECRETS, keys, load_pepper, lock_folder, settings
from demo.servers import run
from demo.servers.run import HOST, ROOT
from onedoor import config
from onedoor.storage.database import MetadataDatabase, open_database
from tests.acme import GROUP_NAMES, GROUPS, load_schema_and_policy
from tests.audit.sealed_logs import PRIVATE_KEY

EXCLUSIVE = frozenset(group.name for group in GROUPS if group.exclusive)
ADDRESSES = {name: (HOST, number) for number, name in enumerate(run.NAMES, start=1)}
ENVIRONMENT = {
    **SECRETS,
    "ONEDOOR_PEPPER": "p" * 64,
    "ONEDOOR_CHECKPOINT_KEY": PRIVATE_KEY,
    "INTERNAL_URL": "postgresql://127.0.0.1/acme",
}


@pytest.fixture
def state(tmp_path: Path) -> Iterator[MetadataDatabase]:
    with closing(open_database(f"sqlite:///{tmp_path}/state.sqlite", b"p" * 64)) as database:
        yield database


Refusal = Callable[..., tuple[object, str]]


@pytest.fixture
def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refusal:
    """Run the demo with these arguments, and return its status and what it wrote, once it ends."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    def run_demo(*arguments: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["demo", "--scale", "0.01", *arguments])
        with pytest.raises(SystemExit) as ended:
            demo.__main__.main()
        return ended.value.code, capsys.readouterr().err

    return run_demo


@pytest.mark.parametrize(("internal", "kind"), [(None, "sqlite"), (IN_POSTGRESQL, "postgresql")])
def test_the_product_reads_the_demos_settings(tmp_path: Path, internal: str | None, kind: str) -> None:
    path = tmp_path / "onedoor.toml"
    path.write_text(settings(folder=tmp_path, port=8123, addresses=ADDRESSES, internal=internal))
    read = config.load_settings(path, ENVIRONMENT)

    assert (read.server.host, read.server.port, read.records.folder) == (HOST, 8123, tmp_path / "records")
    assert {name: source.kind for name, source in read.sources.items()} == {
        "internal": kind, "snowflake": "snowflake", "s3": "s3", "slack": "slack",
        "azure_files": "azure_files", "azure_blob": "azure_blob",
        "drive": "drive",
        "prometheus": "prometheus", "datadog": "datadog",
        "github": "rest",
        "directory": "graphql",
        "folder": "folder",
    }  # fmt: skip


def test_a_folder_with_a_quote_in_its_name_is_still_toml(tmp_path: Path) -> None:
    folder = tmp_path / 'a "quoted" \\ folder'
    folder.mkdir()
    (folder / "onedoor.toml").write_text(settings(folder=folder, port=1, addresses=ADDRESSES), encoding="utf-8")

    assert config.load_settings(folder / "onedoor.toml", ENVIRONMENT).records.folder == folder / "records"


def test_no_secret_stands_in_the_settings(tmp_path: Path) -> None:
    text = settings(folder=tmp_path, port=1, addresses=ADDRESSES)

    assert [secret for secret in SECRETS.values() if f'"{secret}"' in text] == []


def test_each_group_has_one_person_and_one_valid_key(state: MetadataDatabase) -> None:
    result = keys(state)

    assert {person.email: person.groups for person in users.list_users(state)} == {
        person.email: tuple(sorted({"everyone", person.group, *person.other_groups})) for person in PEOPLE
    }
    assert result.keys() == GROUP_NAMES - EXCLUSIVE, "nobody is in an exclusive group but by a grant"
    assert len({*result.values()}) == len(result)


def test_each_group_that_is_lent_has_somebody_who_decides(state: MetadataDatabase) -> None:
    keys(state)
    store = GrantStore(database=state, groups=GROUPS)
    assert [group.name for group in GROUPS if not store.list_approvers(group.name)] == ["people"]


def test_every_start_gives_the_same_keys_whatever_was_rotated_since(state: MetadataDatabase) -> None:
    first = keys(state)
    api_keys.rotate_key(state, PEOPLE[1].email)

    assert keys(state) == first


def test_a_folder_keeps_its_pepper_to_itself(tmp_path: Path) -> None:
    first = load_pepper(tmp_path)

    assert (load_pepper(tmp_path), len(first)) == (first, 64)
    assert (tmp_path / "pepper").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.group)
def test_a_query_is_answered(person: object) -> None:
    schema, _ = load_schema_and_policy()

    assert validate(schema, parse(person.question)) == []  # type: ignore[attr-defined]


def test_a_busy_port_is_one_sentence(tmp_path: Path, refusal: Refusal) -> None:
    with socket.create_server((HOST, 0)) as busy:
        port = str(busy.getsockname()[1])
        error = refusal("--port", port, "--folder", str(tmp_path))

    assert error == (2, f"port {port} of `127.0.0.1` is taken or may not be used: choose another\n")


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path, refusal: Refusal) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "demo"

    assert refusal("--port", "0", "--folder", str(folder)) == (
        2, f"`{folder}` cannot be written to: Not a directory; choose another `--folder`\n",
    )  # fmt: skip


def test_a_folder_in_use_is_one_sentence(tmp_path: Path, refusal: Refusal) -> None:
    with lock_folder(tmp_path):
        error = refusal("--port", "0", "--folder", str(tmp_path))

    assert error == (2, f"another demo runs in `{tmp_path}`; stop it, or choose another `--folder`\n")


def test_a_half_written_database_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "internal.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE customer (id INTEGER)")

    command = [sys.executable, "-m", "demo", "--scale", "0.01", "--port", "0", "--folder", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (
        2, f"`{path}` is not a database that the demo made; remove it or choose another folder\n",
    )  # fmt: skip
