"""Code generated from schema/schema.graphql is fresh, and covers the queries of the pages."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from graphql import build_schema, parse, print_ast, validate

from tests.e2e.clients.conftest import HERE, ROOT, SECONDS, Node

DASHBOARD = HERE / "dashboard"
TAGS = {
    name: text for text, name in re.findall(r"graphql`([^`]*?query (\w+)[^`]*)`", (DASHBOARD / "relay.ts").read_text())
}
COMPILER = os.environ.get("RELAY_COMPILER") or shutil.which("relay-compiler")
CODEGEN = os.environ.get("GRAPHQL_CODEGEN") or shutil.which("graphql-codegen")


def artifact(name: str) -> str:
    return (DASHBOARD / "__generated__" / f"{name}.graphql.ts").read_text(encoding="utf-8")


def test_types_are_those_that_graphql_codegen_makes(node: Node) -> None:
    generated, committed = node("generate.mjs"), DASHBOARD / "graphql.ts"
    if os.environ.get("CLIENTS") == "write":
        committed.write_text(generated, encoding="utf-8")

    assert committed.read_text(encoding="utf-8") == generated, "run `CLIENTS=write pytest tests/e2e/clients`"


def test_relay_compiled_each_question_of_the_page() -> None:
    committed = {path.name.partition(".")[0] for path in (DASHBOARD / "__generated__").iterdir()}

    assert committed == set(TAGS)


@pytest.mark.parametrize("name", TAGS)
def test_relay_compiled_the_question_as_it_stands_now(name: str) -> None:
    digest = hashlib.md5(print_ast(parse(TAGS[name])).encode(), usedforsecurity=False).hexdigest()

    hashes = re.findall(r'\.hash = "(\w+)"', artifact(name))
    assert hashes == [digest], "run relay-compiler in tests/e2e/clients/dashboard"


@pytest.mark.parametrize("name", TAGS)
def test_what_relay_compiled_fits_the_schema(name: str) -> None:
    text = json.loads(re.findall(r'"text": (".*")', artifact(name))[0])
    schema = build_schema((ROOT / "schema/schema.graphql").read_text(encoding="utf-8"))

    assert validate(schema, parse(text)) == []


@pytest.mark.skipif(
    not CODEGEN, reason="graphql-codegen is not installed: put it on PATH or name it in GRAPHQL_CODEGEN"
)
def test_graphql_codegen_s_command_makes_the_same(tmp_path: Path) -> None:
    """In a folder of its own, with packages installed beside it as in a project of pages."""
    board = tmp_path / DASHBOARD.relative_to(ROOT)
    board.mkdir(parents=True)
    for name in ("codegen.ts", "questions.graphql"):
        shutil.copy(DASHBOARD / name, board)
    (tmp_path / "schema").mkdir()
    shutil.copy(ROOT / "schema/schema.graphql", tmp_path / "schema")
    (tmp_path / "node_modules").symlink_to(
        next(parent for parent in Path(str(CODEGEN)).parents if parent.name != ".bin")
    )
    done = subprocess.run(
        [str(CODEGEN), "--config", str(board / "codegen.ts")],
        cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert (board / "graphql.ts").read_text(encoding="utf-8") == (DASHBOARD / "graphql.ts").read_text(encoding="utf-8")


@pytest.mark.skipif(not COMPILER, reason="relay-compiler is not installed: put it on PATH or name it in RELAY_COMPILER")
def test_relay_s_compiler_would_change_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(COMPILER), "--validate", "relay.config.json"],
        cwd=DASHBOARD, capture_output=True, text=True, timeout=SECONDS, env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
