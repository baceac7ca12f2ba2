"""A query with every feature of lists is valid, and its wrong neighbours are not."""

from functools import cache

import pytest
from graphql import GraphQLSchema, parse, validate

from tests.acme import load_schema_and_policy

EVERYTHING = """
query Everything($having: CustomerHaving, $by: [OrderGroupBy!]!, $order: [OrderGroupOrder!]) {
  customers(
    where: {orders: {some: {total: {gt: "10"}}}, accountManager: {department: {eq: "Sales"}}}
    orderBy: [
      {accountManager: {manager: {lastName: ASC}}}
      {orders: {count: DESC}}
      {orders: {sum: {total: DESC}}}
      {orders: {countDistinct: {status: ASC}}}
      {usage: {avg: {apiCalls: ASC}}}
      {usage: {min: {day: ASC}}}
      {usage: {max: {storageGb: ASC}}}
      {id: ASC}
    ]
  ) {
    aggregate {
      count
      countDistinct { id segment country }
      sum { creditLimit }
      avg { creditLimit }
      min { name createdAt creditLimit }
      max { name createdAt creditLimit }
    }
    groups(
      by: [{segment: VALUE}, {createdAt: QUARTER}, {accountManager: {hiredOn: YEAR}}]
      having: $having
      orderBy: [{key: {accountManager: {hiredOn: DESC}}}, {count: DESC}, {sum: {creditLimit: ASC}}]
      first: 10
    ) {
      key { segment createdAt accountManager { hiredOn } }
      aggregate { count sum { creditLimit } }
    }
  }
  orders {
    groups(by: $by, orderBy: $order) { key { status customer { accountManager { department } } } aggregate { count } }
  }
  usageDays {
    aggregate { sum { apiCalls storageGb } avg { apiCalls } }
    groups(by: [{day: WEEK}], having: {or: [{sum: {apiCalls: {gt: "5"}}}, {not: {count: {lt: 2}}}]}) {
      key { day }
      aggregate { max { activeUsers } }
    }
  }
}
"""


@cache
def schema() -> GraphQLSchema:
    return load_schema_and_policy()[0]


def test_a_question_that_uses_everything_is_valid() -> None:
    assert validate(schema(), parse(EVERYTHING)) == []


ASTRAY = [
    pytest.param("{ orders { aggregate { sum { note } } } }", "Cannot query field 'note'", id="the sum of a text"),
    pytest.param("{ orders { aggregate { min { id } } } }", "Cannot query field 'id'", id="the least id"),
    pytest.param("{ employees { aggregate { min { fullName } } } }", "Cannot query", id="what is computed"),
    pytest.param("{ requests { aggregate { countDistinct { groups } } } }", "Cannot query", id="a list"),
    pytest.param("{ orders { groups { aggregate { count } } } }", "is required", id="groups by nothing said"),
    pytest.param(
        "{ orders { groups(by: [{status: DAY}]) { aggregate { count } } } }", "does not exist", id="the day of an enum"
    ),
    pytest.param(
        "{ usageDays { groups(by: [{day: HOUR}]) { aggregate { count } } } }", "does not exist", id="the hour of a day"
    ),
    pytest.param(
        "{ orders { groups(by: [{status: VALUE, total: VALUE}]) { aggregate { count } } } }",
        "exactly one",
        id="two columns as one",
    ),
    pytest.param(
        "{ customers(orderBy: [{orders: {count: ASC, sum: {total: ASC}}}]) { totalCount } }",
        "exactly one",
        id="two measures as one",
    ),
]


@pytest.mark.parametrize(("text", "message"), ASTRAY)
def test_what_cannot_be_measured_or_grouped_is_no_valid_question(text: str, message: str) -> None:
    assert message.lower() in " ".join(error.message for error in validate(schema(), parse(text))).lower()
