"""schema/schema.graphql: what is printed is what is built, and what is enforced."""

from pathlib import Path

from graphql import build_ast_schema, parse

from resolvers import modules
from schema.build import build, sdl
from schema.rules import rules

PRINTED = Path(__file__).parents[2] / "schema" / "schema.graphql"


def test_the_printed_schema_is_the_one_that_is_built() -> None:
    assert PRINTED.read_text() == sdl(modules()), "`make sdl` prints it anew"


def test_the_rules_read_from_the_printed_schema_are_those_that_are_enforced() -> None:
    _, enforced = build(modules())
    assert rules(parse(PRINTED.read_text())) == enforced


def test_the_printed_schema_is_one_that_anyone_can_read() -> None:
    read, (built, _) = build_ast_schema(parse(PRINTED.read_text())), build(modules())
    assert sorted(read.type_map) == sorted(built.type_map)
