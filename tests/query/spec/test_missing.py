"""A variable not given may leave out an argument, but never a part of a filter: that would widen the question."""

import pytest

from tests.acme import ask, house, opened

AT = opened(house())
WIDENING = {
    "a whole test": "query ($f: IDFilter) { customers(where: {id: $f}) { totalCount } }",
    "an operand": "query ($f: ID) { customers(where: {id: {eq: $f}}) { totalCount } }",
    "one of two": 'query ($f: IDFilter) { customers(where: {id: $f, name: {contains: "a"}}) { totalCount } }',
    "below a link": "query ($f: DecimalFilter) { customers(where: {orders: {some: {total: $f}}}) { totalCount } }",
    "in a list": "query ($f: IDFilter) { customers(where: {or: [{id: $f}]}) { totalCount } }",
    "a list of filters": "query ($f: [CustomerWhere!]) { customers(where: {and: $f}) { totalCount } }",
}


@pytest.mark.parametrize("text", WIDENING.values(), ids=WIDENING)
async def test_a_filter_that_lost_a_part_is_refused(text: str) -> None:
    told = await ask(AT, text, "sales")
    assert (told.rejected, [(each.code, each.message) for each in told.errors]) == (
        True,
        [
            (
                "BAD_USER_INPUT",
                "`$f` stands in a filter or an order but was not given, which would widen the question",
            )
        ],
    )


@pytest.mark.parametrize("name", ["where: $w", "first: $n", "orderBy: $o", "after: $a"])
async def test_a_whole_argument_may_be_left_out(name: str) -> None:
    of = {"$w": "CustomerWhere", "$n": "Int", "$o": "[CustomerOrder!]", "$a": "String"}[name.split(": ")[1]]
    variable = name.split(": ")[1]
    told = await ask(AT, f"query ({variable}: {of}) {{ customers({name}) {{ totalCount }} }}", "sales")
    assert told.data == {"customers": {"totalCount": 100}}
