"""Test the one visitor of predicates."""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from onedoor.spi.operators import compile_predicate
from onedoor.spi.predicates import (
    ALWAYS_FALSE,
    ALWAYS_TRUE,
    And,
    Comparison,
    Exists,
    InKeys,
    Not,
    Op,
    Or,
    combine_conjuncts,
    fold_predicate,
    iterate_leaves,
    push_negations_down,
    split_conjuncts,
    transform_predicate,
)

ROOT = Path(__file__).resolve().parents[2]

A = Comparison("a", Op.EQ, 1)
B = Comparison("b", Op.GT, 2)
C = InKeys(("a", "b"), frozenset({(1, 3)}))
INSIDE = Exists("others", ("a",), ("id",), Not(A))

PREDICATES = {
    "a comparison": A,
    "true": ALWAYS_TRUE,
    "false": ALWAYS_FALSE,
    "and": And((A, B)),
    "or": Or((A, C)),
    "not": Not(B),
    "nested": And((Not(Or((A, Not(B)))), And((C, Not(And((B, C))))))),
}

ROWS = [(a, b) for a in (None, 1, 2) for b in (None, 2, 3)]


def spell(predicate: Any) -> str:
    return fold_predicate(
        predicate,
        lambda leaf: leaf.column,
        conjunction=lambda parts: f"({' and '.join(parts)})",
        disjunction=lambda parts: f"({' or '.join(parts)})",
        negation=lambda part: f"not {part}",
        negated_leaf=lambda leaf: f"{leaf.column}!",
    )


def test_a_fold_gives_leaves_and_connectives_their_values() -> None:
    assert (
        spell(And((A, Or((Not(B), A)), Not(Not(B)), Not(Or((A, B))))))
        == "(a and (b! or a) and not b! and not (a or b))"
    )


@pytest.mark.parametrize("predicate", PREDICATES.values(), ids=PREDICATES)
def test_a_transform_that_changes_no_leaf_changes_nothing(predicate: Any) -> None:
    assert transform_predicate(predicate, lambda leaf: leaf) == predicate


def test_the_filter_inside_an_exists_is_not_visited() -> None:
    assert list(iterate_leaves(And((INSIDE, Not(B))))) == [INSIDE, B]
    assert transform_predicate(Not(INSIDE), lambda leaf: B if leaf == A else leaf) == Not(INSIDE)


def test_leaves_come_in_the_order_they_are_transformed_in() -> None:
    visited: list[Any] = []
    transform_predicate(PREDICATES["nested"], visited.append)
    assert list(iterate_leaves(PREDICATES["nested"])) == visited == [A, B, C, B, C]


def test_conjuncts_are_split_at_every_and_and_nowhere_else() -> None:
    assert list(split_conjuncts(And((A, And((Or((A, B)), And(()))), Not(And((A, B))))))) == [
        A,
        Or((A, B)),
        Not(And((A, B))),
    ]


@pytest.mark.parametrize("predicate", PREDICATES.values(), ids=PREDICATES)
def test_conjuncts_combined_mean_what_they_meant_before(predicate: Any) -> None:
    assert matching(combine_conjuncts(list(split_conjuncts(predicate)))) == matching(predicate)


@pytest.mark.parametrize("predicate", PREDICATES.values(), ids=PREDICATES)
def test_negations_pushed_down_mean_the_same_and_stand_over_leaves(predicate: Any) -> None:
    pushed = push_negations_down(Not(predicate))
    assert matching(pushed) == matching(Not(predicate))
    assert not any(isinstance(node.part, And | Or | Not) for node in walk(pushed) if isinstance(node, Not))


def matching(predicate: Any) -> Sequence[tuple[Any, ...]]:
    return list(filter(compile_predicate(predicate, ("a", "b")), ROWS))


def walk(predicate: Any) -> Iterator[Any]:
    yield predicate
    parts = (predicate.part,) if isinstance(predicate, Not) else getattr(predicate, "parts", ())
    for part in parts:
        yield from walk(part)


BUILDERS = {"_build_id_comparison"}
"""Functions that build a predicate out of smaller ones and walk none."""

CONNECTIVES = {"And", "Or", "Not"}


def test_only_the_visitor_recurses_over_connectives() -> None:
    results = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "onedoor").rglob("*.py")
        if path != ROOT / "onedoor/spi/predicates.py" and any(recursive_walks(ast.parse(path.read_text())))
    }
    assert results == set()


def recursive_walks(module: ast.Module) -> Iterator[str]:
    """Functions that tell connectives apart and call themselves."""
    for function in ast.walk(module):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            mentioned = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
            mentioned |= {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)}
            if function.name in mentioned - BUILDERS and mentioned & CONNECTIVES:
                yield function.name
