"""A name or a value that does not fit the schema is refused with what would do."""

import pytest
from graphql import GraphQLSchema, OperationDefinitionNode, build_schema, parse, validate

from onedoor.errors import RequestRejected
from onedoor.query.selection import coerce_variables
from onedoor.query.suggestions import DESCRIBED_ERRORS_MAX, describe_errors
from tests.acme import load_schema_and_policy

ACME = load_schema_and_policy()[0]
ANIMALS = build_schema(
    "type Query { pet: Pet } interface Pet { name: String } type Dog implements Pet { name: String barks: Boolean }"
)

LITERALS = [
    pytest.param(
        '{ customers(where: {name: {like: "%Granit%"}}) { totalCount } }',
        "`StringFilter` has no `like`; use `contains`, `startsWith` or `iContains` to ignore case",
        id="an operator of SQL",
    ),
    pytest.param(
        '{ customers(where: {name: {contain: "x"}}) { totalCount } }',
        "`StringFilter` has no `contain`; did you mean `contains` or `iContains`",
        id="a misspelt operator",
    ),
    pytest.param(
        "{ customers(first: 5) { name } }",
        "`CustomerConnection` has no field `name`; the rows are under `nodes`: `nodes { name }`",
        id="a row's field beside the rows",
    ),
    pytest.param(
        "{ customers { items { id } } }", "`CustomerConnection` has no field `items`; use `nodes`", id="another name"
    ),
    pytest.param(
        '{ customers(where: {country: "SE"}) { totalCount } }',
        '`country` takes a test, such as `{eq: "SE"}`',
        id="a value for a test",
    ),
    pytest.param(
        '{ customers(where: {country: ["SE", "NO"]}) { totalCount } }',
        '`country` takes a test, such as `{in: ["SE", "NO"]}`',
        id="values for a test",
    ),
    pytest.param(
        '{ customers(where: {segment: "ENTERPRISE"}) { totalCount } }',
        "`segment` takes a test, such as `{eq: ENTERPRISE}`",
        id="a quoted enum value for a test",
    ),
    pytest.param(
        "{ customers(where: 3) { totalCount } }",
        "`where` takes an object with fields of `CustomerWhere`, not `3`",
        id="a number for a filter",
    ),
    pytest.param(
        '{ customers(where: {segment: {eq: "ENTERPRISE"}}) { totalCount } }',
        "write values of `Segment` without quotes: `ENTERPRISE`",
        id="a quoted enum value",
    ),
    pytest.param(
        "{ customers(where: {segment: {eq: ENTERPRIS}}) { totalCount } }",
        "`Segment` has no value `ENTERPRIS`; did you mean `ENTERPRISE`",
        id="a misspelt enum value",
    ),
    pytest.param(
        "{ customers(orderBy: [{name: ASC, country: DESC}]) { totalCount } }",
        "`CustomerOrder` takes one field an object, which is not null: `[{name: ASC}, {country: DESC}]`",
        id="two fields in an object of one",
    ),
    pytest.param(
        "{ customers(where: {orders: {count: {gt: 5}}}) { totalCount } }",
        "`OrderListWhere` has no `count`; a list takes `some`, `every` or `none`, and rows are counted by "
        "`groups(by: ..., having: ...)` of their own list",
        id="a count of a list",
    ),
    pytest.param(
        '{ customers(where: {orders: {total: {gt: "5"}}}) { totalCount } }',
        "`OrderListWhere` has no `total`; a list takes `some`, `every` or `none`, as in `{some: {total: ...}}`",
        id="a row's field of a list",
    ),
    pytest.param(
        "{ me { salary } }",
        "`Me` has no field `salary`; it has `id`, `firstName`, `lastName`, `email`, `groups`, `memberships` and 6 more",
        id="a name near no other",
    ),
    pytest.param("{ me { emial } }", "`Me` has no field `emial`; did you mean `email`", id="a misspelt field"),
    pytest.param(
        "{ customers(limit: 3) { totalCount } }",
        "`Query.customers` takes no argument `limit`; use `first`",
        id="an argument of another API",
    ),
    pytest.param(
        "{ customers(order_by: []) { totalCount } }",
        "`Query.customers` takes no argument `order_by`; did you mean `orderBy`",
        id="an argument with an underscore",
    ),
    pytest.param(
        "query ($w: CustmerWhere) { customers(where: $w) { totalCount } }",
        "there is no type `CustmerWhere`; did you mean `CustomerWhere`, `CustomerListWhere` or `CustomerValuesWhere`",
        id="a misspelt type",
    ),
    pytest.param("query ($w: Zzzzzzz) { me { id } }", "there is no type `Zzzzzzz`", id="a type near no other"),
]

VARIABLES = [
    pytest.param({"name": {"like": "x"}}, "`$w.name`: `StringFilter` has no `like`; use", id="an unknown operator"),
    pytest.param({"country": "SE"}, '`$w.country`: `StringFilter` takes a test, such as `{eq: "SE"}`', id="a value"),
    pytest.param({"segment": {"eq": "ENTERPRIS"}}, "`$w.segment.eq`: `Segment` has no value `ENTERPRIS`", id="an enum"),
]


def refuse(schema: GraphQLSchema, text: str) -> list[str]:
    """Return the messages that a document is refused with."""
    return describe_errors(schema, validate(schema, parse(text), hide_suggestions=True))


@pytest.mark.parametrize(("text", "message"), LITERALS)
def test_a_refusal_says_what_would_do(text: str, message: str) -> None:
    assert message in refuse(ACME, text)


@pytest.mark.parametrize(("value", "message"), VARIABLES)
def test_a_refused_variable_says_where_and_what_would_do(value: object, message: str) -> None:
    operation = parse("query ($w: CustomerWhere) { customers(where: $w) { totalCount } }").definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    with pytest.raises(RequestRejected) as refusal:
        coerce_variables(ACME, operation, {"w": value})
    assert refusal.value.errors[0].message.startswith(message)


def test_a_field_of_one_concrete_type_is_reached_by_an_inline_fragment() -> None:
    assert refuse(ANIMALS, "{ pet { barks } }") == [
        "`Pet` has no field `barks`; use an inline fragment: `... on Dog { barks }`"
    ]


def test_a_long_name_is_cut_and_compared_with_none() -> None:
    (message,) = refuse(ACME, f"{{ me {{ {'email' * 2000} }} }}")
    assert message.startswith(f"`Me` has no field `{'email' * 12}...`; it has `id`")


def test_past_the_first_errors_no_names_are_compared() -> None:
    fields = " ".join(f"emial{number}" for number in range(DESCRIBED_ERRORS_MAX + 1))
    messages = refuse(ACME, f"{{ me {{ {fields} }} }}")
    assert messages[-1] == f"Cannot query field 'emial{DESCRIBED_ERRORS_MAX}' on type 'Me'."
    assert "did you mean" in messages[-2]
