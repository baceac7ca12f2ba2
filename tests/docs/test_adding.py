"""The files that docs/adding-a-table.md and docs/adding-a-source.md show work as the pages say."""

import importlib.util
import json
import os
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from demo.data.seed_sql import seed
from onedoor import config
from onedoor.connectors.sql import sqlite
from onedoor.model.catalog import Catalog
from onedoor.query.context import ExecutionResult
from onedoor.query.startup_checks import validate_catalog
from onedoor.schema.builder import build_document, build_schema_and_policy, compute_version
from onedoor.spi.connector import Connector
from tests import acme
from tests.docs.pages import ROOT, Block, blocks

TABLE, SOURCE = ROOT / "docs/adding-a-table.md", ROOT / "docs/adding-a-source.md"
AUDITOR = ROOT / "docs/auditor.md"


@pytest.fixture(params=[SOURCE], ids=lambda page: page.stem)
def added(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, ModuleType]:
    """The modules that a page adds, by the path they name, as if they stood in the repository."""
    added_modules: dict[str, ModuleType] = {}
    for block in blocks(request.param, "python"):
        path = tmp_path / block.words[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
        if block.words[-1] == "again":
            exec(compile(block.text, block.id, "exec"), vars(added_modules[block.words[0]]))
        else:
            added_modules[block.words[0]] = imported(path, block.words[0], monkeypatch)
    return added_modules


def imported(path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    called = f"{name.removesuffix('.py').replace('/', '.')}".replace("__init__", "added")
    spec = importlib.util.spec_from_file_location(called, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, called, module)
    spec.loader.exec_module(module)
    return module


def build_catalog(added: Mapping[str, ModuleType], subject: str, given: Mapping[str, Connector]) -> Catalog:
    """Build Acme's catalog with one more subject, over an additional or a replaced connector."""
    modules = (*acme.load_schema_modules(), added[f"schema/{subject}.py"])
    schema, rules = build_schema_and_policy(modules, acme.parts().masking_groups)
    own = {mapping.type: mapping for mapping in added[f"resolvers/{subject}.py"].MAPPINGS}
    before = acme.build_catalog()
    result = replace(
        before,
        schema=schema,
        policy=rules,
        mappings={**before.mappings, **own},
        connectors={**before.connectors, **given},
        version=compute_version(build_document(modules, acme.parts().masking_groups)),
    )
    validate_catalog(result)
    return result


def only(page: Path, language: str, *words: str) -> Block:
    (block,) = (item for item in blocks(page, language) if item.words == words)
    return block


@pytest.mark.parametrize("added", [TABLE], indirect=True)
async def test_a_table_is_two_files(added: Mapping[str, ModuleType], tmp_path: Path) -> None:
    path = tmp_path / "internal.sqlite"
    seed(f"sqlite:///{path}", 0.01)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(only(TABLE, "sql").text)
    internal = await sqlite.connect(sqlite.SqliteOptions(path=str(path)))
    result = await acme.ask(
        acme.open_engine(build_catalog(added, "ticket", {"internal": internal})),
        only(TABLE, "graphql", "ticket").text,
        "support",
    )
    await internal.close()
    assert result.data == json.loads(only(TABLE, "json").text)
    (withheld,) = result.errors
    assert (
        withheld.message
        == "`Ticket.refund` is for finance; send `requestAccess`, or ask finance (finance@acme.example) for it"
    )


async def offices(added: Mapping[str, ModuleType], folder: Path, kind: str) -> ExecutionResult:
    (folder / "office.csv").write_text(only(SOURCE, "csv").text, encoding="utf-8")
    module: Any = added["onedoor/connectors/sheets.py"]
    options = config.parse_options(module.KIND.options, {"folder": str(folder)}, "sources.facilities")
    source = await module.connect(options)
    given = {"facilities": vars(module)[kind](source.folder, source.columns)}
    question = only(SOURCE, "graphql", "office").text
    return await acme.ask(acme.open_engine(build_catalog(added, "office", given)), question, plan=True)


@pytest.mark.parametrize(
    ("kind", "rows", "filtered"),
    [pytest.param("Sheets", 4, "computed by Onedoor"), pytest.param("Promising", 3, "pushed down")],
)
async def test_a_source_answers_alike_whatever_it_promises(
    added: Mapping[str, ModuleType], tmp_path: Path, kind: str, rows: int, filtered: str
) -> None:
    result = await offices(added, tmp_path, kind)
    assert (result.data, list(result.errors)) == (json.loads(only(SOURCE, "json").text), [])
    assert {call.row_count for call in result.scan_stats} == {rows}
    where = [line for line in result.extensions["plan"]["text"] if line.startswith("    where ")]
    assert {line.split(", as ")[0] for line in where} == {f"    where {filtered}: city startsWith B"}


def test_a_kind_is_named_beside_its_module(added: Mapping[str, ModuleType]) -> None:
    (place,) = added["onedoor/connectors/registry.py"].CONNECTORS.values()
    module, _, name = place.partition(":")
    assert hasattr(added[f"{module.replace('.', '/')}.py"], name)


def test_the_search_for_a_value_prints_its_hash(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(os.environ, "ONEDOOR_PEPPER", "a pepper of at least thirty-two characters")
    exec(only(AUDITOR, "python", "search").text, {})
    assert len(capsys.readouterr().out.strip()) == 32
