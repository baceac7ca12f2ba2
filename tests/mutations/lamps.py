"""Hold a small schema's rows in memory, and change them by an action."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cache
from typing import Any

from graphql import GraphQLSchema

from auth.policy import AccessPolicy
from onedoor.audit.record import AuditedChange
from onedoor.connectors.memory import MemoryCollection, MemoryConnector, answer_scan
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.catalog import Action, ActionCall, ActionResult, Catalog, TopicSubscription
from onedoor.model.mapping import TypeMapping
from onedoor.query.context import QueryEngine, build_query_engine
from onedoor.schema.builder import build_schema_and_policy
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest
from tests.mutations import lamp_schema

LAMP = Capabilities(
    columns={"id": Column(ColumnType.INTEGER), "lit": Column(ColumnType.BOOLEAN), "price": Column(ColumnType.INTEGER)},
    max_keys=10,
)
LIT_ONE = AuditedChange(id="C1", type="Lamp", row="r", verb="update", state="DONE")
LIT = "mutation ($id: ID!, $lit: Boolean!) { light(input: {id: $id, lit: $lit}) { id lit } }"


class Lamps:
    """Hold rows that change, and record the calls of their action."""

    def __init__(self) -> None:
        self.rows = {1: (1, False, 10), 2: (2, False, 20)}
        self.acts: list[ActionCall] = []
        self.began, self.released = asyncio.Event(), asyncio.Event()

    async def light(self, act: ActionCall) -> ActionResult:
        self.acts.append(act)
        self.began.set()
        given = act.arguments["input"]
        if given["id"] == "0":
            raise ConnectorError("there is no lamp `0`", ErrorCode.NOT_FOUND)
        if given["id"] == "9":
            return ActionResult(row_id=None)
        at = int(given["id"])
        if given.get("note") == "only try":
            tried = MemoryConnector({"lamp": MemoryCollection(capabilities=LAMP, rows=((at, given["lit"], 1),))})
            return ActionResult(row_id=str(at), connectors={"lamps": tried})
        if given.get("note") == "for ever":
            await self.released.wait()
        self.rows[at] = (at, given["lit"], given.get("price", self.rows[at][2]))
        return ActionResult(row_id=str(at), audit_facts={"changes": [LIT_ONE.to_json()]})

    def capabilities(self, collection: str) -> Capabilities:
        return {"lamp": LAMP}[collection]

    async def scan(self, ask: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        yield answer_scan({"lamp": MemoryCollection(capabilities=LAMP, rows=tuple(self.rows.values()))}, ask)

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None


@cache
def build_schema() -> tuple[GraphQLSchema, AccessPolicy]:
    return build_schema_and_policy([lamp_schema])


def build_catalog(lamps: Lamps, actions: Mapping[str, Action] | None = None, **more: Any) -> Catalog:
    return Catalog(
        schema=build_schema()[0],
        policy=build_schema()[1],
        mappings={"Lamp": TypeMapping(type="Lamp", source="lamps", collection="lamp")},
        connectors={"lamps": lamps},
        subscriptions={"lit": TopicSubscription(topic="Lamp")},
        cursor_secret=b"secret",
        version="1",
        actions=dict({"light": lamps.light} if actions is None else actions),
        **more,
    )


def build_engine(lamps: Lamps, **more: Any) -> QueryEngine:
    return build_query_engine(build_catalog(lamps, **more), lambda _: {}, asyncio.get_running_loop().time)
