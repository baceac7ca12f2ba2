"""Generate the schema of 69 tables that we did not design, check its style and types, and query it."""

import asyncio
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from onedoor.model.catalog import Catalog
from tests import acme
from tests.codegen.conftest import source_of
from tests.codegen.generated_company import build_catalog, fetch_data, introspect

ROOT = Path(__file__).parents[2]
OURS = "lint.isort.known-first-party = ['schema', 'resolvers', 'onedoor']"
QUESTIONS = {
    "a list, filtered by an enum": (
        "{ employees(where: {gender: {eq: F}, maritalStatus: {in: [M]}}) { nodes { id jobTitle birthDate } } }",
        {"employees": {"nodes": [{"id": "2", "jobTitle": "Sales Representative", "birthDate": "1980-02-27"}]}},
    ),
    "a key that is a reference, both ways": (
        '{ employee(id: "2") { gender person { lastName businessEntity { id } } salesPerson { bonus } } '
        'person(id: "3") { employee { id } customers { nodes { id } } } }',
        {"employee": {"gender": "F", "person": {"lastName": "Mitchell", "businessEntity": {"id": "2"}},
                      "salesPerson": {"bonus": "4100.0000"}},
         "person": {"employee": None, "customers": {"nodes": [{"id": "11000"}]}}},
    ),
    "a key of four columns": (
        '{ employeeDepartmentHistory(id: "1:2009-01-14:16:1") { startDate department { name } shift { name } } }',
        {"employeeDepartmentHistory": {"startDate": "2009-01-14", "department": {"name": "Executive"},
                                       "shift": {"name": "Day"}}},
    ),
    "a reference of two columns, both ways": (
        '{ salesOrderDetail(id: "43659:2") { orderQty specialOfferProduct { id product { name productLine } '
        "salesOrderDetails { totalCount } } } }",
        {"salesOrderDetail": {"orderQty": 3, "specialOfferProduct": {
            "id": "1:749", "product": {"name": "Road-150 Red, 62", "productLine": "R"},
            "salesOrderDetails": {"totalCount": 1}}}},
    ),
    "two references to the same table": (
        '{ billOfMaterial(id: "1") { productAssembly { name } component { name } unitMeasure { name } } '
        'product(id: "3") { billOfMaterialsByComponent { nodes { id } } billOfMaterialsByProductAssembly { nodes { id '
        "} } } salesOrderHeaders { nodes { billToAddress { city } shipToAddress { addressLine1 } } } }",
        {"billOfMaterial": {"productAssembly": {"name": "Road-150 Red, 62"}, "component": {"name": "BB Ball Bearing"},
                            "unitMeasure": {"name": "Each"}},
         "product": {"billOfMaterialsByComponent": {"nodes": [{"id": "1"}]},
                     "billOfMaterialsByProductAssembly": {"nodes": []}},
         "salesOrderHeaders": {"nodes": [{"billToAddress": {"city": "Bothell"},
                                          "shipToAddress": {"addressLine1": "9833 Mt. Dias Blv."}}]}},
    ),
    "a view, page by page": (
        "{ vEmployees(first: 1, orderBy: [{lastName: DESC}]) { totalCount nodes { firstName title } pageInfo { "
        "hasNextPage } } }",
        {"vEmployees": {"totalCount": 2, "nodes": [{"firstName": "Ken", "title": None}],
                        "pageInfo": {"hasNextPage": True}}},
    ),
    "a name with a space, a name that is a word of SQL": (
        '{ awBuildVersions { nodes { databaseVersion } } salesTerritory(id: "7") { group salesYtd countryRegion { id '
        "name } } }",
        {"awBuildVersions": {"nodes": []},
         "salesTerritory": {"group": "Europe", "salesYtd": "1.0000", "countryRegion": {"id": "FR", "name": "France"}}},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(adventure: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    result = tmp_path_factory.mktemp("adventure")
    introspect(adventure, result, "--allow", "sales", "--owner", "the bicycle shop")
    return result


@pytest.fixture(scope="module")
def catalog(adventure: str, folder: Path) -> Catalog:
    """Return the company's catalog, whose source is of no use any more."""

    async def build() -> Catalog:
        source = await source_of(adventure)
        try:
            return build_catalog(folder, source)
        finally:
            await source.close()

    return asyncio.run(build())


@pytest.mark.parametrize("name", QUESTIONS)
async def test_a_question_has_its_answer(adventure: str, catalog: Catalog, name: str) -> None:
    question, answer = QUESTIONS[name]
    source = await source_of(adventure)
    engine = acme.open_engine(replace(catalog, connectors={**catalog.connectors, "own": source}))
    data = await fetch_data(engine, question)
    await source.close()
    assert data == answer


def test_each_table_and_view_is_a_type(folder: Path) -> None:
    created = re.findall(
        r"^CREATE (?:TABLE|VIEW) ", (Path(__file__).parent / "adventure.sql").read_text(), re.MULTILINE
    )
    assert len(created) > 40
    assert len(list((folder / "schema").glob("*.py"))) == len(created)


@pytest.mark.parametrize("command", [["format", "--check"], ["check", "--config", OURS]], ids=["format", "check"])
def test_generated_code_passes_ruff(folder: Path, command: list[str]) -> None:
    settings = ROOT / "pyproject.toml"
    result = subprocess.run(
        [Path(sys.executable).parent / "ruff", *command, "--no-cache", "--config", settings, "."],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr


def test_what_is_written_passes_the_type_checker(folder: Path, tmp_path: Path) -> None:
    """Beside the product."""
    for item in ("auth", "onedoor"):
        (tmp_path / item).symlink_to(ROOT / item)
    for name in ("schema", "resolvers"):
        shutil.copytree(folder / name, tmp_path / name, dirs_exist_ok=True)
    options = ["--strict", "--explicit-package-bases", "--follow-imports", "silent"]
    result = subprocess.run(
        [Path(sys.executable).parent / "mypy", *options, "schema", "resolvers"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-2000:]
