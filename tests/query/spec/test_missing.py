"""A variable without a value may leave out an argument, but no part of a filter, which would widen the request."""

import pytest

from onedoor.query.context import QueryEngine
from tests.acme import ask

WIDENING = {
    "a whole test": "query ($f: IDFilter) { customers(where: {id: $f}) { totalCount } }",
    "an operand": "query ($f: ID) { customers(where: {id: {eq: $f}}) { totalCount } }",
    "one of two": 'query ($f: IDFilter) { customers(where: {id: $f, name: {contains: "a"}}) { totalCount } }',
    "below a link": "query ($f: DecimalFilter) { customers(where: {orders: {some: {total: $f}}}) { totalCount } }",
    "in a list": "query ($f: IDFilter) { customers(where: {or: [{id: $f}]}) { totalCount } }",
    "a list of filters": "query ($f: [CustomerWhere!]) { customers(where: {and: $f}) { totalCount } }",
}


@pytest.mark.parametrize("text", WIDENING.values(), ids=WIDENING)
async def test_a_filter_that_lost_a_part_is_refused(engine: QueryEngine, text: str) -> None:
    result = await ask(engine, text, "sales")
    assert (result.rejected, [(error.code, error.message) for error in result.errors]) == (
        True,
        [
            (
                "BAD_USER_INPUT",
                "`$f` stands in a filter or an order but was not given, which would widen the request",
            )
        ],
    )


@pytest.mark.parametrize("name", ["where: $w", "first: $n", "orderBy: $o", "after: $a"])
async def test_a_whole_argument_may_be_left_out(engine: QueryEngine, name: str) -> None:
    type = {"$w": "CustomerWhere", "$n": "Int", "$o": "[CustomerOrder!]", "$a": "String"}[name.split(": ")[1]]
    variable = name.split(": ")[1]
    result = await ask(engine, f"query ({variable}: {type}) {{ customers({name}) {{ totalCount }} }}", "sales")
    assert result.data == {"customers": {"totalCount": 100}}
