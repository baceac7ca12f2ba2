"""Twenty thousand random decisions equal the model's."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

import pytest
from graphql import build_ast_schema, parse, validate

from auth.policy import AccessPolicy, find_met_requirements
from onedoor.model.catalog import Limits
from onedoor.query.authorize import Decisions, authorize
from onedoor.query.document import ParsedDocument
from onedoor.query.selection import SelectedField, coerce_variables, collect_fields
from onedoor.schema.builder import check_permissions, derive_policy
from onedoor.schema.reader import SchemaError
from tests.acme import GROUP_NAMES
from tests.security.permission import model
from tests.security.permission.random_schema import GROUPS, DrawnField, Schema, Type, question, schema, sdl, text

DECISIONS = 20_000
SCHEMAS = 500
VALIDATED = 50
"""Of so many questions it is proved that they are valid, which takes longer than all the rest."""


@cache
def cases() -> list[tuple[Schema, Any, AccessPolicy, tuple[DrawnField, ...], tuple[SelectedField, ...]]]:
    return list(map(draw, range(SCHEMAS)))


def draw(seed: int) -> tuple[Schema, Any, AccessPolicy, tuple[DrawnField, ...], tuple[SelectedField, ...]]:
    random = Random(seed)
    of = schema(random)
    document = parse(sdl(of))
    built = build_ast_schema(document, assume_valid_sdl=True)
    wanted = question(random, of)
    assert seed >= VALIDATED or not validate(built, parse(text(of, wanted)))
    return of, built, derive_policy(document), wanted, picked(built, text(of, wanted))


def picked(built: Any, said: str) -> tuple[SelectedField, ...]:
    node = parse(said)
    operation: Any = node.definitions[0]
    document = ParsedDocument(fields=0, size=0, text=said, node=node, operations=(operation,), fragments={})
    return collect_fields(
        built,
        document,
        operation,
        coerce_variables(built, operation, {}),
        Limits(fields_max=100_000, tests_max=100_000),
    )


def callers(random: Random) -> Iterator[frozenset[str]]:
    yield frozenset()
    yield frozenset(GROUPS)
    for _ in range(3):
        yield frozenset(group for group in GROUPS if random.random() < 0.6)


def decided(picks: tuple[SelectedField, ...], verdicts: Decisions) -> set[tuple[str, str, bool]]:
    results: set[tuple[str, str, bool]] = set()
    waiting = list(picks)
    while waiting:
        pick = waiting.pop()
        if pick.number in verdicts:
            results.add((pick.response_key, pick.parent_type, verdicts[pick.number].allowed))
        waiting += [child for below in pick.children_by_type.values() for child in below]
    return results


def test_every_decision_is_the_models() -> None:
    compared = 0
    for of, built, ruled, wanted, picks in cases():
        for groups in callers(Random(compared)):
            expected = {
                decision
                for value_ in wanted
                for kind in value_.kinds
                for decision in model.decisions(of, groups, value_, kind)
            }
            result = decided(picks, authorize(built, ruled, picks, groups))
            assert result == expected, (sdl(of), text(of, wanted), groups, result ^ expected)
            compared += len(expected)
    assert compared >= DECISIONS


def test_more_groups_never_see_less() -> None:
    for _, built, ruled, _, picks in cases():
        fewer, more = frozenset(GROUPS[:2]), frozenset(GROUPS)
        allowed = {number for number, item in authorize(built, ruled, picks, fewer).items() if item.allowed}
        assert allowed <= {number for number, item in authorize(built, ruled, picks, more).items() if item.allowed}


def test_callers_who_meet_the_same_requirements_get_the_same_verdicts() -> None:
    for _, built, ruled, _, picks in cases()[:200]:
        by_fingerprint: dict[Any, Decisions] = {}
        for groups in callers(Random(0)):
            verdicts = authorize(built, ruled, picks, groups)
            assert by_fingerprint.setdefault(find_met_requirements(ruled, groups), verdicts) == verdicts


def test_a_schema_builds_only_if_every_field_is_open_to_somebody_and_no_weaker_than_its_interface() -> None:
    refused = 0
    for of in ways():
        expected = any(shut(of, kind, name) or weaker(of, kind, name) for kind in of for name in of[kind].members)
        try:
            check_permissions(parse(sdl(of)))
        except SchemaError:
            refused += 1
            assert expected, sdl(of)
        else:
            assert not expected, sdl(of)
    assert 40 <= refused <= SCHEMAS - 40


def ways() -> Iterator[Schema]:
    """Half of them nearly open, as a schema drawn at random is hardly ever shut everywhere it must be."""
    for number, (of, *_) in enumerate(cases()):
        random = Random(number)
        yield {name: nearly_open(random, item) for name, item in of.items()} if number % 2 else of


def nearly_open(random: Random, of: Type) -> Type:
    everyone = frozenset(GROUPS)
    kept = {
        name: replace(member, rule=random.choice([None, None, None, everyone, member.rule]))
        for name, member in of.members.items()
    }
    return replace(of, rule=None if of.keyword == "interface" else everyone, members=kept)


def shut(of: Schema, kind: str, name: str) -> bool:
    return not model.is_open(of, frozenset(GROUPS), kind, name)


def weaker(of: Schema, kind: str, name: str) -> bool:
    own = [item for item in (of[kind].rule, of[kind].members[name].rule) if item]
    above = [of[parent] for parent in of[kind].above]
    wanted = [parent.rule for parent in above] + [
        parent.members[name].rule for parent in above if name in parent.members
    ]
    return any(not any(item <= value_ for item in own) for value_ in wanted if value_)


@pytest.mark.parametrize("group", GROUPS)
def test_the_groups_drawn_are_registered(group: str) -> None:
    assert group in GROUP_NAMES
