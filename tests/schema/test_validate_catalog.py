"""Schema, mappings and connectors agree at the start, or the first mismatch is named with its remedy."""

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
def catalog() -> Catalog:
    return acme.build_catalog()


def rebound(name: str, **changes: Any) -> Callable[[], Catalog]:
    """Change one mapping of the catalog."""
    return lambda: replace(
        catalog(), mappings={**catalog().mappings, name: replace(catalog().mappings[name], **changes)}
    )


def relinked(name: str, **links: Relationship) -> Callable[[], Catalog]:
    return lambda: rebound(name, relationships={**catalog().mappings[name].relationships, **links})()


def without(name: str) -> Callable[[], Catalog]:
    return lambda: replace(catalog(), mappings={item: of for item, of in catalog().mappings.items() if item != name})


def holding(source: str, collection: str, **kinds: ColumnType) -> Callable[[], Catalog]:
    """Give some columns of one collection another type."""

    def build() -> Catalog:
        collections = dict(acme.sources()[source].collections)
        can = collections[collection].capabilities
        columns = {**can.columns, **{name: Column(kind) for name, kind in kinds.items()}}
        collections[collection] = replace(collections[collection], capabilities=replace(can, columns=columns))
        return replace(catalog(), connectors={**catalog().connectors, source: MemoryConnector(collections)})

    return build


def opener() -> Catalog:
    """Let an open field be computed from a guarded one."""
    return rebound(
        "Employee", computed_fields={"fullName": ComputedField(needs=("firstName", "salary"), compute=list)}
    )()


MISFITS = [
    pytest.param(
        rebound("Access", columns={"coordinate": "place"}),
        "`Access.coordinate` has no column `place` in `access`, say where it is in the binding's `columns`",
        id="a column that is shown",
    ),
    pytest.param(
        rebound("Simulation", columns={"person": "who"}),
        "`Query.simulate(person:)` is compared with the column `who`, which `simulation` does not have",
        id="an argument of a root field without a column",
    ),
    pytest.param(
        rebound("PolicyDiff", columns={"since": "to"}),
        "`Query.policyDiff(since:)` is a `DateTime`, but its column `to` holds text",
        id="an argument of a root field of another type than its column",
    ),
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
            catalog(),
            mappings={**catalog().mappings, "Lead": TypeMapping(type="Lead", source="s3", collection="files")},
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
    validate_catalog(catalog())


@pytest.mark.parametrize(("build", "sentence"), MISFITS)
def test_what_does_not_fit_is_named(build: Callable[[], Catalog], sentence: str) -> None:
    with pytest.raises(ConfigurationError) as mistake:
        validate_catalog(build())
    assert str(mistake.value) == sentence
