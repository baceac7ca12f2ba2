"""Manage users and keys from a terminal: everything that a mutation does, and the first administrator."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from onedoor.cli import main

PEPPER = "a pepper of at least thirty-two characters"
ADA, BOB = "ada@acme.example", "bob@acme.example"
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command where the secrets of the sources are not set."""
    settings = '[sources.shop]\nkind = "postgresql"\nurl = { env = "SHOP_URL" }\n'
    (tmp_path / "onedoor.toml").write_text(settings)
    (tmp_path / "records/journal").mkdir(parents=True)
    environment = {"ONEDOOR_PEPPER": PEPPER, "ONEDOOR_CONFIG": str(tmp_path / "onedoor.toml")}
    return lambda *words: CliRunner().invoke(main.main, words, env=environment)


@pytest.fixture
def do(run: Run) -> Callable[..., str]:
    """Run a command that changes something, and return what it prints."""

    def act(*words: str) -> str:
        result = run(*words, "--reason", "as the ticket says")
        assert result.exit_code == 0, result.output
        return result.stdout

    return act


def test_a_person_is_renamed_moved_and_brought_back(run: Run, do: Callable[..., str]) -> None:
    id = do("users", "create", ADA, "Ada", "Lovelace", "--group", "finance").split()[-1]
    do("users", "rename", ADA, "Ada", "King")
    assert do("users", "change-email", id, "king@acme.example") == f"{id} is king@acme.example\n"
    do("users", "deactivate", id)
    assert do("users", "activate", "king@acme.example") == "king@acme.example is active, and in everyone, finance\n"
    (shown,) = json.loads(run("users", "show", id, "--json").stdout)
    assert (shown["id"], shown["last_name"], shown["email"]) == (id, "King", "king@acme.example")
    assert [membership["source"] for membership in shown["memberships"]] == ["local", "local"]


def test_attributes_are_set_and_removed(run: Run, do: Callable[..., str]) -> None:
    do("users", "create", ADA, "Ada", "Lovelace")
    assert do("users", "set-attribute", ADA, "customer", "20", "21") == f"{ADA} has customer = 20 21\n"
    assert "customer = 20 21" in run("users", "show", ADA).stdout
    assert do("users", "set-attribute", ADA, "customer") == f"{ADA} has no customer\n"
    assert json.loads(run("users", "show", ADA, "--json").stdout)[0]["attributes"] == {}


def test_a_service_has_an_owner_groups_and_a_key(run: Run, do: Callable[..., str]) -> None:
    do("users", "create-service", "till-7", "--owner", "sales", "--group", "finance")
    do("keys", "create", "till-7")
    do("keys", "rotate", "till-7", "--at-once")
    (service,) = json.loads(run("users", "list", "--json").stdout)
    assert (service["email"], service["owner_group"], service["groups"]) == ("till-7", "sales", ["everyone", "finance"])
    refused = run("users", "create-service", "till-8", "--owner", "sale", "--reason", "x")
    assert "there is no group `sale`: did you mean `sales`" in refused.stderr


def test_lists_are_narrowed_and_are_json_for_programs(run: Run, do: Callable[..., str]) -> None:
    do("users", "create", ADA, "Ada", "Lovelace", "--group", "finance")
    do("users", "create", BOB, "Bob", "Bohr")
    do("keys", "create", ADA, "--days", "7")
    do("keys", "create", BOB)
    assert [user["email"] for user in json.loads(run("users", "list", "--group", "finance", "--json").stdout)] == [ADA]
    members = json.loads(run("groups", "members", "finance", "--json").stdout)
    assert [(member["email"], member["source"]) for member in members] == [(ADA, "local")]
    (key,) = json.loads(run("keys", "list", "--expiring", "30", "--json").stdout)
    assert key["email"] == ADA
    assert datetime.fromisoformat(key["expires_at"]) - datetime.now(UTC) < timedelta(days=7)
    assert run("keys", "list", BOB).stdout.count("\n") == 2
    assert {group["name"] for group in json.loads(run("groups", "list", "--json").stdout)} >= {"finance", "everyone"}
    history = json.loads(run("groups", "history", ADA, "--json").stdout)
    assert [(period["group"], period["added_because"]) for period in history] == [
        ("everyone", "as the ticket says"), ("finance", "as the ticket says"),
    ]  # fmt: skip


def test_a_file_of_people_is_imported_as_a_whole(run: Run, do: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text(f"\ufeffemail;first_name;last_name;groups\n{ADA};Ada;Lovelace;finance\n{BOB};Bob;Bohr;sale\n")
    failed = run("users", "import", str(file), "--reason", "the new office")
    assert failed.exit_code == 2
    assert "1 of 2 lines are refused: correct them, and import again" in failed.stderr
    assert "there is no group `sale`: did you mean `sales`" in failed.stdout
    assert json.loads(run("users", "list", "--json").stdout) == []
    file.write_text(file.read_text().replace(";sale\n", ";sales\n"))
    assert "CREATED" in do("users", "import", str(file), "--dry-run")
    assert json.loads(run("users", "list", "--json").stdout) == []
    lines: Any = json.loads(do("users", "import", str(file), "--json"))
    assert [(line["number"], line["outcome"]) for line in lines] == [(2, "CREATED"), (3, "CREATED")]
    assert len(json.loads(run("users", "list", "--json").stdout)) == 2


def test_the_first_administrator_is_named_once(run: Run, do: Callable[..., str]) -> None:
    do("users", "create", ADA, "Ada", "Lovelace")
    do("users", "create", BOB, "Bob", "Bohr")
    assert do("users", "bootstrap", ADA) == f"{ADA} is in user-administration\n"
    do("groups", "leave", ADA, "user-administration")
    again = run("users", "bootstrap", BOB, "--reason", "x")
    assert (again.exit_code, "the first member of `user-administration` was named before" in again.stderr) == (2, True)
