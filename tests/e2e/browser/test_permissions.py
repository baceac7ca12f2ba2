"""GraphiQL's docs learn who may see each field with a key, and no more than introspection shows."""

from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from fastapi import FastAPI
from graphql import GraphQLSchema, build_schema

from auth.policy import AccessPolicy, decide, minimize_requirements
from onedoor.http.permissions import PATH, audited_router, list_field_permissions, router
from onedoor.http.rate_limit import RateLimiter
from onedoor.http.turned_away import TurnedAwayRecords
from onedoor.model.catalog import Catalog, Limits
from onedoor.query.audited import AuditedExecutor
from onedoor.query.context import build_query_engine
from onedoor.schema.visibility import build_visible_schema
from onedoor.storage.database import MetadataDatabaseUnavailable
from tests.acme import caller, load_document, load_schema_and_policy

SALES, FINANCE, EVERYONE = frozenset({"sales", "finance"}), frozenset({"finance"}), frozenset({"everyone"})
RULES = AccessPolicy(
    requirements={("Order", "id"): (SALES,), ("Order", "cost"): (SALES, FINANCE), ("Order", "id", "first"): (FINANCE,)},
    owners={("Order", "cost"): "order desk"},
)


SCHEMA = build_schema("type Query { order: Order } type Order { id(first: Int): ID cost: Int }")


def build_own_view(groups: frozenset[str]) -> GraphQLSchema:
    """Leave out the cost, as of an order that these groups know half of."""
    return build_schema("type Query { order: Order } type Order { id: ID }")


class Unrecorded(AuditedExecutor):
    """An executor over RULES that keeps no records."""

    async def record(self, *_: object) -> None:
        return None


async def request_permissions(principal: Any, *, own: bool = False, method: str = "GET") -> tuple[int, Any]:
    sent: list[Any] = []

    async def authenticate(_: Any) -> Any:
        if isinstance(principal, Exception):
            raise principal
        return principal

    async def send(message: Any) -> None:
        sent.append(message)

    catalog = Catalog(
        schema=SCHEMA,
        policy=RULES,
        mappings={},
        connectors={},
        cursor_secret=b"",
        version="1",
        schema_for_groups=build_own_view if own else None,
    )
    executor = Unrecorded(engine=Any, audit_log=Any, redaction_key=b"")  # type: ignore[arg-type]
    app_state = SimpleNamespace(
        engine=build_query_engine(catalog, lambda _: {}, lambda: 0.0),
        executor=executor,
        turned_away=TurnedAwayRecords(executor),
        authenticator=SimpleNamespace(authenticate=authenticate),
        rate_limiter=RateLimiter(Limits()),
    )
    scope = {"type": "http", "method": method, "path": PATH, "query_string": b"", "headers": []}
    routes = FastAPI()
    routes.include_router(audited_router)
    routes.include_router(router)
    await routes({**scope, "state": {"app_state": app_state}}, None, send)  # type: ignore[arg-type]
    return sent[0]["status"], orjson.loads(sent[1]["body"] or b"null")


@pytest.mark.parametrize(("requirements", "shown"), [
    pytest.param((SALES,), [["finance", "sales"]], id="one"),
    pytest.param((SALES, FINANCE), [["finance"]], id="what the other implies goes without saying"),
    pytest.param((EVERYONE, FINANCE), [["finance"]], id="everyone is in everyone"),
    pytest.param((EVERYONE,), [["everyone"]], id="everyone alone"),
    pytest.param((frozenset({"a", "b"}), frozenset({"b", "c"})), [["a", "b"], ["b", "c"]], id="both must be met"),
])  # fmt: skip
def test_the_least_that_must_be_met_is_shown(requirements: Any, shown: list[list[str]]) -> None:
    assert minimize_requirements(requirements) == shown


@pytest.mark.parametrize("groups", [[], ["everyone"], ["sales"], ["finance"], ["people", "audit"], ["support"]])
def test_what_is_shown_decides_as_the_rules_do(groups: list[str]) -> None:
    schema, rules = load_schema_and_policy()
    held = frozenset({"everyone", *groups})
    shown = {
        name
        for name, field_permission in list_field_permissions(rules, schema, {}).items()
        if all(held & {*names} for names in field_permission["groups"])
    }

    assert shown == {
        ".".join(requirement)
        for requirement in rules.requirements
        if len(requirement) == 2 and decide(rules, requirement, held).allowed
    }


async def test_a_key_is_shown_the_groups_of_every_field() -> None:
    assert await request_permissions(caller("sales")) == (200, {
        "Order.id": {"groups": [["finance", "sales"]]},
        "Order.cost": {"groups": [["finance"]], "owner": "order desk"},
    })  # fmt: skip


@pytest.mark.parametrize("groups", [[], ["sales"], ["finance"], ["people", "audit"]])
def test_under_own_views_nothing_is_named_that_the_view_does_not_have(groups: list[str]) -> None:
    """Of a type with hidden fields alone, such as the sums of hidden numbers, not even the name."""
    document, (_, policy) = load_document(), load_schema_and_policy()
    view = build_visible_schema(document, policy, frozenset({"everyone", *groups}))
    named = list_field_permissions(policy, view, {})
    fields = {f"{name}.{field}" for name, type in view.type_map.items() for field in getattr(type, "fields", ())}
    assert set(named) <= fields
    assert ("EmployeeHaving.sum" in named) == ("people" in groups or "finance" in groups)


async def test_under_own_views_a_hidden_field_is_not_named() -> None:
    assert await request_permissions(caller("sales"), own=True) == (
        200,
        {"Order.id": {"groups": [["finance", "sales"]]}},
    )


@pytest.mark.parametrize(("principal", "method", "status"), [
    pytest.param(None, "GET", 401, id="no valid key"),
    pytest.param(MetadataDatabaseUnavailable(), "GET", 503, id="keys cannot be checked"),
    pytest.param(None, "POST", 405, id="nothing is written here"),
])  # fmt: skip
async def test_nothing_is_shown_otherwise(principal: Any, method: str, status: int) -> None:
    assert await request_permissions(principal, method=method) == (status, {})
