"""Every mutation and each field of its input is decided as the model does."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest
from graphql import GraphQLEnumType, GraphQLInputObjectType, GraphQLNonNull, get_named_type

from onedoor.errors import ErrorCode
from onedoor.model.catalog import ActionCall, ActionResult, Catalog
from onedoor.query.context import GraphQLRequest
from onedoor.query.engine import execute
from tests import acme
from tests.acme import GROUP_NAMES, load_document
from tests.query.pushdown.strict import Strict
from tests.security.permission import model
from tests.security.permission.random_schema import DrawnField, Schema
from tests.security.permission.sdl import parse_schema

LITERALS = {
    "ID": "1", "String": "text", "Int": 1, "Decimal": "1.00", "Boolean": True, "Float": 1.0,
    "DateTime": "2026-01-01T00:00:00Z", "Date": "2026-01-01", "BigInt": "1", "JSON": "text",
}  # fmt: skip
MANY = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A mutation, and what is given to each of its arguments."""

    field: str
    given: dict[str, Any]
    naming: str
    """The input field that is given beside those that must be."""

    @property
    def name(self) -> str:
        return f"{self.field}.{self.naming}"


@cache
def cached_catalog() -> Catalog:
    return acme.build_catalog()


@cache
def read_schema() -> Schema:
    return parse_schema(load_document())


def mutations() -> dict[str, Any]:
    root = cached_catalog().schema.mutation_type
    return dict(root.fields) if root else {}


def changes() -> Iterator[Change]:
    """Of each mutation one for each field of its inputs, with those that cannot be left out."""
    for field, mutation in mutations().items():
        for name in inputs(mutation):
            given = {argument: value(of.type, name) for argument, of in mutation.args.items()}
            yield Change(field=field, given=given, naming=name)


def inputs(field: Any) -> list[str]:
    kinds = [get_named_type(argument.type) for argument in field.args.values()]
    named = [name for kind in kinds if isinstance(kind, GraphQLInputObjectType) for name in kind.fields]
    return list(dict.fromkeys(named)) or [""]


def value(of: Any, naming: str) -> Any:
    kind = get_named_type(of)
    if isinstance(kind, GraphQLEnumType):
        return next(iter(kind.values))
    if not isinstance(kind, GraphQLInputObjectType):
        return LITERALS[kind.name]
    wanted = {name: field.type for name, field in kind.fields.items() if name == naming or must(field.type)}
    return {name: value(value_, naming) for name, value_ in wanted.items()}


def must(of: Any) -> bool:
    return isinstance(of, GraphQLNonNull)


def question(change: Change) -> GraphQLRequest:
    taken = mutations()[change.field].args
    declared = ", ".join(f"${name}: {of.type}" for name, of in taken.items())
    passed = ", ".join(f"{name}: ${name}" for name in taken)
    return GraphQLRequest(
        query=f"mutation ({declared}) {{ {change.field}({passed}) {{ __typename }} }}", variables=change.given
    )


def inline(change: Change) -> GraphQLRequest:
    passed = ", ".join(f"{name}: {literal(of.type, change.given[name])}" for name, of in arguments(change))
    return GraphQLRequest(query=f"mutation {{ {change.field}({passed}) {{ __typename }} }}")


def arguments(change: Change) -> list[tuple[str, Any]]:
    return list(mutations()[change.field].args.items())


def literal(of: Any, given: Any) -> str:
    kind = get_named_type(of)
    if isinstance(kind, GraphQLInputObjectType):
        return "{" + ", ".join(f"{name}: {literal(kind.fields[name].type, item)}" for name, item in given.items()) + "}"
    if isinstance(kind, GraphQLEnumType):
        return str(given)
    return f'"{given}"' if isinstance(given, str) else str(given).lower()


def allowed(change: Change, groups: frozenset[str]) -> bool:
    wanted = DrawnField(key="k", kinds=("Mutation",), name=change.field, arguments=change.given, below=())
    ((_, _, shown),) = model.decisions(read_schema(), groups, wanted, "Mutation")
    return shown


class Acts:
    """Does nothing, and keeps what it was to do."""

    def __init__(self) -> None:
        self.done: list[str] = []

    async def __call__(self, act: ActionCall) -> ActionResult:
        self.done.append(act.field)
        return ActionResult(row_id=None)


def build_catalog(acts: Acts, recorded_sources: dict[str, Strict]) -> Catalog:
    known = cached_catalog()
    return replace(
        known, connectors={**known.connectors, **recorded_sources}, actions=dict.fromkeys(known.actions, acts)
    )


EACH = [pytest.param(change, id=change.name) for change in changes()]


def test_there_is_much_to_change() -> None:
    assert len(EACH) >= MANY
    assert set(mutations()) == set(cached_catalog().actions)


@pytest.mark.parametrize("change", EACH)
async def test_a_change_is_applied_for_those_the_model_allows_and_nobody_else(change: Change) -> None:
    acts, recorded_sources = Acts(), {name: Strict(memory) for name, memory in acme.sources().items()}
    engine = acme.open_engine(build_catalog(acts, recorded_sources))
    wrong = []
    for group in sorted(GROUP_NAMES):
        caller = acme.caller(group)
        expected = [change.field] if allowed(change, caller.groups) else []
        for text in (question(change), inline(change)):
            acts.done.clear()
            result = await execute(engine, caller, text, record=acme.RECORD)
            codes = [error.code for error in result.errors]
            if acts.done != expected or codes != ([] if expected else [ErrorCode.FORBIDDEN]):
                wrong.append((group, text.query, acts.done, codes))
    assert wrong == []
    assert [source.requests for source in recorded_sources.values() if source.requests] == []


def test_no_group_alone_may_change_everything_and_each_change_is_some_groups() -> None:
    """So that the walk shows both a yes and a no."""
    by = {
        group: {item.values[0].name for item in EACH if allowed(item.values[0], acme.caller(group).groups)}
        for group in GROUP_NAMES
    }
    every = {item.values[0].name for item in EACH}
    assert [group for group, mine in by.items() if mine == every] == []
    assert set[str]().union(*by.values()) == every
