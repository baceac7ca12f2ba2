"""GraphiQL's docs learn who may see each field with a key, and no more than introspection shows."""

from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from fastapi import FastAPI

from auth.policy import AccessPolicy, decide
from onedoor.http.permissions import PATH, audited_router, list_field_permissions, minimize_requirements, router
from onedoor.http.rate_limit import RateLimiter
from onedoor.model.catalog import Limits
from onedoor.query.audited import AuditedExecutor
from onedoor.storage.database import MetadataDatabaseUnavailable
from tests.acme import caller, load_schema_and_policy, load_schema_modules

SALES, FINANCE, EVERYONE = frozenset({"sales", "finance"}), frozenset({"finance"}), frozenset({"everyone"})
RULES = AccessPolicy(
    requirements={("Order", "id"): (SALES,), ("Order", "cost"): (SALES, FINANCE), ("Order", "id", "first"): (FINANCE,)},
    owners={("Order", "cost"): "order desk"},
)


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

    catalog = SimpleNamespace(policy=RULES, schema_for_groups=load_schema_modules if own else None)
    app_state = SimpleNamespace(
        engine=SimpleNamespace(catalog=catalog),
        executor=Unrecorded(engine=Any, audit_log=Any, redaction_key=b""),  # type: ignore[arg-type]
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
    _, rules = load_schema_and_policy()
    held = frozenset({"everyone", *groups})
    shown = {
        name
        for name, field_permission in list_field_permissions(rules).items()
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
