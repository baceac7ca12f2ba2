"""`python -m onedoor audit` says whether the log is whole, and what was done to it, in words and in exit codes."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from onedoor.audit.log import open_audit_log
from onedoor.audit.receipts import find_receipt, hash_answer
from onedoor.audit.statements import format_public_key
from onedoor.cli import main
from onedoor.cli.new import create_company
from onedoor.config import load_records_settings
from onedoor.connectors.checkpoint_stores import open_sealing
from tests.audit.conftest import record_of
from tests.audit.sealed_logs import OTHER_SIGNER

Run = Callable[..., Result]
ADA = ("users", "create", "ada@acme.example", "Ada", "Lovelace", "--reason", "she joins us")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A new company, of whose log one command is on record."""
    create_company(tmp_path / "acme")
    assert run(tmp_path / "acme")(*ADA).exit_code == 0
    return tmp_path / "acme"


def run(folder: Path) -> Run:
    return lambda *words: CliRunner().invoke(main.main, ["--config", str(folder / "onedoor.toml"), *words], env={})


def find_log(folder: Path) -> Path:
    (path,) = (folder / "records").glob("*.jsonl")
    return path


def test_a_new_company_is_sealed_from_its_first_record(folder: Path) -> None:
    result = run(folder)("audit", "verify", "--public-key", str(folder / "audit.pub"))
    assert (result.exit_code, result.output) == (
        0, "2 records in 1 files hold together\nall of them are sealed by checkpoints\n"
    )  # fmt: skip
    assert len(list((folder / "checkpoints").iterdir())) == 1


def test_an_auditor_needs_no_settings_and_no_secret(folder: Path, tmp_path: Path) -> None:
    result = run(tmp_path / "nowhere")(
        "audit", "verify", "--records", str(folder / "records"), "--checkpoints", str(folder / "checkpoints"),
        "--public-key", (folder / "audit.pub").read_text().strip(),
    )  # fmt: skip
    assert result.exit_code == 0, result.output


def test_what_was_changed_is_named_and_the_exit_code_is_1(folder: Path) -> None:
    log = find_log(folder)
    log.write_bytes(log.read_bytes().replace(b"she joins us", b"she left us!", 1))
    result = run(folder)("audit", "verify")
    assert result.exit_code == 1
    assert f"`{log.name}` line 2, record " in result.output
    assert "it was changed, or lines after it were taken away" in result.output


def test_a_missing_file_is_named(folder: Path) -> None:
    log = find_log(folder)
    log.unlink()
    result = run(folder)("audit", "verify")
    assert (result.exit_code, "the file is missing: it held 2 records" in result.output) == (1, True)


def test_an_end_that_is_not_sealed_is_exit_code_3(folder: Path) -> None:
    log = find_log(folder)
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
    for path in (folder / "checkpoints").iterdir():
        path.unlink()
    result = run(folder)("verify")
    assert (result.exit_code, "its end is not sealed" in result.output) == (3, True)
    assert "2 records after the last checkpoint are not sealed" in result.output


def test_json_says_the_same(folder: Path) -> None:
    find_log(folder).unlink()
    told = json.loads(run(folder)("audit", "verify", "--json").stdout)
    assert {name: told[name] for name in ("files", "records", "sealed", "unsealed", "altered")} == {
        "files": 0, "records": 0, "sealed": 0, "unsealed": 0, "altered": True,
    }  # fmt: skip
    assert [finding["kind"] for finding in told["findings"]] == ["altered"]


def test_without_a_key_nothing_is_proved(folder: Path) -> None:
    (folder / "secrets/checkpoint_key").unlink()
    result = run(folder)("audit", "verify", "--checkpoints", str(folder / "checkpoints"))
    assert "no key is known, so no checkpoint proves anything: name one with `--public-key`" in result.output


def test_a_rotation_is_on_record_and_signed(folder: Path) -> None:
    successor = format_public_key(OTHER_SIGNER.public_key)
    result = run(folder)("audit", "rotate-key", successor, "--reason", "a year has passed")
    assert result.exit_code == 0, result.output
    verified = run(folder)("audit", "verify", "--public-key", str(folder / "audit.pub"))
    assert (verified.exit_code, verified.output.splitlines()[0]) == (0, "4 records in 3 files hold together")
    assert [path.name[:9] for path in (folder / "checkpoints").iterdir()].count("rotation.") == 1


def test_a_key_is_made_and_stored_nowhere(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    lines = run(folder)("audit", "key").stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["private", "public", "name"]
    assert sorted(folder.rglob("*")) == before


def test_an_answer_is_proved_months_later_without_the_log(folder: Path, tmp_path: Path) -> None:
    digest = hash_answer(b'{"me":null}')
    settings = load_records_settings(folder / "onedoor.toml", {})

    async def write() -> None:
        sealing = open_sealing(settings.checkpoints)
        audit_log = open_audit_log(settings.folder, datetime(2026, 11, 1, tzinfo=UTC), sealing=sealing)
        await audit_log.append(record_of(1, person="p1", digest=digest))
        audit_log.close()

    asyncio.run(write())
    receipt = find_receipt(settings.folder, record_of(1).id)
    assert receipt is not None
    (tmp_path / "receipt.json").write_text(json.dumps({"data": {"receipt": asdict(receipt)}}))
    words = ("audit", "verify-receipt", str(tmp_path / "answer.json"), str(tmp_path / "receipt.json"))
    for answer, code, output in (
        (b'{"data":{"me":null}}', 0, "person p1 was given this answer to the request of 2026-11-01T12:30:15"),
        (b'{"data":{"me":null},"errors":[]}', 0, "`data` alone is proved: `errors` and `extensions` beside it are not"),
        (b'{"data":{"me":1}}', 1, "the receipt is for another answer: its digest is not that of `data`"),
    ):
        (tmp_path / "answer.json").write_bytes(answer)
        result = run(tmp_path / "nowhere")(*words, "--public-key", str(folder / "audit.pub"))
        assert (result.exit_code, output in result.output) == (code, True), result.output


def test_only_what_is_recorded_needs_the_key(folder: Path) -> None:
    (folder / "secrets/checkpoint_key").unlink()
    assert run(folder)("users", "list").exit_code == 0
    refused = run(folder)("users", "deactivate", "ada@acme.example", "--reason", "she leaves")
    assert (refused.exit_code, "`records.checkpoints` needs a `private_key`" in refused.output) == (2, True)
