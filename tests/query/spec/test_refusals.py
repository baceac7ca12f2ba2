"""Operations refused before any fetch have a code, a location, and a message without internals."""

from typing import Any

import pytest

from onedoor.errors import ErrorCode
from onedoor.query.context import ExecutionResult, GraphQLRequest
from onedoor.query.engine import execute
from tests import acme
from tests.query.spec.conftest import Ask, build_catalog

REFUSED = [
    pytest.param("{", ErrorCode.GRAPHQL_PARSE_FAILED, (1, 2), id="unfinished"),
    pytest.param("", ErrorCode.GRAPHQL_PARSE_FAILED, (1, 1), id="empty"),
    pytest.param("# nothing", ErrorCode.GRAPHQL_PARSE_FAILED, (1, 10), id="a comment alone"),
    pytest.param("{ me { id } } }", ErrorCode.GRAPHQL_PARSE_FAILED, (1, 15), id="too many braces"),
    pytest.param(
        '{ customer(id: "\\uD800") { id } }', ErrorCode.GRAPHQL_PARSE_FAILED, (1, 17), id="half a surrogate pair"
    ),
    pytest.param("{ me { id\x00 } }", ErrorCode.GRAPHQL_PARSE_FAILED, (1, 10), id="a NUL"),
    pytest.param("{ me }", ErrorCode.GRAPHQL_VALIDATION_FAILED, (1, 3), id="an object without fields"),
    pytest.param("{ me { id { x } } }", ErrorCode.GRAPHQL_VALIDATION_FAILED, (1, 11), id="fields of a scalar"),
    pytest.param("{\n  nobody { id }\n}", ErrorCode.GRAPHQL_VALIDATION_FAILED, (2, 3), id="an unknown field"),
    pytest.param("{ customer { id } }", ErrorCode.GRAPHQL_VALIDATION_FAILED, (1, 3), id="an argument missing"),
    pytest.param("{ me(id: 1) { id } }", ErrorCode.GRAPHQL_VALIDATION_FAILED, (1, 6), id="an unknown argument"),
    pytest.param("{ me { id @no } }", ErrorCode.GRAPHQL_VALIDATION_FAILED, (1, 11), id="an unknown directive"),
    pytest.param("{ me { ...F } }", ErrorCode.GRAPHQL_VALIDATION_FAILED, (1, 11), id="an unknown fragment"),
    pytest.param(
        "{ me { ...F } } fragment F on Me { key { ... on Key { id } } ...F }",
        ErrorCode.GRAPHQL_VALIDATION_FAILED,
        (1, 62),
        id="a fragment in itself",
    ),
    pytest.param(
        "{ me { ...F } } fragment F on Customer { id }",
        ErrorCode.GRAPHQL_VALIDATION_FAILED,
        (1, 8),
        id="another type's fragment",
    ),
    pytest.param(
        "{ me { id } } fragment F on Me { id }", ErrorCode.GRAPHQL_VALIDATION_FAILED, (1, 15), id="unused fragment"
    ),
    pytest.param(
        "{ customer(id: 1) { id: name id } }",
        ErrorCode.GRAPHQL_VALIDATION_FAILED,
        (1, 21),
        id="two fields under one name",
    ),
    pytest.param(
        "{ customer(id: 1) { id } customer(id: 2) { id } }",
        ErrorCode.GRAPHQL_VALIDATION_FAILED,
        (1, 3),
        id="one field with two arguments",
    ),
    pytest.param("query($x: Int) { me { id } }", ErrorCode.GRAPHQL_VALIDATION_FAILED, (1, 7), id="an unused variable"),
    pytest.param(
        "{ customer(id: $x) { id } }", ErrorCode.GRAPHQL_VALIDATION_FAILED, (1, 16), id="an undefined variable"
    ),
    pytest.param(
        "query($x: String) { customer(id: $x) { id } }",
        ErrorCode.GRAPHQL_VALIDATION_FAILED,
        (1, 7),
        id="a variable of another type",
    ),
    pytest.param(
        "{ customers(orderBy: [{ id: ASC, name: ASC }]) { totalCount } }",
        ErrorCode.GRAPHQL_VALIDATION_FAILED,
        (1, 23),
        id="two of a oneOf",
    ),
    pytest.param(
        '{ customers(where: { segment: { eq: "SMALL" } }) { totalCount } }',
        ErrorCode.GRAPHQL_VALIDATION_FAILED,
        (1, 37),
        id="text for an enum",
    ),
    pytest.param(
        '{ orders(where: { total: { eq: "much" } }) { totalCount } }',
        ErrorCode.GRAPHQL_VALIDATION_FAILED,
        (1, 32),
        id="a word for money",
    ),
    pytest.param(
        "{ customers(first: 2147483648) { totalCount } }",
        ErrorCode.GRAPHQL_VALIDATION_FAILED,
        (1, 20),
        id="an Int past 32 bits",
    ),
    pytest.param("{ me { id } } { me { id } }", ErrorCode.GRAPHQL_VALIDATION_FAILED, (1, 1), id="two without a name"),
    pytest.param(
        "query A { me { id } } query A { me { id } }", ErrorCode.GRAPHQL_VALIDATION_FAILED, (1, 7), id="twice a name"
    ),
    pytest.param("type T { id: ID }", ErrorCode.GRAPHQL_VALIDATION_FAILED, (1, 1), id="a definition of a type"),
]


