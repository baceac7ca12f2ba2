"""Run the commands of `onedoor` in a terminal."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from auth.key_format import parse_key
from onedoor.audit.log import open_audit_log
from onedoor.audit.record import AuditOutcome, AuditRecord
from onedoor.cli import main
from tests.acme import GROUPS

PEPPER = "a pepper of at least thirty-two characters"
ADA = "ada@acme.example"
ROOT = Path(__file__).parents[2]
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run one command on a folder of its own."""
    (tmp_path / "onedoor.toml").touch()
    (tmp_path / "records/journal").mkdir(parents=True)
    environment = {"ONEDOOR_PEPPER": PEPPER, "ONEDOOR_CONFIG": str(tmp_path / "onedoor.toml")}
    return lambda *words: CliRunner().invoke(main.main, words, env=environment)


def because(*words: str) -> tuple[str, ...]:
    """Add the reason that every command that changes something needs."""
    return (*words, "--reason", "a test")


@pytest.fixture
def ada(run: Run) -> None:
    result = run(*because("users", "create", ADA, "Ada", "Lovelace"))
    assert (result.exit_code, result.stderr) == (0, "")


def commands(group: click.Group = main.main, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if command.hidden:
            continue
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_every_commands_help_shows_how_it_is_called(run: Run, path: tuple[str, ...]) -> None:
    examples = run(*path, "--help").output.partition("Example")[2]
    assert re.search(rf"python -m onedoor .*{' '.join(path)}\b", examples)


@pytest.mark.usefixtures("ada")
def test_a_key_is_alone_on_standard_output_and_shown_once(run: Run) -> None:
    result = run(*because("keys", "create", ADA, "--days", "7"))
    assert parse_key(result.stdout.removesuffix("\n")) is not None
    assert result.stderr.startswith("keep it now, it is not shown again; it opens until ")
    secret = result.stdout.split("_")[2]
    assert secret not in run("keys", "list").output


@pytest.mark.usefixtures("ada")
def test_a_key_is_created_listed_rotated_and_revoked(run: Run) -> None:
    first = run(*because("keys", "create", ADA)).stdout.split("_")[1:]
    second = run(*because("keys", "rotate", ADA)).stdout.split("_")[1:]
    assert (second[0] == first[0], second[1] == first[1]) == (True, False)
    assert run(*because("keys", "revoke", first[0])).stdout == f"{first[0]} is revoked\n"
    lines = run("keys", "list").stdout.splitlines()
    assert {line.split()[0] for line in lines} == {"key", first[0]}
    today = f"{datetime.now(UTC):%Y-%m}"
    assert all(line.split()[-1].startswith(today) for line in lines[1:])


@pytest.mark.usefixtures("ada")
def test_a_person_joins_leaves_and_is_deactivated(run: Run) -> None:
    assert run(*because("groups", "join", ADA, "finance")).stdout == f"{ADA} is in finance\n"
    assert "everyone finance" in run("users", "list").stdout
    assert run(*because("groups", "leave", ADA, "finance")).stdout == f"{ADA} is no longer in finance\n"
    assert "finance" not in run("users", "list").stdout
    assert run(*because("users", "deactivate", ADA)).stdout == f"{ADA} is deactivated\n"
    assert f"{datetime.now(UTC):%Y-%m}" in run("users", "list").stdout


@pytest.mark.usefixtures("ada")
def test_a_person_joins_and_leaves_several_groups_at_once(run: Run) -> None:
    assert run(*because("groups", "join", ADA, "finance", "sales")).stdout == f"{ADA} is in finance, sales\n"
    assert "everyone finance sales" in run("users", "list").stdout
    assert run(*because("groups", "leave", ADA, "finance", "sales")).stdout == f"{ADA} is no longer in finance, sales\n"


@pytest.mark.usefixtures("ada")
def test_a_key_is_revoked_by_the_address_of_its_person(run: Run) -> None:
    id = run(*because("keys", "create", ADA)).stdout.split("_")[1]
    assert run(*because("keys", "revoke", ADA)).stdout == f"{id} is revoked\n"
    assert len([line for line in run("keys", "list").stdout.splitlines() if id in line and len(line.split()) == 5]) == 1


@pytest.mark.usefixtures("ada")
def test_the_old_name_of_a_command_still_runs(run: Run) -> None:
    assert run("people", "list").stdout == run("users", "list").stdout


def test_the_register_of_groups_needs_no_settings() -> None:
    listed = CliRunner().invoke(main.main, ["--config", "/nowhere", "groups", "list"]).stdout
    assert [line.split()[0] for line in listed.splitlines()] == ["group", *(group.name for group in GROUPS)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("groups", "join", ADA, "sale"), "there is no group `sale`: did you mean `sales`"),
        (("groups", "join", ADA, "finance", "sale"), "there is no group `sale`: did you mean `sales`"),
        (("keys", "revoke", ADA), f"`{ADA}` has no key to revoke"),
        (("users", "activate", ADA, "--reason", "x"), f"`{ADA}` is active"),
        (("keys", "rotate", ADA, "--reason", "x"), f"`{ADA}` has no key to rotate: create one"),
        (("keys", "create", "ada@acme.exampl", "--reason", "x"),
         f"there is no person `ada@acme.exampl`: did you mean `{ADA}`"),
        (("--config", "/nowhere", "keys", "list"),
         "there are no settings at `/nowhere`: name another file with `--config`, "
         "or begin a company with `python -m onedoor new FOLDER`"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("ada")
def test_a_mistake_is_one_sentence_and_exit_code_2(run: Run, words: tuple[str, ...], message: str) -> None:
    failed = run(*words)
    assert (failed.exit_code, failed.stdout, failed.stderr) == (2, "", f"Error: {message}\n")


def test_verify_counts_the_records_that_hold_together(run: Run, tmp_path: Path) -> None:
    path = keep_three(tmp_path / "records/journal")
    good = run("verify")
    assert (good.exit_code, good.stdout) == (
        0, "3 records in 1 files hold together\nno key is known, so no checkpoint proves anything: name one with "
        "`--public-key`\n",
    )  # fmt: skip
    path.write_bytes(path.read_bytes().replace(b'"id":"1"', b'"id":"9"'))
    bad = run("verify")
    assert (bad.exit_code, bad.stderr) == (
        1, f"`{path.name}` line 3, record 9, t: it was changed, or lines after it were taken away\n",
    )  # fmt: skip


def keep_three(folder: Path) -> Path:
    async def keep() -> None:
        audit_log = open_audit_log(folder, datetime(2026, 11, 1, tzinfo=UTC))
        for number in range(3):
            await audit_log.append(
                AuditRecord(id=str(number), time="t", surface="graphql", outcome=AuditOutcome.ANSWERED, status=200)
            )
        audit_log.close()

    asyncio.run(keep())
    (path,) = folder.iterdir()
    return path


def test_the_command_runs_from_any_folder(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "onedoor", "--company", str(ROOT), "groups", "list"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
    )
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_a_misspelled_command_is_offered(run: Run) -> None:
    assert "Did you mean one of: 'activate', 'deactivate'?" in run("users", "deactivat", ADA).stderr
