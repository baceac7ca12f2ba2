"""Schema, bindings and sources fit together at the start, or the first that does not is named, with what would do."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from onedoor.connectors.memory import MemoryConnector
from onedoor.errors import ConfigurationError
from onedoor.model.catalog import Catalog
from onedoor.model.mapping import ComputedField, Relationship, TypeMapping
from onedoor.query.startup_checks import validate_catalog
from onedoor.spi.capabilities import Column, ColumnType
from tests import acme


@cache
def house() -> Catalog:
    return acme.house()


def rebound(name: str, **changes: Any) -> Callable[[], Catalog]:
    """The house, one binding of it changed."""
    return lambda: replace(house(), mappings={**house().mappings, name: replace(house().mappings[name], **changes)})


def relinked(name: str, **links: Relationship) -> Callable[[], Catalog]:
    return lambda: rebound(name, relationships={**house().mappings[name].relationships, **links})()


def without(name: str) -> Callable[[], Catalog]:
    return lambda: replace(house(), mappings={each: of for each, of in house().mappings.items() if each != name})


def holding(source: str, collection: str, **kinds: ColumnType) -> Callable[[], Catalog]:
    """The house, some columns of one collection holding something else."""

    def made() -> Catalog:
        collections = dict(acme.sources()[source].collections)
        can = collections[collection].capabilities
        columns = {**can.columns, **{name: Column(kind) for name, kind in kinds.items()}}
        collections[collection] = replace(collections[collection], capabilities=replace(can, columns=columns))
        return replace(house(), connectors={**house().connectors, source: MemoryConnector(collections)})

    return made


def opener() -> Catalog:
    """The house, an open field computed of a guarded one."""
    return rebound(
        "Employee", computed_fields={"fullName": ComputedField(needs=("firstName", "salary"), compute=list)}
    )()


MISFITS = [
    pytest.param(
        rebound("Customer", source="crm"),
        "`Customer` is bound to the source `crm`, which no setting names: add `[sources.crm]`, or take the "
        "mapping out of resolvers/",
        id="an unknown source",
    ),
    pytest.param(
        rebound("Customer", collection="customers"),
        "`Customer` is bound to `customers`, which the source `internal` does not have",
        id="an unknown collection",
    ),
    pytest.param(
        lambda: replace(
            house(), mappings={**house().mappings, "Lead": TypeMapping(type="Lead", source="s3", collection="files")}
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
        holding("internal", "order_item", quantity=ColumnType.DECIMAL),
        "`OrderItem.quantity` is a `Int`, but its column `quantity` holds decimal",
        id="a column that holds another kind of number",
    ),
    pytest.param(
        holding("internal", "customer", name=ColumnType.INTEGER),
        "`Customer.name` is a `String`, but its column `name` holds integer",
        id="a column that holds no text",
    ),
    pytest.param(
        holding("internal", "customer", segment=ColumnType.BOOLEAN),
        "`Customer.segment` is a `Segment`, but its column `segment` holds boolean",
        id="a column that holds no enum",
    ),
    pytest.param(
        holding("internal", "customer", name=ColumnType.LIST),
        "`Customer.name` is a `String`, but its column `name` holds list",
        id="a list for one text",
    ),
    pytest.param(
        rebound("Request", columns={"groups": "text"}),
        "`Request.groups` is a list of `String`, but its column `text` holds text",
        id="one text for a list",
    ),
    pytest.param(
        rebound("Order", relationships={}),
        "`Order.customer` leads to other rows, give its binding a link of that name",
        id="no link",
    ),
    pytest.param(
        relinked("Order", customer=Relationship(to="Employee", local="customer_id", remote="id")),
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
        relinked("Order", customer=Relationship(to="Customer", local="buyer_id", remote="id")),
        "the link `Order.customer` names `buyer_id`, which `orders` does not have",
        id="an unknown column here",
    ),
    pytest.param(
        relinked("Order", customer=Relationship(to="Customer", local="customer_id", remote="number")),
        "the link `Order.customer` names `number`, which `customer` does not have",
        id="an unknown column there",
    ),
    pytest.param(
        relinked("Order", customer=Relationship(to="Customer", local=("customer_id", "id"), remote="id")),
        "the link `Order.customer` compares 2 columns with 1, give as many there",
        id="more columns here than there",
    ),
    pytest.param(
        relinked("Order", customer=Relationship(to="Customer", local="status", remote="id")),
        "the link `Order.customer` compares `status` with `id`, which hold different kinds",
        id="columns that hold different kinds",
    ),
    pytest.param(
        rebound("Employee", computed_fields={"fullName": ComputedField(needs=("nickname",), compute=list)}),
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
    validate_catalog(house())


@pytest.mark.parametrize(("made", "sentence"), MISFITS)
def test_what_does_not_fit_is_named(made: Callable[[], Catalog], sentence: str) -> None:
    with pytest.raises(ConfigurationError) as mistake:
        validate_catalog(made())
    assert str(mistake.value) == sentence
