"""Accept and refuse filters, and resolve the ids in them."""

from typing import Any

import pytest

from onedoor.errors import ErrorCode
from tests.query.spec.conftest import Ask

EMPTY = [
    pytest.param("customers(where: { id: null })", id="a field"),
    pytest.param("customers(where: { id: {} })", id="a field's operators"),
    pytest.param("customers(where: { name: { eq: null } })", id="an operand"),
    pytest.param("customers(where: { name: { eq: null, ne: null } })", id="every operand"),
    pytest.param("customers(where: { name: { in: null } })", id="a list"),
    pytest.param("customers(where: { name: { isNull: null } })", id="isNull"),
    pytest.param("customers(where: { and: null })", id="and"),
    pytest.param("customers(where: { or: null })", id="or"),
    pytest.param("customers(where: { not: null })", id="not"),
    pytest.param("customers(where: { not: { id: {} } })", id="within not"),
    pytest.param("customers(where: { or: [{ id: { eq: 1 } }, { id: {} }] })", id="within or"),
    pytest.param("customers(where: { orders: null })", id="a list link"),
    pytest.param("customers(where: { orders: {} })", id="a list link's quantifiers"),
    pytest.param("customers(where: { orders: { some: null } })", id="a quantifier"),
    pytest.param("customers(where: { orders: { some: { id: { eq: null } } } })", id="through a list link"),
    pytest.param("customers(where: { accountManager: null })", id="a link"),
    pytest.param("customers(where: { accountManager: { lastName: {} } })", id="through a link"),
    pytest.param("customers(where: { channel: { name: { eq: null } } })", id="through a link to another source"),
]


@pytest.mark.parametrize("listed", EMPTY)
async def test_a_filter_that_says_nothing_is_refused(ask: Ask, listed: str) -> None:
    result = await ask(f"{{ {listed} {{ totalCount }} }}")
    assert ([error.code for error in result.errors], result.data, result.scan_stats) == (
        [ErrorCode.BAD_USER_INPUT],
        None,
        [],
    )


ABSENT = [
    pytest.param("query($x: ID) { customers(where: { id: { eq: $x } }) { totalCount } }", {}, id="an operand left out"),
    pytest.param("query($x: ID) { customers(where: { id: { eq: $x } }) { totalCount } }", {"x": None}, id="an operand"),
    pytest.param("query($x: IDFilter) { customers(where: { id: $x }) { totalCount } }", {"x": {}}, id="the operators"),
    pytest.param("query($x: IDFilter) { customers(where: { id: $x }) { totalCount } }", {"x": None}, id="the field"),
    pytest.param(
        "query($x: CustomerWhere) { customers(where: $x) { totalCount } }", {"x": {"id": {"eq": None}}}, id="the filter"
    ),
]


@pytest.mark.parametrize(("text", "variables"), ABSENT)
async def test_and_so_is_one_whose_variable_does(ask: Ask, text: str, variables: dict[str, Any]) -> None:
    result = await ask(text, variables=variables)
    assert ([error.code for error in result.errors], result.data, result.scan_stats) == (
        [ErrorCode.BAD_USER_INPUT],
        None,
        [],
    )


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        pytest.param("", 100, id="no filter"),
        pytest.param("(where: null)", 100, id="null"),
        pytest.param("(where: {})", 100, id="an empty one"),
        pytest.param("(where: { and: [] })", 100, id="all of none"),
        pytest.param("(where: { or: [] })", 0, id="any of none"),
        pytest.param("(where: { not: {} })", 0, id="not everything"),
        pytest.param("(where: { id: { in: [] } })", 0, id="in none"),
        pytest.param("(where: { phone: { notIn: [] } })", 90, id="in none's complement needs a value"),
        pytest.param("(where: { phone: { isNull: true } })", 10, id="without a value"),
        pytest.param("(where: { phone: { isNull: false } })", 90, id="with a value"),
        pytest.param("(where: { accountManager: {} })", 90, id="with a linked row"),
        pytest.param("(where: { not: { accountManager: {} } })", 10, id="without a linked row"),
        pytest.param("(where: { orders: { none: {} } })", 4, id="none of any"),
        pytest.param("(where: { channel: { archived: { eq: true } } })", 0, id="through a link to another source"),
    ],
)
async def test_the_ends_of_the_language(ask: Ask, arguments: str, count: int) -> None:
    result = await ask(f"{{ customers{arguments} {{ totalCount }} }}")
    assert (result.data, result.errors) == ({"customers": {"totalCount": count}}, [])


LONG = [str(number) for number in range(1001)]
OVER = "a list of 1001 values is over the limit `in_max` of 1000, ask in parts"
LISTS = [
    pytest.param(
        "query($x: [ID!]) { customers(where: { id: { in: $x } }) { totalCount } }", {"x": LONG}, id="a variable"
    ),
    pytest.param(
        "query($x: CustomerWhere) { customers(where: $x) { totalCount } }",
        {"x": {"not": {"id": {"notIn": LONG}}}},
        id="within a variable",
    ),
    pytest.param(
        f"{{ customers(where: {{ id: {{ in: [{','.join(LONG)}] }} }}) {{ totalCount }} }}", {}, id="a literal"
    ),
    pytest.param(
        f"{{ employee(id: 1) {{ reports(where: {{ id: {{ in: [{','.join(LONG)}] }} }}) {{ totalCount }} }} }}",
        {},
        id="within a literal",
    ),
]


