"""Redact operations and variables before they are recorded."""

from typing import Any

import pytest
from graphql import parse

from onedoor.audit.record import (
    MAX_LEVELS,
    MAX_VALUES,
    derive_redaction_key,
    describe_unparsed,
    hash_literals,
    hash_value,
    hash_variables,
    normalize_document,
)

KEY = derive_redaction_key(b"a pepper of at least thirty-two characters")
QUESTION = '''
# a comment with ada@acme.example
query Q($id: ID!, $n: Int = 7) @tag(name: "ada@acme.example") {
  customers(where: {name: {eq: "Ada"}, vip: {eq: true}, total: {gt: 1.5}, status: {in: [PAID, OPEN]}, gone: null},
            first: 10) {
    nodes { ...F @include(if: false) bio(like: """block
      text""") }
  }
}
fragment F on Customer { orders(last: $n) { totalCount } }
'''
KEPT = """query Q($id: ID!, $n: Int = $) @tag(name: $) {
  customers(
    where: {
      name: { eq: $ }
      vip: { eq: $ }
      total: { gt: $ }
      status: { in: [PAID, OPEN] }
      gone: null
    }
    first: $
  ) {
    nodes {
      ...F @include(if: $)
      bio(like: $)
    }
  }
}

fragment F on Customer {
  orders(last: $n) {
    totalCount
  }
}"""


def test_every_literal_is_a_dollar_and_names_stay() -> None:
    assert normalize_document(parse(QUESTION)) == KEPT


def test_the_document_itself_is_left_as_it_was() -> None:
    document = parse(QUESTION)
    normalize_document(document)
    assert document == parse(QUESTION)


def test_two_forms_of_one_query_are_recorded_alike() -> None:
    assert normalize_document(parse('{a(b:"x",c:1)}')) == normalize_document(parse('{ a ( b : """y""" c: 22 ) }'))


def test_literals_are_hashed_in_the_order_of_the_dollars() -> None:
    values = [7, "ada@acme.example", "Ada", True, 1.5, 10, False, "block\ntext"]
    assert hash_literals(parse(QUESTION), KEY) == tuple(hash_value(value, KEY) for value in values)


def test_an_integer_of_any_length_is_hashed() -> None:
    assert len(hash_literals(parse("{a(b: %s)}" % ("9" * 5_000)), KEY)) == 1
    assert hash_variables({"a": 10**5_000}, KEY)["a"] != hash_variables({"a": 10**5_001}, KEY)["a"]


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        pytest.param(1, 1.0, True, id="one number written two ways"),
        pytest.param(0.1, 1e-1, True, id="one fraction written two ways"),
        pytest.param(1, "1", False, id="a number is no text"),
        pytest.param(1, True, False, id="a boolean is no number"),
        pytest.param("true", True, False, id="a boolean is no text"),
        pytest.param("a", "A", False, id="case counts"),
        pytest.param("\ud800", "\ud801", False, id="half a character is one too"),
    ],
)
def test_a_hash_stands_for_a_scalar_and_its_value(one: Any, other: Any, alike: bool) -> None:
    assert (hash_value(one, KEY) == hash_value(other, KEY)) is alike


def test_a_hash_depends_on_the_key() -> None:
    assert hash_value("Ada", KEY) != hash_value("Ada", derive_redaction_key(b"another"))


def test_structure_and_nulls_of_variables_stay_and_leaves_do_not() -> None:
    ada = hash_value("Ada", KEY)
    variables = {"where": {"name": {"in": ["Ada", None]}, "or": []}, "none": None, "n": 3}
    assert hash_variables(variables, KEY) == {
        "where": {"name": {"in": [ada, None]}, "or": []}, "none": None, "n": hash_value(3, KEY),
    }  # fmt: skip


def test_a_value_put_where_a_name_belongs_is_hashed_too() -> None:
    assert hash_variables({"ada@acme.example": {"Ada Lovelace": None}}, KEY) == {
        hash_value("ada@acme.example", KEY): {hash_value("Ada Lovelace", KEY): None}
    }


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("value", [[1] * MAX_VALUES, [[]] * MAX_VALUES, deep(MAX_LEVELS), deep(100_000)])
def test_variables_too_large_to_hash_leave_only_that_they_were(value: Any) -> None:
    assert hash_variables({"a": value}, KEY) == {"omitted": f"more than {MAX_VALUES} values or {MAX_LEVELS} levels"}


def test_variables_at_their_limits_are_hashed() -> None:
    assert hash_variables({"a": [1] * (MAX_VALUES - 1)}, KEY) == {"a": [hash_value(1, KEY)] * (MAX_VALUES - 1)}
    assert "a" in hash_variables({"a": deep(MAX_LEVELS - 1)}, KEY)


def test_only_length_and_hash_are_recorded_of_a_document_that_does_not_parse() -> None:
    assert describe_unparsed("{ ada@acme", KEY) == f"unparsed, 10 characters, {hash_value('{ ada@acme', KEY)}"