@pytest.mark.parametrize(("text", "code", "place"), REFUSED)
async def test_a_document_that_is_not_valid_is_refused_with_its_place(
    ask: Ask, text: str, code: ErrorCode, place: tuple[int, int]
) -> None:
    result = await ask(text)
    first = result.errors[0]
    line, column = place
    assert (first.code, first.locations[0], result.rejected, result.data, result.scan_stats) == (
        code,
        {"line": line, "column": column},
        True,
        None,
        [],
    )


NEARLY = [
    pytest.param("{ custmer(id: 1) { id } }", {}, id="a field"),
    pytest.param("{ customer(di: 1) { id } }", {}, id="an argument"),
    pytest.param("{ customers(where: { nmae: { eq: 1 } }) { totalCount } }", {}, id="an input field"),
    pytest.param("{ customers(where: { segment: { eq: ENTERPRIS } }) { totalCount } }", {}, id="an enum value"),
    pytest.param("{ me { ... on Custmer { id } } }", {}, id="a type"),
    pytest.param("query($x: Custmer) { me { id } }", {}, id="a variable's type"),
    pytest.param(
        "query($x: CustomerWhere) { customers(where: $x) { totalCount } }",
        {"x": {"nmae": {"eq": "a"}}},
        id="an input field of a variable",
    ),
    pytest.param(
        "query($x: Segment) { customers(where: { segment: { eq: $x } }) { totalCount } }",
        {"x": "ENTERPRIS"},
        id="an enum value of a variable",
    ),
]


@pytest.mark.parametrize(("text", "variables"), NEARLY)
async def test_what_there_is_in_place_of_a_misspelt_name_is_suggested(
    ask: Ask, text: str, variables: dict[str, Any]
) -> None:
    result = await ask(text, variables=variables)
    assert any("; did you mean `" in error.message or "; it has `" in error.message for error in result.errors)
    assert result.rejected


LONG = [
    pytest.param("{ " + "a" * 10_000 + " }", {}, id="an unknown field"),
    pytest.param('{ customer(id: 1) { id } } "' + "a" * 10_000, {}, id="a text that does not end"),
    pytest.param("query($x: Int) { customers(first: $x) { totalCount } }", {"x": "a" * 10_000}, id="a variable"),
]


@pytest.mark.parametrize(("text", "variables"), LONG)
async def test_messages_are_short(ask: Ask, text: str, variables: dict[str, Any]) -> None:
    result = await ask(text, variables=variables)
    assert [error.message for error in result.errors if len(error.message) > 500] == []
    assert result.rejected


