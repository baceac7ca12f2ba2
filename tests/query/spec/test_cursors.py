"""A cursor is valid for the list it was taken from and for no other, whoever sends it."""

import base64
import random
from dataclasses import replace
from typing import Any

import pytest

from onedoor.errors import ErrorCode, RequestRejected
from onedoor.query import cursors
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.scan import SortKey
from tests import acme
from tests.query.spec.conftest import Ask, build_catalog

FROM = 'customers(first: 1, orderBy: [{ name: ASC }], where: { country: { in: ["DE", "FR"] } })'
AFTER = 'customers(after: $c, first: 1, orderBy: [{ name: ASC }], where: { country: { in: ["DE", "FR"] } })'


async def take_cursor(ask: Ask, text: str = FROM) -> str:
    result = await ask(f"{{ of: {text} {{ pageInfo {{ endCursor }} }} }}")
    assert result.data is not None
    end: str = result.data["of"]["pageInfo"]["endCursor"]
    return end


async def codes(ask: Ask, text: str, given: Any, *groups: str, **more: Any) -> list[ErrorCode]:
    """What is wrong with a list asked for from a cursor; nothing, where it is answered."""
    declared = "".join(f", ${name}: {kind}" for name, (kind, _) in more.items())
    variables = {"c": given, **{name: value for name, (_, value) in more.items()}}
    result = await ask(
        f"query($c: String{declared}) {{ of: {text} {{ nodes {{ id }} }} }}", *groups, variables=variables
    )
    return [error.code for error in result.errors]


ELSEWHERE = [
    pytest.param(
        'customers(after: $c, orderBy: [{ name: DESC }], where: { country: { in: ["DE", "FR"] } })',
        id="another direction",
    ),
    pytest.param(
        'customers(after: $c, orderBy: [{ email: ASC }], where: { country: { in: ["DE", "FR"] } })', id="another order"
    ),
    pytest.param('customers(after: $c, where: { country: { in: ["DE", "FR"] } })', id="no order"),
    pytest.param(
        'customers(after: $c, orderBy: [{ name: ASC }], where: { country: { in: ["DE"] } })', id="another filter"
    ),
    pytest.param("customers(after: $c, orderBy: [{ name: ASC }])", id="no filter"),
    pytest.param("employees(after: $c, orderBy: [{ lastName: ASC }])", id="another list"),
    pytest.param("products(after: $c, orderBy: [{ name: ASC }])", id="another list with the same order"),
]


@pytest.mark.parametrize("text", ELSEWHERE)
async def test_a_cursor_is_good_for_no_other_list(ask: Ask, text: str) -> None:
    assert await codes(ask, text, await take_cursor(ask)) == [ErrorCode.BAD_CURSOR]


SPELLINGS = [
    pytest.param("", ["", ", where: {}", ", where: { and: [] }", ", where: { and: [{}] }"], id="no filter"),
    pytest.param(
        ', where: { country: { eq: "DE" } }',
        [
            ', where: { and: [{ country: { eq: "DE" } }] }',
            ', where: { country: { eq: "DE" }, and: [{}] }',
            ', where: { and: [{ country: { eq: "DE" } }, { and: [{ country: { eq: "DE" } }] }] }',
        ],
        id="one condition",
    ),
]


