"""`access` and `policy-diff`, for a terminal and for a CI."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from onedoor.cli import access, main
from tests import acme

OPENED = 'extend type Customer { creditLimit: Decimal @allow(groups: ["finance", "sales"]) }'
FINANCE = "finance (finance@acme.example)"
CUSTOMERS = {
    "id": "R1", "time": "2099-01-01T00:00:00.000000+00:00", "operation": "Q", "operation_hash": "H", "variables": {},
    "groups": ["everyone", "sales"], "text": "query Q {\n  customers(first: $) {\n    nodes { creditLimit }\n  }\n}",
}  # fmt: skip


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command on Acme, whose schema is built once for all tests."""
    catalog, modules = acme.build_catalog(), acme.parts()
    monkeypatch.setattr(access, "load_policy", lambda _: access.LocalPolicy(catalog=catalog, parts=modules))
    monkeypatch.setattr(access, "read_records", lambda _: [CUSTOMERS])
    return lambda *words: CliRunner().invoke(main.main, words)


def summarize(result: Result) -> tuple[int, str]:
    return result.exit_code, result.output


def test_a_coordinate_is_explained_and_a_denial_exits_with_1(run: Any) -> None:
    assert summarize(run("access", "Customer.creditLimit", "--group", "sales")) == (
        1, f"`Customer.creditLimit` is for finance; {acme.remedy(FINANCE)}\n"
    )  # fmt: skip
    assert summarize(run("access", "Customer.name", "--group", "sales")) == (
        0, "`Customer.name` is open to everyone, sales\n"
    )  # fmt: skip


def test_a_program_reads_the_same_as_json(run: Any) -> None:
    assert json.loads(run("access", "Customer.creditLimit", "--json").stdout) == {
        "coordinate": "Customer.creditLimit",
        "allowed": False,
        "masked": False,
        "groups": ["finance"],
        "missing": ["finance"],
        "owner": "sales operations",
        "contact": "sales-operations@acme.example",
        "remedy": acme.remedy(FINANCE),
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("access", "Customer.creditLimi"), "did you mean `Customer.creditLimit`"),
        (("access", "Customer.name", "--group", "salse"), "there is no group `salse`: did you mean `sales`"),
        (("policy-diff",), "there is nothing to compare with: add `--from` or `--to` with an SDL file"),
        (("policy-diff", "--to", "/nowhere.graphql"), "`/nowhere.graphql` cannot be read"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(run: Any, words: tuple[str, ...], message: str) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert message in result.output


def test_a_comparison_names_rules_and_decisions_and_may_fail_a_ci(run: Any, tmp_path: Path) -> None:
    (tmp_path / "to.graphql").write_text(OPENED)
    result = run("policy-diff", "--to", str(tmp_path / "to.graphql"), "--records", str(tmp_path), "--check", "--json")
    compared = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (compared["documents"], compared["requests"], compared["skipped"]) == (1, 1, 0)
    assert "Customer.creditLimit" in [rule["coordinate"] for rule in compared["rules"]]
    assert compared["row_rules"] == []
    assert compared["changes"] == [
        {
            "operation": "Q", "operation_hash": "H", "path": "customers.nodes.creditLimit",
            "coordinate": "Customer.creditLimit", "reason": "Customer.creditLimit", "groups": ["everyone", "sales"],
            "requests": 1, "change": "opened",
        }
    ]  # fmt: skip


def test_rules_that_are_the_same_change_nothing(run: Any, tmp_path: Path) -> None:
    (tmp_path / "from.graphql").write_text(OPENED)
    path = str(tmp_path / "from.graphql")
    assert summarize(run("policy-diff", "--from", path, "--to", path, "--check")) == (
        0, "0 rules change, and 0 decisions of 0 requests\n"
    )  # fmt: skip