async def test_errors_are_few(ask: Ask) -> None:
    result = await ask("{ " + " ".join(f"no{number}" for number in range(20)) + " me { " + "no " * 400 + "} }")
    assert len(result.errors) <= 21


TWO = "query A { me { id } } query B { __typename }"
NAMED = [
    pytest.param(TWO, "A", {"me": {"id": "P1"}}, id="the first"),
    pytest.param(TWO, "B", {"__typename": "Query"}, id="the second"),
    pytest.param("query A { __typename }", None, {"__typename": "Query"}, id="the only one, not named"),
    pytest.param("query A { __typename }", "A", {"__typename": "Query"}, id="the only one, named"),
]


@pytest.mark.parametrize(("text", "name", "data"), NAMED)
async def test_the_operation_named_is_answered(text: str, name: str | None, data: dict[str, Any]) -> None:
    assert (await operated(text, name)).data == data


NOT_NAMED = [
    pytest.param(
        TWO, None, "the document has several operations, name one in `operationName`", id="several, none named"
    ),
    pytest.param(TWO, "C", "the document has no operation named `C`", id="another name"),
    pytest.param("{ __typename }", "A", "the document has no operation named `A`", id="a name for one without"),
    pytest.param(TWO, "a", "the document has no operation named `a`", id="another case"),
    pytest.param(TWO, "C" * 999, f"the document has no operation named `{'C' * 100}`", id="a long name"),
]


@pytest.mark.parametrize(("text", "name", "message"), NOT_NAMED)
async def test_an_operation_that_is_not_there_is_refused(text: str, name: str | None, message: str) -> None:
    result = await operated(text, name)
    assert [(error.code, error.message) for error in result.errors] == [(ErrorCode.BAD_REQUEST, message)]


async def test_a_subscription_is_not_answered_as_a_question(ask: Ask) -> None:
    result = await ask("subscription { __typename }")
    assert (result.rejected, result.data, result.scan_stats) == (True, None, [])


@pytest.mark.parametrize("text", ["fragment F on Me { id }", "type T { id: ID } fragment F on Me { id }"])
async def test_a_document_without_an_operation_is_refused(ask: Ask, text: str) -> None:
    assert (await ask(text)).rejected


async def operated(text: str, name: str | None) -> ExecutionResult:
    return await execute(
        acme.open_engine(build_catalog()), acme.caller(), GraphQLRequest(query=text, operation_name=name)
    )


DOUBLING = [
    pytest.param("{ ...F20 }", "Query", "...F{0} ...F{0}", "me { id }", id="side by side"),
    pytest.param("{ me { ...F20 } }", "Me", "a: key { id } ...F{0} ... { ...F{0} }", "id", id="beside a field"),
    pytest.param(
        "{ employee(id: 1) { ...F20 } }",
        "Employee",
        "a: manager { ...F{0} } b: manager { ...F{0} }",
        "id",
        id="in one another",
    ),
    pytest.param(
        '{ __type(name: "Query") { ...F20 } }',
        "__Type",
        "a: ofType { ...F{0} } b: ofType { ...F{0} }",
        "name",
        id="in the schema",
    ),
]


@pytest.mark.parametrize(("operation", "on", "doubled", "least"), DOUBLING)
async def test_fragments_that_double_are_refused_before_they_are_expanded(
    ask: Ask, operation: str, on: str, doubled: str, least: str
) -> None:
    levels = [f"fragment F{n} on {on} {{ {doubled.replace('{0}', str(n - 1))} }}" for n in range(1, 21)]
    result = await ask(" ".join((operation, *levels, f"fragment F0 on {on} {{ {least} }}")))
    (error,) = result.errors
    assert (error.code, "`fields_max` of 5000" in error.message, result.document) == (
        ErrorCode.LIMIT_EXCEEDED,
        True,
        None,
    )