async def test_a_cursor_of_an_earlier_release_is_good_for_the_same_filter(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = 'where: { and: [{ country: { eq: "DE" } }, { and: [] }] }'
    with monkeypatch.context() as earlier:
        earlier.setattr(cursors, "canonicalize_filter", cursors._sort_fields)
        cursor = await take_cursor(ask, f"customers({where}, first: 1)")
    assert await codes(ask, f"customers(after: $c, {where}, first: 1)", cursor) == []
    assert await codes(ask, "customers(after: $c, first: 1)", cursor) == [ErrorCode.BAD_CURSOR]


@pytest.mark.parametrize(("where", "spellings"), SPELLINGS)
async def test_a_cursor_survives_another_spelling_of_its_filter(ask: Ask, where: str, spellings: list[str]) -> None:
    cursor = await take_cursor(ask, f"customers(first: 1{where})")
    assert [await codes(ask, f"customers(after: $c, first: 1{other})", cursor) for other in spellings] == [
        [] for _ in spellings
    ]


async def test_a_cursor_of_one_parents_list_is_not_one_of_the_root(ask: Ask) -> None:
    result = await ask("{ customer(id: 20) { orders(first: 1) { pageInfo { endCursor } } } }")
    assert result.data is not None
    given = result.data["customer"]["orders"]["pageInfo"]["endCursor"]
    assert await codes(ask, "orders(after: $c)", given) == [ErrorCode.BAD_CURSOR]


SAME = [
    pytest.param(AFTER, {}, id="the same"),
    pytest.param(AFTER.replace("after", "before"), {}, id="before in place of after"),
    pytest.param(AFTER.replace("first: 1", "first: 500"), {}, id="another size"),
    pytest.param(
        "customers(after: $c, orderBy: [{ name: ASC }], where: { country: { in: $countries } })",
        {"countries": ("[String!]", ["DE", "FR"])},
        id="the filter in a variable",
    ),
    pytest.param(
        "customers(after: $c, orderBy: $order, where: $where)",
        {
            "order": ("[CustomerOrder!]", [{"name": "ASC"}]),
            "where": ("CustomerWhere", {"country": {"in": ["DE", "FR"]}}),
        },
        id="all of it in variables",
    ),
]


@pytest.mark.parametrize(("text", "more"), SAME)
async def test_a_cursor_is_good_for_the_same_list_however_it_is_written(
    ask: Ask, text: str, more: dict[str, Any]
) -> None:
    assert await codes(ask, text, await take_cursor(ask), **more) == []


async def test_a_cursor_outlives_a_change_of_caller(ask: Ask) -> None:
    assert await codes(ask, AFTER, await take_cursor(ask), "marketing") == []


async def test_a_cursor_shows_nothing_that_its_bearer_may_not_see(ask: Ask) -> None:
    given = await take_cursor(ask, "customers(first: 1, orderBy: [{ creditLimit: ASC }])")
    text = "customers(after: $c, orderBy: [{ creditLimit: ASC }])"
    assert (await codes(ask, text, given, "sales"), await codes(ask, text, given, "finance")) == (
        [ErrorCode.FORBIDDEN],
        [],
    )


async def test_a_cursor_outlives_a_restart_but_not_a_change_of_the_schema(ask: Ask) -> None:
    given = await take_cursor(ask)
    results = []
    for of in (
        build_catalog(),
        replace(build_catalog(), version="another"),
        replace(build_catalog(), cursor_secret=b"another"),
    ):
        result = await acme.ask(
            acme.open_engine(of), f"query($c: String) {{ {AFTER} {{ totalCount }} }}", "sales", variables={"c": given}
        )
        results.append([error.code for error in result.errors])
    assert results == [[], [ErrorCode.BAD_CURSOR], [ErrorCode.BAD_CURSOR]]


ODD = ["", " ", "=", "a", "====", "null", "0", "é", "\x00", "a" * 100_000, "eyJpZCI6MX0", "-_", "WzFd", "\ud800"]


@pytest.mark.parametrize("text", ODD, ids=repr)
async def test_a_text_that_is_no_cursor_is_refused(ask: Ask, text: str) -> None:
    assert await codes(ask, "customers(after: $c)", text) == [ErrorCode.BAD_CURSOR]


async def test_a_cursor_does_not_show_what_it_is_made_of(ask: Ask) -> None:
    """It ends in addresses and logs, where others read it."""
    result = await ask(
        "{ employees(first: 3, orderBy: [{salary: DESC}]) { edges { cursor node { salary } } } }", "people"
    )
    assert result.data is not None
    edges = result.data["employees"]["edges"]
    raw = [base64.urlsafe_b64decode(edge["cursor"] + "===") for edge in edges]
    assert [edge["node"]["salary"].encode() in text for edge, text in zip(edges, raw, strict=True)] == [False] * 3
    assert {text[:1] for text in raw} == {cursors.SEALED}


async def test_no_cursor_is_null(ask: Ask) -> None:
    assert await codes(ask, "customers(after: $c, before: $c)", None) == []


async def test_a_cursor_of_a_long_value_is_good(ask: Ask) -> None:
    """A value as long as a message may be is a place like any other."""
    key = cursors.derive_cursor_key(b"secret", "1", "Query.messages", (SortKey("text"),), None)
    cursor = cursors.encode_cursor(("word " * 10_000,), key)
    assert cursors.decode_cursor(cursor, (ColumnType.TEXT,), key) == ("word " * 10_000,)


KEY = cursors.derive_cursor_key(b"secret", "1", "Query.customers", (SortKey("name"), SortKey("id")), None)
WRITTEN = cursors.encode_cursor(("Kyoto Energy GmbH?>", 3), KEY)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/= .é\x00"


def mutated(chance: random.Random) -> str:
    """The cursor with one to three of its characters changed, put in, taken away or moved."""
    text = list(WRITTEN)
    for _ in range(chance.randint(1, 3)):
        position = chance.randrange(len(text))
        text[position : position + chance.choice((0, 1, 1, 1, 2))] = chance.choice(ALPHABET) * chance.choice(
            (0, 1, 1, 1, 4)
        )
    return "".join(text)


def test_ten_thousand_changed_cursors_are_refused_and_nothing_else() -> None:
    chance = random.Random(1)
    changed = {mutated(chance) for _ in range(10_000)} - {WRITTEN}
    assert {outcome(item) for item in changed} == {ErrorCode.BAD_CURSOR}
    assert outcome(WRITTEN) == ("Kyoto Energy GmbH?>", 3)


def test_a_cursor_has_one_spelling() -> None:
    """Base64 has several for the same bytes: other letters, padding, and bits that are thrown away."""
    cursor = next(item for item in map(one_row, range(200)) if "-" in item and "_" in item and len(item) % 4)
    last = ALPHABET[ALPHABET.index(cursor[-1]) + 1]
    others = (cursor.replace("-", "+"), cursor.replace("_", "/"), f"{cursor}=", f"{cursor}\n", cursor[:-1] + last)
    assert [outcome(other, (ColumnType.INTEGER,)) for other in others] == [ErrorCode.BAD_CURSOR] * len(others)


def one_row(number: int) -> str:
    return cursors.encode_cursor((number,), KEY)


def outcome(text: str, kinds: tuple[ColumnType, ...] = (ColumnType.TEXT, ColumnType.INTEGER)) -> Any:
    try:
        return cursors.decode_cursor(text, kinds, KEY)
    except RequestRejected as refusal:
        return refusal.errors[0].code
