"""Follow docs/introspecting.md: generate from its database, compare its file, and run its query."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from onedoor.cli import main
from tests.codegen.conftest import source_of
from tests.codegen.generated_company import build_engine, fetch_data, introspect
from tests.docs.pages import ROOT, Block, blocks

PAGE = ROOT / "docs/introspecting.md"


def only(language: str) -> Block:
    (block,) = blocks(PAGE, language)
    return block


async def test_the_files_are_those_shown_and_the_question_has_its_answer(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shops.sqlite"
    with closing(sqlite3.connect(tmp_path / "shops.sqlite")) as connection:
        connection.executescript(only("sql").text)
    introspect(url, tmp_path, "--allow", "sales", "--owner", "shop desk", source="shops")
    assert (tmp_path / "schema/shop.py").read_text(encoding="utf-8") == only("python").text
    source = await source_of(url)
    data = await fetch_data(build_engine(tmp_path, source, "shops"), only("graphql").text)
    await source.close()
    assert data == json.loads(only("json").text)


def test_every_option_is_explained() -> None:
    command = main.main.commands["introspect"]  # type: ignore[attr-defined]
    text = PAGE.read_text(encoding="utf-8")
    known = {
        "--source", "--allow", "--owner", "--tables", "--key", "--strip", "--into", "--dry-run", "--only", "--given",
        "--base-url", "--header", "--host", "--private", "--binary",
    }  # fmt: skip
    assert all(f"| `{item}" in text for item in known)
    assert {name for option in command.params for name in option.opts if name.startswith("--")} == known
