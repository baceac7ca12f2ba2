"""Schema, bindings and sources fit together at the start, or the first that does not is named, with what would do."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from auth.mistake import Mistake
from engine.binding import Batch, Binding, Link
from engine.fits import fits
from engine.house import House
from engine.words import Column, Kind
from sources.memory import Memory
from tests import acme


@cache
def house() -> House:
    return acme.house()


def rebound(name: str, **changes: Any) -> Callable[[], House]:
    """The house, one binding of it changed."""
    return lambda: replace(house(), bindings={**house().bindings, name: replace(house().bindings[name], **changes)})


def relinked(name: str, **links: Link) -> Callable[[], House]:
    return lambda: rebound(name, links={**house().bindings[name].links, **links})()


def without(name: str) -> Callable[[], House]:
    return lambda: replace(house(), bindings={each: of for each, of in house().bindings.items() if each != name})


def holding(source: str, collection: str, **kinds: Kind) -> Callable[[], House]:
    """The house, some columns of one collection holding something else."""

    def made() -> House:
        collections = dict(acme.sources()[source].collections)
        can = collections[collection].can
        columns = {**can.columns, **{name: Column(kind) for name, kind in kinds.items()}}
        collections[collection] = replace(collections[collection], can=replace(can, columns=columns))
        return replace(house(), sources={**house().sources, source: Memory(collections)})

    return made


def opener() -> House:
    """The house, an open field computed of a guarded one."""
    return rebound("Employee", batches={"fullName": Batch(needs=("firstName", "salary"), compute=list)})()


MISFITS = [
    pytest.param(
        rebound("Customer", source="crm"),
        "`Customer` is bound to the source `crm`, which no setting names: add `[sources.crm]`",
        id="an unknown source",
    ),
    pytest.param(
        rebound("Customer", collection="customers"),
        "`Customer` is bound to `customers`, which the source `internal` does not have",
        id="an unknown collection",
    ),
    pytest.param(
        lambda: replace(
            house(), bindings={**house().bindings, "Lead": Binding(type="Lead", source="s3", collection="files")}
        ),
        "there is a binding of `Lead`, but no such type in schema/",
        id="an unknown type",
    ),
    pytest.param(
        rebound("Customer", key=("number",)),
        "the key of `Customer` names the column `number`, which `customer` does not have",
        id="an unknown column of the key",
    ),
    pytest.param(
        rebound("Customer", columns={"name": "nmae"}),
        "`Customer.name` has no column `nmae` in `customer`, did you mean `name`",
        id="an unknown column, nearly",
    ),
    pytest.param(
        rebound("Customer", columns={"name": "zzz"}),
        "`Customer.name` has no column `zzz` in `customer`, say where it is in the binding's `columns`",
        id="an unknown column",
    ),
    pytest.param(
        holding("internal", "order_item", quantity=Kind.DECIMAL),
        "`OrderItem.quantity` is a `Int`, but its column `quantity` holds decimal",
        id="a column that holds another kind of number",
    ),
    pytest.param(
        holding("internal", "customer", name=Kind.INTEGER),
        "`Customer.name` is a `String`, but its column `name` holds integer",
        id="a column that holds no text",
    ),
    pytest.param(
        holding("internal", "customer", segment=Kind.BOOLEAN),
        "`Customer.segment` is a `Segment`, but its column `segment` holds boolean",
        id="a column that holds no enum",
    ),
    pytest.param(
        holding("internal", "customer", name=Kind.LIST),
        "`Customer.name` is a `String`, but its column `name` holds list",
        id="a list for one text",
    ),
    pytest.param(
        rebound("Request", columns={"groups": "text"}),
        "`Request.groups` is a list of `String`, but its column `text` holds text",
        id="one text for a list",
    ),
    pytest.param(
        rebound("Order", links={}),
        "`Order.customer` leads to other rows, give its binding a link of that name",
        id="no link",
    ),
    pytest.param(
        relinked("Order", customer=Link(to="Employee", here="customer_id", there="id")),
        "the link `Order.customer` leads to `Employee`, but its field to `Customer`: name that",
        id="a link to another type",
    ),
    pytest.param(
        without("Product"),
        "the link `OrderItem.product` leads to `Product`, which has no binding: give it one in resolvers/",
        id="a link to a type without a binding",
    ),
    pytest.param(
        without("Request"),
        "`Query.request` leads to `Request`, which has no binding: give it one in resolvers/",
        id="a root field to a type without a binding",
    ),
    pytest.param(
        relinked("Order", customer=Link(to="Customer", here="buyer_id", there="id")),
        "the link `Order.customer` names `buyer_id`, which `orders` does not have",
        id="an unknown column here",
    ),
    pytest.param(
        relinked("Order", customer=Link(to="Customer", here="customer_id", there="number")),
        "the link `Order.customer` names `number`, which `customer` does not have",
        id="an unknown column there",
    ),
    pytest.param(
        relinked("Order", customer=Link(to="Customer", here=("customer_id", "id"), there="id")),
        "the link `Order.customer` compares 2 columns with 1, give as many there",
        id="more columns here than there",
    ),
    pytest.param(
        relinked("Order", customer=Link(to="Customer", here="status", there="id")),
        "the link `Order.customer` compares `status` with `id`, which hold different kinds",
        id="columns that hold different kinds",
    ),
    pytest.param(
        rebound("Employee", batches={"fullName": Batch(needs=("nickname",), compute=list)}),
        "`Employee.fullName` is made of `nickname`, which `Employee` does not have",
        id="computed of an unknown field",
    ),
    pytest.param(
        opener,
        "`Employee.fullName` is made of `salary` but open to more groups, narrow it to ['finance', 'people']",
        id="computed of a guarded field, but open",
    ),
]


def test_the_product_fits() -> None:
    fits(house())


@pytest.mark.parametrize(("made", "sentence"), MISFITS)
def test_what_does_not_fit_is_named(made: Callable[[], House], sentence: str) -> None:
    with pytest.raises(Mistake) as mistake:
        fits(made())
    assert str(mistake.value) == sentence
