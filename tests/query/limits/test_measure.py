"""The limits of a document hold, and measuring it takes time linear in its text, whatever its fragments stand for."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from graphql import parse

from onedoor.errors import RequestRejected
from onedoor.model.catalog import Limits
from onedoor.query.document import check_document_size
from tests.acme import ask, build_catalog, open_engine

OPEN = Limits(fields_max=10**9, aliases_max=10**9, directives_max=10**9, depth_max=10**9, root_fields_max=10**9)


def doubling(n: int) -> str:
    spreads = "".join(f"fragment f{i} on Query {{ ...f{i + 1} ...f{i + 1} }}\n" for i in range(n))
    return "{ ...f0 }\n" + spreads + f"fragment f{n} on Query {{ me {{ id }} }}"


def nesting(n: int) -> str:
    spreads = "".join(
        f"fragment f{i} on Query {{ a: me {{ ...f{i + 1} }} b: me {{ ...f{i + 1} }} }}\n" for i in range(n)
    )
    return "{ ...f0 }\n" + spreads + f"fragment f{n} on Query {{ me {{ id }} }}"


def cyclic(n: int) -> str:
    return "{ ...f0 }\n" + "".join(f"fragment f{i} on Query {{ ...f{(i + 1) % n} ...f0 }}\n" for i in range(n))


DOCUMENTS = {
    "fragments that double": doubling,
    "fragments that nest": nesting,
    "fragments in a circle": cyclic,
    "wide": lambda n: "{ " + "me { id } " * n + "}",
    "deep": lambda n: "{ " + "a { " * n + "id" + " }" * n + " }",
    "inline fragments": lambda n: "{ " + "... on Query { " * n + "me { id }" + " }" * n + " }",
    "repeated operations": lambda n: (
        "".join(f"query q{i} {{ ...f }}\n" for i in range(n)) + "fragment f on Query { me { id } }"
    ),
    "introspection": lambda n: "{ __schema { " + "types { fields { " + "name " * n + "} } " + "} }",
}


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_steps_grow_with_the_text_and_no_faster(document: Callable[[int], str]) -> None:
    steps = [check_document_size(parse(document(n)), OPEN).steps for n in (20, 40, 80, 160)]
    assert all(later <= 2.1 * earlier for earlier, later in itertools.pairwise(steps)), steps


REJECTED = {
    "fields_max": (doubling(40), "the document has too many fields, over the limit `fields_max` of 5000: ask in parts"),
    "depth_max": (
        "{ " + "a { " * 30 + "id" + " }" * 31,
        "the document has 31 levels, over the limit `depth_max` of 20: ask for less at once",
    ),
    "aliases_max": (
        "{ " + "".join(f"a{i}: me {{ b{i}: id }} " for i in range(150)) + "}",
        "the document has 300 aliases, over the limit `aliases_max` of 200: ask in parts",
    ),
    "directives_max": (
        "{ me { id " + "@skip(if: false) " * 201 + "} }",
        "the document has 201 directives, over the limit `directives_max` of 200: leave some out",
    ),
    "root_fields_max": (
        "{ " + "".join(f"a{i}: me {{ id }} " for i in range(21)) + "}",
        "the document has 21 root fields, over the limit `root_fields_max` of 20: ask in parts",
    ),
    "introspection_times": (
        "{ __schema { " + "".join(f"a{i}: types {{ name }} " for i in range(13)) + "} }",
        "the document has 13 lists of types, over the limit `introspection_times` of 12: ask for each once",
    ),
    "introspection_depth": (
        "{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }",
        "the document has 4 lists of types in one another, over the limit `introspection_depth` of 3: ask flatter",
    ),
}


@pytest.mark.parametrize(("text", "message"), REJECTED.values(), ids=REJECTED)
def test_each_limit_is_named_with_its_value_and_what_would_do(text: str, message: str) -> None:
    with pytest.raises(RequestRejected) as rejection:
        check_document_size(parse(text), Limits())
    assert [error.message for error in rejection.value.errors] == [message]


COSTS = {
    "one row": ("{ me { id } }", 1),
    "a list by its default": ("{ customers { nodes { id } } }", 20),
    "a list by first": ("{ customers(first: 7) { nodes { id } } }", 7),
    "lists in lists": (
        "{ customers(first: 7) { nodes { orders(last: 3) { nodes { customer { id } } } } } }",
        7 * (1 + 3 * 2),
    ),
    "a count alone": ("{ customers(first: 1000) { totalCount } }", 1),
    "left out": ("{ customers(first: 7) @skip(if: true) { nodes { id } } me { id } }", 1),
}


@pytest.mark.parametrize(("text", "cost"), COSTS.values(), ids=COSTS)
async def test_an_operation_costs_one_for_each_object_it_can_return(text: str, cost: int) -> None:
    result = await ask(open_engine(build_catalog()), text, "sales", cost=True)
    assert result.extensions == {"cost": cost}


async def test_a_size_from_a_variable_costs_what_it_says_this_time() -> None:
    engine, text = open_engine(build_catalog()), "query ($n: Int) { customers(first: $n) { nodes { id } } }"
    costs = [(await ask(engine, text, "sales", variables={"n": n}, cost=True)).extensions["cost"] for n in (3, 900)]
    assert costs == [3, 900]


async def test_a_question_over_the_limit_is_refused_before_anything_is_fetched() -> None:
    text = "{ customers(first: 1000) { nodes { orders(first: 1000) { nodes { id } } } } }"
    result = await ask(open_engine(build_catalog()), text, "sales")
    assert (result.rejected, list(result.scan_stats), [error.message for error in result.errors]) == (
        True,
        [],
        [
            "the request may return 1001000 objects, over the limit `cost_max` of 200000:"
            " ask for fewer with `first`, or in parts"
        ],
    )


async def test_a_chain_of_fragments_as_long_as_a_document_can_be_is_no_crash() -> None:
    chain = "".join(f"fragment f{i} on Query {{ ...f{i + 1} }} " for i in range(600))
    result = await ask(open_engine(build_catalog()), "{ ...f0 } " + chain + "fragment f600 on Query { me { id } }")
    assert result.data == {"me": {"id": "P1"}} or result.rejected


async def test_rows_never_exceed_the_cost() -> None:
    text = "{ customers(first: 9) { nodes { orders(first: 5) { nodes { items(first: 3) { nodes { id } } } } } } }"
    result = await ask(open_engine(build_catalog()), text, "sales", cost=True)
    assert objects(result.data) <= result.extensions["cost"]


def objects(value: Any) -> int:
    """The rows in a reply: objects that have an id or hold further rows."""
    if isinstance(value, list):
        return sum(1 + objects(item) for item in value)
    return sum(objects(item) for item in value.values()) if isinstance(value, dict) else 0
