"""Administrators see what the syncs of directories did, decide about halted ones, and hand people over to them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from auth import users
from auth.attribution import Attribution
from auth.directory.people import Account, apply_account
from auth.directory.reports import Removal, RemovalsHalted, Sync, lock_source, report_refusal
from auth.groups import Groups
from auth.memberships import IdentitySource
from onedoor.audit.reader import read_records
from onedoor.cli import main
from onedoor.storage.database import MetadataDatabase, open_database

PEPPER = "a pepper of at least thirty-two characters"
ADA = "ada@acme.example"
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "onedoor.toml").write_text("")
    (tmp_path / "records/journal").mkdir(parents=True)
    environment = {"ONEDOOR_PEPPER": PEPPER, "ONEDOOR_CONFIG": str(tmp_path / "onedoor.toml")}
    return lambda *words: CliRunner().invoke(main.main, words, env=environment)


@pytest.fixture
def state(run: Run, tmp_path: Path) -> MetadataDatabase:
    return open_database(f"sqlite:///{tmp_path}/onedoor.sqlite", PEPPER.encode())


def halt_removal_of(state: MetadataDatabase, email: str) -> None:
    with state.write_transaction() as connection:
        lock_source(connection, IdentitySource.SCIM)
        sync = Sync(
            connection=connection, source=IdentitySource.SCIM, groups=Groups(), now=state.now(),
            attribution=Attribution(actor="scim"), pepper=state.pepper,
        )  # fmt: skip
        account = Account(user_name=email, active=True, email=email, first_name="Ada", last_name="Lovelace")
        person_id = apply_account(sync, account, person_id=None, was_active=False)
        report_refusal(sync, RemovalsHalted([Removal(person_id=person_id)]))


@pytest.mark.parametrize(("verb", "state_after"), [("approve", "APPROVED"), ("dismiss", "DISMISSED")])
def test_a_halted_sync_is_decided_once_and_on_record(
    run: Run, state: MetadataDatabase, tmp_path: Path, verb: str, state_after: str
) -> None:
    halt_removal_of(state, ADA)
    header, line = run("directory", "syncs").stdout.splitlines()
    id = line.split()[0]
    assert (header.split()[0], line.split()[1], "HALTED" in line, "waiting:1" in line) == ("sync", "scim", True, True)
    assert ADA in run("directory", "changes", id).stdout
    (sync,), changes = (json.loads(run("directory", *words, "--json").stdout) for words in (["syncs"], ["changes", id]))
    assert (sync["id"], sync["counts"]["WAITING"], changes[-1]["subject"]) == (id, 1, ADA)
    decided = run("directory", verb, id, "--reason", "ticket 1")
    assert (decided.exit_code, decided.stdout) == (0, f"{ADA}\n")
    assert state_after in run("directory", "syncs").stdout
    again = run("directory", verb, id, "--reason", "ticket 1")
    assert (again.exit_code, "is not halted" in again.stderr) == (2, True)
    unknown = run("directory", verb, "x", "--reason", "ticket 1")
    assert (unknown.exit_code, "there is no sync `x`" in unknown.stderr) == (2, True)
    (record, *_) = read_records(tmp_path / "records/journal")
    assert (record["operation"], record["reason"]) == (f"directory {verb}", "ticket 1")
    assert [(change["verb"], change["type"]) for change in record["changes"]] == [(verb, "DirectorySync")]


def test_links_are_shown_to_administrators_on_record(run: Run, state: MetadataDatabase, tmp_path: Path) -> None:
    halt_removal_of(state, ADA)
    shown = run("directory", "claims", "--reason", "her first day").stdout
    email, link = shown.split()
    assert (email, link.partition("oc_")[0]) == (ADA, "http://127.0.0.1:8000/account#code=")
    another = run("directory", "claim", ADA, "--reason", "she lost it").stdout.strip()
    assert another != link
    (listed,) = json.loads(run("directory", "claims", "--json", "--reason", "again").stdout)
    assert (listed["email"], listed["link"]) == (ADA, another)
    records = list(read_records(tmp_path / "records/journal"))
    assert [record["operation"] for record in records] == ["directory claims", "directory claim", "directory claims"]
    assert [change["verb"] for change in records[0]["changes"]] == ["show"]
    assert link.partition("#code=")[2] not in str(records)


def test_a_person_made_by_hand_is_handed_over_by_an_administrator_alone(run: Run, state: MetadataDatabase) -> None:
    users.create_user(state, first_name="Ada", last_name="Lovelace", email=ADA)
    users.create_service(state, name="till-7", owner_group="everyone")
    assert run("directory", "adopt", ADA, "--reason", "x").exit_code == 0
    assert run("directory", "adopt", ADA, "--reason", "x").exit_code == 0, "twice changes nothing"
    other = run("directory", "adopt", ADA, "--source", "ldap", "--reason", "x")
    assert (other.exit_code, "is from the directory `scim` already" in other.stderr) == (2, True)
    service = run("directory", "adopt", "till-7", "--reason", "x")
    assert (service.exit_code, "is a service" in service.stderr) == (2, True)
