"""The company's folder of the release before, upgraded: it means what it meant."""

import zipfile
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import pytest
from graphql import print_ast

from auth.groups import Groups
from onedoor.cli.upgrade import upgrade_company, upgrade_source
from onedoor.company import build_company_schema, load_company
from onedoor.config import load_schema_settings
from onedoor.errors import ConfigurationError
from onedoor.schema.builder import build_document
from onedoor.schema.sdl import sort_document, strip_documentation
from tests import acme
from tests.companies import isolated, make_company

OLD = Path(__file__).parent / "acme_of_04bc0ab.zip"


SINCE = ("vendor", "on-call")
"""Groups that Acme has had since, and to which its types of then are open now."""


def print_meaning(modules: Iterable[ModuleType]) -> str:
    return print_ast(strip_documentation(sort_document(build_document(modules))))


@pytest.fixture
def old(tmp_path: Path) -> Path:
    with zipfile.ZipFile(OLD) as archive:
        archive.extractall(tmp_path)
    return tmp_path


def test_an_upgraded_company_means_what_it_meant(old: Path) -> None:
    list(upgrade_company(old))
    settings, exports = load_schema_settings(old / "onedoor.toml")
    with isolated():
        company = load_company(old)
        parts = build_company_schema(company, settings, exports=exports)
        upgraded = print_meaning(parts.modules)
    meaning = print_meaning(acme.load_schema_modules())
    for group in SINCE:
        meaning = meaning.replace(f', "{group}"]', "]")
    assert upgraded == meaning
    assert {mapping.type: mapping for mapping in company.mappings}.keys() == {
        mapping.type for mapping in acme.company().mappings
    }
    assert [(mutation.field, mutation.type) for mutation in company.mutations] == [
        (mutation.field, mutation.type) for mutation in acme.load_mutations()
    ]
    assert [job.name for job in company.jobs] == [job.name for job in acme.company().jobs]


def test_its_groups_are_registered_in_a_file(old: Path) -> None:
    list(upgrade_company(old))
    assert Groups.load(old / "groups.toml").names == acme.GROUP_NAMES - {*SINCE}


def test_upgrading_twice_is_upgrading_once(old: Path) -> None:
    list(upgrade_company(old))
    assert list(upgrade_company(old)) == ["nothing to do"]


def test_a_new_company_has_nothing_to_upgrade(tmp_path: Path) -> None:
    assert list(upgrade_company(make_company(tmp_path / "company"))) == ["nothing to do"]


def test_names_are_replaced_where_they_are_names_alone() -> None:
    old = (
        "from engine.binding import Binding, Link\n\n"
        'NOTE = "Binding(links=...) é"; BINDINGS = (Binding(type="A", links={"b": Link(to="B", here="x",'
        ' there="y")}),)\n'
        "here = dict(here=1, links=2)\n"
    )
    assert upgrade_source(old, "resolvers/a.py") == (
        "from onedoor.mapping import Relationship, TypeMapping\n\n"
        'NOTE = "Binding(links=...) é"; MAPPINGS = (TypeMapping(type="A", relationships={"b": Relationship(to="B",'
        ' local="x", remote="y")}),)\n'
        "here = dict(here=1, links=2)\n"
    )


def test_a_file_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ConfigurationError) as caught:
        upgrade_source("class", "schema/a.py")
    assert str(caught.value) == "`schema/a.py:1` cannot be read: invalid syntax"


def test_what_is_no_company_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        list(upgrade_company(tmp_path))
    assert str(caught.value) == f"`{tmp_path}` is no company's folder: it has no `schema/`"
