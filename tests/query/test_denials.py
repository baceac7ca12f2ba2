"""A denial says which groups would do, and where the teams are reached that give them."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from graphql import build_schema

from auth.groups import FunctionalGroup, Groups, Owner
from auth.policy import AccessPolicy, Decision
from onedoor.model.catalog import Catalog
from onedoor.query.errors import build_forbidden_rows_error
from onedoor.schema.sdl import add_owner_contacts
from tests import acme

COORDINATE = ("Order", "cost")
READ_ONLY = "type Query { order: Order } type Order { cost: Float }"
WITH_REQUESTS = f"{READ_ONLY} type Mutation {{ requestAccess: Order }}"
REACHABLE = Groups(
    [FunctionalGroup(name=name, purpose="-", owner=owner) for name, owner in
     (("finance", "books"), ("controlling", "books"), ("sales", "sales operations"), ("support", "nobody"))],
    [Owner(name="books", contact="#books"), Owner(name="sales operations", contact="sales@acme.example")],
)  # fmt: skip


def build_catalog(groups: Groups, sdl: str = READ_ONLY) -> Catalog:
    policy = AccessPolicy({}, owners={COORDINATE: "order desk"})
    return Catalog(
        schema=build_schema(sdl),
        policy=policy,
        groups=groups,
        mappings={},
        connectors={},
        cursor_secret=b"",
        version="",
    )


def describe(catalog: Catalog, *requirements: Iterable[str]) -> str:
    decision = Decision(COORDINATE, tuple(map(frozenset, requirements)))
    return build_forbidden_rows_error(catalog, "Order", decision, None).message.removeprefix(
        "rows of `Order` are left out: "
    )


@pytest.mark.parametrize(
    ("groups", "requirements", "message"),
    [
        pytest.param(
            REACHABLE,
            [{"finance", "sales"}],
            "`Order.cost` is for finance or sales; ask books (#books) or sales operations (sales@acme.example) for it",
            id="the owners of the groups",
        ),
        pytest.param(
            REACHABLE,
            [{"finance", "controlling"}],
            "`Order.cost` is for controlling or finance; ask books (#books) for it",
            id="each once",
        ),
        pytest.param(
            REACHABLE,
            [{"finance"}, {"sales", "support", "controlling"}],
            "`Order.cost` is for controlling, sales or support, and for finance;"
            " ask books (#books) or sales operations (sales@acme.example) for it",
            id="all that is missing",
        ),
        pytest.param(
            REACHABLE,
            [{"finance", "sales"}, {"sales"}],
            "`Order.cost` is for sales; ask sales operations (sales@acme.example) for it",
            id="but not what goes without saying",
        ),
        pytest.param(
            REACHABLE, [{"support"}], "`Order.cost` is for support; ask order desk for it", id="or else the field's"
        ),
        pytest.param(Groups(), [{"finance"}], "`Order.cost` is for finance; ask order desk for it", id="old register"),
        pytest.param(REACHABLE, [], "`Order.cost` is for no group; ask order desk for it", id="what nobody opened"),
    ],
)  # fmt: skip
def test_a_denial_says_whom_to_ask(groups: Groups, requirements: list[set[str]], message: str) -> None:
    assert describe(build_catalog(groups), *requirements) == message


def test_the_mutation_that_asks_is_named_where_the_schema_has_it() -> None:
    catalog = build_catalog(REACHABLE, WITH_REQUESTS)
    assert describe(catalog, {"finance"}) == (
        "`Order.cost` is for finance; send `requestAccess`, or ask books (#books) for it"
    )


async def test_a_client_reads_the_same_beside_the_message() -> None:
    catalog = acme.build_catalog()
    (error,) = (await acme.ask(acme.open_engine(catalog), "{ employee(id: 1) { salary } }")).errors
    (unreachable,) = (
        await acme.ask(acme.open_engine(replace(catalog, groups=Groups())), "{ employee(id: 1) { salary } }")
    ).errors
    old = {"position": "Employee.salary", "groups": [["finance", "people"]], "owner": "payroll", "nulls": 1}
    old["requestWith"] = "requestAccess"
    assert unreachable.extensions == old
    assert error.extensions == {
        **old,
        "contact": "payroll@acme.example",
        "groupOwners": [
            {"group": "finance", "owner": "finance", "contact": "finance@acme.example"},
            {"group": "people", "owner": "people", "contact": "people@acme.example"},
        ],
    }


def test_everything_in_acmes_schema_has_an_owner_who_can_be_reached() -> None:
    assert {*acme.load_schema_and_policy()[1].owners.values()} - acme.GROUPS.contacts.keys() == set()


def test_introspection_says_where_owners_are_reached() -> None:
    document = add_owner_contacts(acme.load_document(), {"payroll": "payroll@acme.example"})
    definitions: tuple[Any, ...] = document.definitions
    descriptions = {
        f"{node.name.value}.{field.name.value}": field.description.value
        for node in definitions
        for field in getattr(node, "fields", None) or ()
        if field.description and "Owner: " in field.description.value
    }
    assert descriptions == {
        "Employee.salary": "The yearly salary before tax, in euros.\n\nOwner: payroll, payroll@acme.example."
    }
