"""Every command that changes something is on record: who, whom, when and why."""

import os
import pwd
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from auth import api_keys, users
from onedoor.audit.log import DiskOps, open_audit_log
from onedoor.audit.reader import read_records
from onedoor.audit.verification import verify_folder
from onedoor.cli import administration, main
from onedoor.connectors.audit_log import read_audit_rows
from onedoor.storage.database import MetadataDatabase, open_database

PEPPER = "a pepper of at least thirty-two characters"
ADA = "ada@acme.example"
WHO = f"os:{pwd.getpwuid(os.getuid()).pw_name}"
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run one command on a folder of its own, with the environment of somebody who would be another."""
    (tmp_path / "onedoor.toml").write_text('[documents]\nfolder = "documents"\n')
    (tmp_path / "records/journal").mkdir(parents=True)
    (tmp_path / "me.graphql").write_text("{ me { id } }")
    environment = {
        "ONEDOOR_PEPPER": PEPPER, "ONEDOOR_CONFIG": str(tmp_path / "onedoor.toml"), "USER": "x", "LOGNAME": "x",
    }  # fmt: skip
    return lambda *words: CliRunner().invoke(main.main, words, env=environment)


def run_all(run: Run, *commands: tuple[str, ...]) -> None:
    for number, words in enumerate(commands):
        result = run(*words, "--reason", f"reason {number}")
        assert result.exit_code == 0, result.output


def open_state(folder: Path) -> MetadataDatabase:
    return open_database(f"sqlite:///{folder}/onedoor.sqlite", PEPPER.encode())


def load_records(folder: Path) -> list[Mapping[str, Any]]:
    return list(read_records(folder / "records/journal"))


def test_each_command_leaves_one_record_with_who_whom_when_and_why(run: Run, tmp_path: Path) -> None:
    run_all(
        run,
        ("users", "create", ADA, "Ada", "Lovelace"),
        ("groups", "join", ADA, "finance", "sales"),
        ("groups", "leave", ADA, "sales"),
        ("keys", "create", ADA),
        ("keys", "rotate", ADA),
        ("keys", "revoke", ADA),
        ("documents", "register", str(tmp_path / "me.graphql")),
        ("users", "deactivate", ADA),
    )
    state = open_state(tmp_path)
    id = users.find_user_id(state, ADA)
    (key_id,) = (key.id for key in api_keys.list_keys(state))
    state.close()
    (document,) = (path.stem for path in (tmp_path / "documents").iterdir())
    records = load_records(tmp_path)
    assert [
        (record["operation"], {f"{change['verb']} {change['type']} {change['id']}" for change in record["changes"]})
        for record in records
    ] == [
        ("users create", {f"create User {id}", f"create Membership {id}/everyone"}),
        ("groups join", {f"create Membership {id}/finance", f"create Membership {id}/sales"}),
        ("groups leave", {f"delete Membership {id}/sales"}),
        ("keys create", {f"create Key {key_id}"}),
        ("keys rotate", {f"rotate Key {key_id}"}),
        ("keys revoke", {f"revoke Key {key_id}"}),
        ("documents register", {f"create Document sha256:{document}"}),
        ("users deactivate", {f"deactivate User {id}"}),
    ]
    assert [record["reason"] for record in records] == [f"reason {number}" for number in range(8)]
    assert {(record["surface"], record["person"], record["outcome"]) for record in records} == {
        ("cli", WHO, "answered")
    }
    verified = verify_folder(tmp_path / "records/journal")
    assert (verified.records, verified.files, verified.findings) == (16, 8, ())


def test_auditors_find_commands_among_requests(run: Run, tmp_path: Path) -> None:
    run_all(run, ("users", "create", ADA, "Ada", "Lovelace"))
    columns = ("surface", "person_id", "reason", "fields")
    assert read_audit_rows(tmp_path / "records/journal", "requests", columns) == [("cli", WHO, "reason 0", ())]


def test_whoever_acts_as_a_person_is_named_beside_them(run: Run, tmp_path: Path) -> None:
    run_all(run, ("users", "create", ADA, "Ada", "Lovelace"), ("groups", "join", ADA, "finance", "--as", ADA))
    state = open_state(tmp_path)
    id = users.find_user_id(state, ADA)
    state.close()
    assert load_records(tmp_path)[1]["person"] == f"{WHO} as {id}"
    unknown = run("groups", "leave", ADA, "finance", "--as", "nobody@acme.example", "--reason", "x")
    assert (unknown.exit_code, "there is no person `nobody@acme.example`" in unknown.stderr) == (2, True)


def test_a_command_without_a_reason_changes_nothing_where_nobody_can_be_asked(run: Run, tmp_path: Path) -> None:
    refused = run("users", "create", ADA, "Ada", "Lovelace")
    message = "Error: say why, it is put on record: add `--reason`\n"
    assert (refused.exit_code, refused.stdout, refused.stderr) == (2, "", message)
    assert (run("users", "list").stdout.count("\n"), load_records(tmp_path)) == (1, [])
    for reason in ("", " ", "a\nb", "x" * 1001):
        assert run("users", "create", ADA, "Ada", "Lovelace", "--reason", reason).exit_code == 2
    assert run("users", "list").stdout.count("\n") == 1


def test_a_command_that_cannot_open_a_record_changes_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "records/journal").rmdir()
    refused = run("users", "create", ADA, "Ada", "Lovelace", "--reason", "x")
    assert (refused.exit_code, "records/journal` to keep records in: create it" in refused.stderr) == (2, True)
    assert run("users", "list").stdout.count("\n") == 1


@pytest.mark.parametrize("call", ["write", "sync"])
@pytest.mark.parametrize("place", range(4), ids=["the header", "begun", "the end", "the end again"])
def test_what_cannot_be_recorded_is_not_done(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, place: int
) -> None:
    """A disk that fails from its n-th write or sync on."""
    calls = {"write": 0, "sync": 0}

    def fail_from(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def act(*arguments: Any) -> Any:
            calls[name] += 1
            if name == call and calls[name] > place:
                raise OSError
            return real(*arguments)

        return act

    disk = DiskOps(write=fail_from("write", os.write), sync=fail_from("sync", os.fsync))
    monkeypatch.setattr(administration, "open_audit_log", partial(open_audit_log, disk=disk))
    result = run("users", "create", ADA, "Ada", "Lovelace", "--reason", "x")
    is_done = run("users", "list").stdout.count("\n") == 2
    assert (is_done, result.exit_code) == (place > 1, 0 if place > 1 else 2)
    assert ("its end could not be written" in result.stderr) == (place == 2)
    outcomes = [record["outcome"] for record in load_records(tmp_path)]
    assert outcomes == ([] if not is_done else ["begun"] if place == 2 else ["answered"])
    assert verify_folder(tmp_path / "records/journal").findings == ()


def test_a_command_that_fails_is_on_record_as_failed(run: Run, tmp_path: Path) -> None:
    run_all(run, ("users", "create", ADA, "Ada", "Lovelace"))
    assert run("users", "create", ADA, "Ada", "Lovelace", "--reason", "again").exit_code == 2
    assert [record["outcome"] for record in load_records(tmp_path)] == ["answered", "failed"]


def test_memberships_keep_their_history(run: Run, tmp_path: Path) -> None:
    run_all(
        run,
        ("users", "create", ADA, "Ada", "Lovelace"),
        ("groups", "join", ADA, "finance"),
        ("groups", "join", ADA, "finance"),
        ("groups", "leave", ADA, "finance"),
        ("groups", "join", ADA, "finance"),
        ("users", "deactivate", ADA),
    )
    state = open_state(tmp_path)
    periods = users.list_membership_periods(state, user=ADA)
    assert users.list_membership_periods(state, group="finance") == periods[1:]
    state.close()
    assert [(period.group, period.added.reason, period.removed.reason) for period in periods] == [
        ("everyone", "reason 0", "reason 5"),
        ("finance", "reason 1", "reason 3"),
        ("finance", "reason 4", "reason 5"),
    ]
    assert {period.added.actor for period in periods} == {period.removed.actor for period in periods} == {WHO}
    ids = [record["id"] for record in load_records(tmp_path)]
    assert [(period.added.record_id, period.removed.record_id) for period in periods] == [
        (ids[0], ids[5]), (ids[1], ids[3]), (ids[4], ids[5]),
    ]  # fmt: skip
    shown = run("groups", "history", ADA).stdout.splitlines()
    assert [line.split()[:2] for line in shown] == [["email", "group"], [ADA, "everyone"], *[[ADA, "finance"]] * 2]
    assert run("groups", "history").stdout == run("groups", "history", ADA).stdout
    finance = run("groups", "history", "finance").stdout.splitlines()[1:]
    assert [line.split() for line in finance] == [line.split() for line in shown[2:]]
