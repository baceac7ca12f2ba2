"""schema/schema.graphql is the schema that is built and enforced, and its version stands for it."""

from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from graphql import DocumentNode, build_ast_schema, parse, print_ast

from onedoor.schema.builder import build_document, compute_version, derive_policy, print_sdl
from onedoor.schema.sdl import sort_document, strip_documentation
from tests.acme import load_document, load_schema_and_policy, load_schema_modules, load_schema_version, parts

PRINTED = Path(__file__).parents[2] / "schema" / "schema.graphql"


@cache
def parse_printed() -> DocumentNode:
    return parse(PRINTED.read_text())


def test_the_printed_schema_is_the_one_that_is_built() -> None:
    printed = print_sdl(load_schema_modules(), parts().masking_groups, parts().row_rules)
    assert PRINTED.read_text() == printed, "`make sdl` prints it anew"


def test_the_rules_read_from_the_printed_schema_are_those_that_are_enforced() -> None:
    _, enforced = load_schema_and_policy()
    assert derive_policy(parse_printed()) == enforced


def test_the_printed_schema_is_one_that_anyone_can_read() -> None:
    read, (built, _) = build_ast_schema(parse_printed()), load_schema_and_policy()
    assert sorted(read.type_map) == sorted(built.type_map)


def names(of: DocumentNode) -> list[str]:
    return [definition.name.value for definition in of.definitions]  # type: ignore[attr-defined]


def test_the_printed_schema_is_sorted_with_the_roots_first() -> None:
    result = names(parse_printed())
    assert result[:8] == ["allow", "limited", "masked", "owned", "stored", "Query", "Mutation", "Subscription"]
    assert all(one < other for one, other in pairwise(result[8:]))


def test_where_a_module_stands_moves_nothing() -> None:
    turned = tuple(reversed(tuple(load_schema_modules())))
    masking_groups = parts().masking_groups
    assert print_sdl(turned, masking_groups) == print_ast(sort_document(load_document())) + "\n"
    assert compute_version(build_document(turned, masking_groups)) == load_schema_version()


LAMP = """
directive @allow(groups: [String!]!) on OBJECT
"Who answers."
directive @owned(by: String!) on OBJECT
type Query { lamp(id: ID!, lit: Boolean): Lamp }
"A lamp."
type Lamp @allow(groups: ["finance"]) @owned(by: "us") { id: ID! lit: Boolean! }
"""


def normalize_sdl(text: str) -> str:
    return print_ast(strip_documentation(sort_document(parse(text))))


SAME = [
    pytest.param('"A lamp."', '"What is lit."', id="a description"),
    pytest.param('"A lamp."', "", id="no description"),
    pytest.param('@owned(by: "us")', '@owned(by: "them")', id="an owner"),
    pytest.param("id: ID! lit: Boolean!", "lit: Boolean! id: ID!", id="the order of fields"),
    pytest.param("id: ID!, lit: Boolean", "lit: Boolean, id: ID!", id="the order of arguments"),
]
OTHER = [
    pytest.param('groups: ["finance"]', 'groups: ["sales"]', id="a permission"),
    pytest.param("lit: Boolean! }", "}", id="a field"),
    pytest.param("lit: Boolean!", "lit: Boolean", id="a type"),
    pytest.param("lit: Boolean)", "lit: Boolean = true)", id="a default"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_changes_no_answer_is_no_part_of_the_version(one: str, other: str) -> None:
    assert LAMP.replace(one, other) != LAMP
    assert normalize_sdl(LAMP.replace(one, other)) == normalize_sdl(LAMP)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_what_changes_an_answer_is(one: str, other: str) -> None:
    assert normalize_sdl(LAMP.replace(one, other)) != normalize_sdl(LAMP)


def test_a_version_is_of_a_schema_that_says_the_same_of_every_type() -> None:
    whole = sort_document(load_document())
    bare = print_ast(strip_documentation(whole))
    assert '"""' not in bare
    assert "@owned" not in bare
    assert names(parse(bare)) == [name for name in names(whole) if name != "owned"]
    assert bare.count("@allow") == print_ast(whole).count("@allow")