@pytest.mark.parametrize(("text", "variables"), LISTS)
async def test_a_list_past_the_limit_is_refused(ask: Ask, text: str, variables: dict[str, Any]) -> None:
    result = await ask(text, variables=variables)
    assert ([(error.code, error.message) for error in result.errors], result.data) == (
        [(ErrorCode.LIMIT_EXCEEDED, OVER)],
        None,
    )


async def test_a_list_at_the_limit_is_answered(ask: Ask) -> None:
    text = "query($x: [ID!]) { customers(where: { id: { in: $x } }) { totalCount } }"
    assert (await ask(text, variables={"x": LONG[:1000]})).data == {"customers": {"totalCount": 100}}


WHOLE = [
    "007",
    "+7",
    "7 ",
    " 7",
    "7.0",
    "7e0",
    "٧",
    "0x7",
    "",
    "abc",
    "-0",
    "9" * 19,
    "9" * 5000,
    "null",
    "7:1",
    "%37",
    "1_0",
]
PARTS = [
    "1", "1:", ":1", "1:1:1", "01:1", "1:01", "1:1 ", "%31:1", "1%3A1", "a:b", "", ":", "1:99", "1/1", "1:-1",
]  # fmt: skip
DAYS = [
    "20:2026-10-31T00:00:00",
    "20:20261031",
    "20:2026-W44-6",
    "20:2026-02-30",
    "20:31.10.2026",
    "20",
    "2026-10-31:20",
]
NO_IDS = [
    *(pytest.param("customer", item, id=f"customer {item[:20]!r}") for item in WHOLE),
    *(pytest.param("orderItem", part, id=f"orderItem {part!r}") for part in PARTS),
    *(pytest.param("usageDay", day, id=f"usageDay {day!r}") for day in DAYS),
    *(pytest.param("message", text, id=f"message {text!r}") for text in ("C06G8FCPKZ2", "C06G8FCPKZ2:1777940255.0001")),
    *(
        pytest.param("file", text, id=f"file {text!r}")
        for text in ("", "S3", "S3:", "S3:customers/1", "customers%2F1", "DRIVE:customers%2F1", "s3:customers%2F1")
    ),
]


@pytest.mark.parametrize(("field", "text"), NO_IDS)
async def test_what_is_no_id_of_a_row_names_none(ask: Ask, field: str, text: str) -> None:
    result = await ask(f"query($x: ID!) {{ {field}(id: $x) {{ id }} }}", variables={"x": text})
    assert (result.data, result.errors) == ({field: None}, [])


@pytest.mark.parametrize(("field", "text"), [no_id for no_id in NO_IDS if no_id.values[0] != "message"])
async def test_and_equals_none_in_a_filter(ask: Ask, field: str, text: str) -> None:
    listed = f"{field}s(where: {{ id: {{ %s: $x }} }}) {{ totalCount }}"
    one, many = f"query($x: ID!) {{ {listed % 'eq'} }}", f"query($x: [ID!]!) {{ {listed % 'in'} }}"
    results = [await ask(one, variables={"x": text}), await ask(many, variables={"x": [text, text]})]
    assert [(result.data, result.errors) for result in results] == [({f"{field}s": {"totalCount": 0}}, [])] * 2


FOUND = [
    pytest.param("customer", "7", id="a number"),
    pytest.param("customer", 7, id="a number, not as text"),
    pytest.param("orderItem", "1:2", id="two numbers"),
    pytest.param("usageDay", "20:2026-10-31", id="a number and a day"),
    pytest.param("message", "C06G8FCPKZ2:1777940255.000100", id="two texts"),
    pytest.param("file", "S3:customers%2F1%2Fcontracts%2Fframework-2020.txt", id="a path in a store"),
]


@pytest.mark.parametrize(("field", "ident"), FOUND)
async def test_an_id_names_its_row_alone_and_in_filters(ask: Ask, field: str, ident: Any) -> None:
    text = (
        f"query($x: ID!) {{ {field}(id: $x) {{ id }} eq: {field}s(where: {{ id: {{ eq: $x }} }}) {{ nodes {{ id }} }} "
        f"in: {field}s(where: {{ id: {{ in: [$x] }} }}) {{ nodes {{ id }} }} }}"
    )
    result = await ask(text, variables={"x": ident})
    row = {"id": str(ident)}
    assert result.data == {field: row, "eq": {"nodes": [row]}, "in": {"nodes": [row]}}


async def test_ids_that_name_nothing_are_sent_to_no_source(ask: Ask) -> None:
    result = await ask('{ customer(id: "007") { id orders { totalCount } } usageDay(id: "x") { id } }')
    assert (result.data, result.scan_stats) == ({"customer": None, "usageDay": None}, [])


@pytest.mark.parametrize("operator", ["ne", "notIn"])
async def test_other_than_no_id_is_every_row(ask: Ask, operator: str) -> None:
    operand = '"007"' if operator == "ne" else '["007", "abc"]'
    result = await ask(f"{{ customers(where: {{ id: {{ {operator}: {operand} }} }}) {{ totalCount }} }}")
    assert result.data == {"customers": {"totalCount": 100}}
