"""Create, change, put and delete rows of any API as its settings declare; refuse settings that cannot be."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from onedoor.connectors.rest.config import parse_rest_collections
from onedoor.connectors.rest.connector import RestConnector, RestOptions, connect
from onedoor.connectors.rest.writes import find_refused_columns
from onedoor.errors import ErrorCode
from onedoor.spi.connector import ChangeKind, ChangeRejected, ChangeResult, RowChange
from tests.servers.rest import serve_app

ITEMS: Mapping[str, Any] = {
    "path": "/shops/{shop}/items",
    "rows": "data",
    "columns": {
        "shop": "text",
        "code": "text",
        "name": "text",
        "total": "decimal",
        "cost": {"kind": "decimal", "at": "price.cost"},
        "day": "date",
        "at": "time",
        "tags": "list",
        "note": "text",
        "rev": "integer",
    },
    "keys": {"code": {"path": "/shops/{shop}/items/{code}", "rows": "item"}},
    "version": "rev",
    "writes": {
        "create": {
            "method": "POST",
            "path": "/shops/{shop}/items",
            "columns": {
                "code": "code", "name": "name", "total": "total", "cost": {"at": "price.cost", "number": True},
                "day": "day", "at": "at", "tags": "tags", "note": "note",
            },
            "fixed": {"price": {"currency": "EUR"}},
            "rows": "item",
            "id_header": "Idempotency-Key",
            "refusals": {"409": "ALREADY_EXISTS"},
        },
        "update": {
            "method": "PATCH",
            "path": "/shops/{shop}/items/{code}",
            "columns": {"name": "name", "note": "note", "total": "total"},
            "id": "note",
            "mark": "[{id}]",
            "version_header": "If-Match",
            "rows": "item",
        },
        "put": {
            "method": "PUT", "path": "/shops/{shop}/items/{code}", "columns": {"name": "name", "total": "total"},
            "answers": False,
        },
        "delete": {"method": "DELETE", "path": "/shops/{shop}/items/{code}"},
    },
}  # fmt: skip
KEY = {"shop": "a b?ü", "code": "x1"}
WHOLE: Mapping[str, Any] = {
    "name": "Näme", "total": Decimal("10.10"), "cost": Decimal("123456789012345.67"), "day": date(2026, 1, 2),
    "at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "tags": ("one", "two"), "note": None,
}  # fmt: skip


class Shop:
    """Items by code, each with a revision; `came`: each body, and the headers that matter."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.came: list[tuple[str, Any, Mapping[str, str]]] = []
        item = "/shops/{shop}/items/{code}"
        self.app = Starlette(
            routes=[
                Route("/shops/{shop}/items", self.listed),
                Route("/shops/{shop}/items", self.create, methods=["POST"]),
                Route(item, self.one),
                Route(item, self.change, methods=["PATCH", "PUT"]),
                Route(item, self.delete, methods=["DELETE"]),
            ]
        )

    async def heard(self, request: Request) -> Any:
        result = await request.body()
        given = json.loads(result, parse_float=Decimal) if result else None
        matter = {name: value for name, value in request.headers.items() if name in ("idempotency-key", "if-match")}
        self.came.append((request.method, given, matter))
        return given or {}

    def listed(self, request: Request) -> Response:
        return json_response({"data": list(self.items.values())})

    def one(self, request: Request) -> Response:
        result = self.items.get(request.path_params["code"])
        return Response(status_code=404) if result is None else json_response({"item": result})

    async def create(self, request: Request) -> Response:
        given = await self.heard(request)
        if given["code"] in self.items:
            return Response(status_code=409)
        self.items[given["code"]] = given | {"rev": 1}
        return json_response({"item": self.items[given["code"]]}, 201)

    async def change(self, request: Request) -> Response:
        given, code = await self.heard(request), request.path_params["code"]
        before = self.items.get(code, {"code": code, "rev": 0})
        self.items[code] = before | given | {"rev": before["rev"] + 1}
        return json_response({"item": self.items[code]}) if request.method == "PATCH" else Response(status_code=204)

    async def delete(self, request: Request) -> Response:
        await self.heard(request)
        return Response(status_code=204 if self.items.pop(request.path_params["code"], None) else 404)


def json_response(content: Any, status: int = 200) -> Response:
    return Response(json.dumps(content, default=str), status)


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
async def rest(shop: Shop) -> AsyncIterator[RestConnector]:
    async with serve_app(shop.app) as url:
        source = await connect(
            RestOptions(base_url=url, collections={"items": ITEMS}, private_addresses=True, writable=True, timeout=2.0)
        )
        yield source
        await source.close()


def change(verb: ChangeKind, id: str = "c1", version: str | None = None, **values: Any) -> RowChange:
    return RowChange(id=id, collection="items", kind=verb, key=KEY, values=values, version=version)


async def apply_one(rest: RestConnector, change: RowChange, *, dry: bool = False) -> ChangeResult:
    (result,) = await rest.apply([change], dry_run=dry)
    return result


async def test_a_row_is_made_of_each_kind_of_value(rest: RestConnector, shop: Shop) -> None:
    done = await apply_one(rest, change(ChangeKind.CREATE, code="x1", **WHOLE))
    assert done == ChangeResult(before=None, after={**KEY, **WHOLE, "rev": 1})
    assert shop.came == [(
        "POST",
        {"code": "x1", "name": "Näme", "total": "10.10", "day": "2026-01-02", "at": "2026-01-02T03:04:05+00:00",
         "tags": ["one", "two"], "note": None, "price": {"currency": "EUR", "cost": Decimal("123456789012345.67")}},
        {"idempotency-key": "c1"},
    )]  # fmt: skip


async def test_a_row_that_is_there_is_not_made_again(rest: RestConnector, shop: Shop) -> None:
    item = change(ChangeKind.CREATE, code="x1", name="one")
    await apply_one(rest, item)
    with pytest.raises(ChangeRejected) as raised:
        await apply_one(rest, item)
    assert raised.value.code is ErrorCode.ALREADY_EXISTS
    assert len(shop.came) == 1
    assert (await rest.find_change(item) or ChangeResult(before=None, after=None)).after is not None
    assert await rest.find_change(change(ChangeKind.CREATE, code="x1", name="two")) is None


async def test_a_row_is_changed_at_its_version_alone(rest: RestConnector, shop: Shop) -> None:
    await apply_one(rest, change(ChangeKind.CREATE, code="x1", **WHOLE))
    first = change(ChangeKind.UPDATE, "c2", "1", name="two", note="why")
    done = await apply_one(rest, first)
    assert ((done.before or {})["name"], (done.after or {})["name"]) == ("Näme", "two")
    assert shop.came[-1] == ("PATCH", {"name": "two", "note": "why [c2]"}, {"if-match": "1"})
    with pytest.raises(ChangeRejected) as raised:
        await apply_one(rest, change(ChangeKind.UPDATE, "c3", "1", name="three"))
    assert (raised.value.code, len(shop.came)) == (ErrorCode.VERSION_CONFLICT, 2)
    assert await rest.find_change(first) == ChangeResult(before=None, after=done.after)
    assert await rest.find_change(change(ChangeKind.UPDATE, "c3", "1", name="two")) is None


async def test_what_is_put_is_there_afterwards(rest: RestConnector) -> None:
    put = change(ChangeKind.PUT, name="one", total=Decimal("1.50"))
    assert await rest.find_change(put) is None
    results = [await apply_one(rest, put) for _ in range(2)]
    assert [(result.before or {}).get("rev") for result in results] == [None, 1]
    assert [(result.after or {})["rev"] for result in results] == [1, 2]
    assert (await rest.find_change(put) or results[0]).after == results[1].after
    assert await rest.find_change(change(ChangeKind.PUT, name="other")) is None


async def test_what_is_put_at_a_version_must_be_there_at_it(rest: RestConnector, shop: Shop) -> None:
    for version, came in (("1", 0), (None, 1), ("2", 1)):
        if version is None:
            await apply_one(rest, change(ChangeKind.PUT, name="one"))
        else:
            with pytest.raises(ChangeRejected) as raised:
                await apply_one(rest, change(ChangeKind.PUT, "c2", version, name="two"))
            assert raised.value.code is ErrorCode.VERSION_CONFLICT
        assert len(shop.came) == came


async def test_what_is_taken_away_is_gone(rest: RestConnector) -> None:
    await apply_one(rest, change(ChangeKind.PUT, name="one"))
    done = await apply_one(rest, change(ChangeKind.DELETE, "c2", "1"))
    assert ((done.before or {})["name"], done.after) == ("one", None)
    assert await rest.find_change(change(ChangeKind.DELETE, "c2")) == ChangeResult(before=None, after=None)
    for verb in (ChangeKind.DELETE, ChangeKind.UPDATE):
        with pytest.raises(ChangeRejected) as raised:
            await apply_one(rest, change(verb, "c3"))
        assert raised.value.code is ErrorCode.NOT_FOUND


async def test_nothing_is_sent_dry(rest: RestConnector, shop: Shop) -> None:
    await apply_one(rest, change(ChangeKind.PUT, name="one"))
    sent = len(shop.came)
    for item in (change(ChangeKind.UPDATE, note="x"), change(ChangeKind.PUT, name="two"), change(ChangeKind.DELETE)):
        assert (await apply_one(rest, item, dry=True)).before is not None
    assert (len(shop.came), shop.items["x1"]["name"]) == (sent, "one")


@pytest.mark.parametrize("code", [".", "..", "a/b", "a\\b", "", None])
async def test_no_value_leads_to_another_path(rest: RestConnector, shop: Shop, code: Any) -> None:
    change = RowChange(
        id="c", collection="items", kind=ChangeKind.PUT, key={"shop": "s", "code": code}, values={"name": "x"}
    )
    with pytest.raises(ChangeRejected):
        await apply_one(rest, change)
    assert shop.came == []


CREATE = ITEMS["writes"]["create"]
UPDATE = ITEMS["writes"]["update"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"version": "total"}, "`collections.items.version` names a column of text or whole numbers"),
        ({"writes": {"merge": CREATE}}, "there is no setting `collections.items.writes.merge`"),
        ({"writes": {"create": {**CREATE, "method": "GET"}}}, "must be one of `POST`, `PUT`, `PATCH`, `DELETE`"),
        ({"writes": {"create": {**CREATE, "path": "/a/../b"}}}, "must begin with `/` and hold no"),
        ({"writes": {"create": {**CREATE, "path": "/a/{nothing}"}}}, "names the column `nothing`"),
        ({"writes": {"create": {**CREATE, "path": "/a/{total}"}}}, "cannot hold `total`"),
        ({"writes": {"create": {**CREATE, "columns": {"name": "name"}}}}, "by which a change is found again"),
        ({"writes": {"create": {**CREATE, "columns": {"name": ""}}}}, "must say where the column stands"),
        ({"writes": {"create": {**CREATE, "id": "rev"}}}, "names a column of text"),
        ({"writes": {"create": {**CREATE, "id": "note", "mark": "x"}}}, "mark` holds `{id}` once"),
        ({"writes": {"create": {**CREATE, "by": ["name"]}}}, "names `name`, which is no filter"),
        ({"writes": {"create": {**CREATE, "id_header": "a b"}}}, "must be the name of a header"),
        ({"writes": {"create": {**CREATE, "statuses": [302]}}}, "HTTP statuses that begin with 2"),
        ({"writes": {"create": {**CREATE, "refusals": {"500": "NOT_FOUND"}}}}, "HTTP status that begins with 4"),
        ({"writes": {"create": {**CREATE, "refusals": {"409": "FORBIDDEN"}}}}, "HTTP status that begins with 4"),
        ({"writes": {"create": {**CREATE, "fixed": {"x": object()}}}}, "must be what JSON can say"),
        ({"writes": {"update": UPDATE}, "keys": {}}, "has no `keys`: a row that is changed is found by one"),
    ],
    ids=lambda name: name if isinstance(name, str) else "",
)
def test_what_cannot_be_is_not_declared(changed: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_rest_collections({"items": {**ITEMS, **changed}})


@pytest.mark.parametrize(
    ("body", "columns"),
    [
        ({"errors": [{"resource": "Item", "field": "name", "code": "invalid"}]}, ["name"]),
        ({"errors": [{"pointer": "/price/cost"}]}, ["cost"]),
        ({"detail": [{"loc": ["body", "price", "cost"], "msg": "too low"}]}, ["cost"]),
        ({"message": "there is no shelf for bolts of steel"}, ["name"]),
        ({"message": "try again", "status": "422"}, []),
        ({"name": "an error's own name"}, []),
        (["cost", {"x": 7}, None], ["cost"]),
    ],
    ids=["by-name", "by-pointer", "by-path", "by-value", "neither", "a-member", "a-list"],
)
def test_an_error_names_the_columns_that_were_refused(body: Any, columns: list[str]) -> None:
    operation = parse_rest_collections({"items": ITEMS})["items"].writes[ChangeKind.CREATE]
    values = {"name": "bolts of steel", "cost": Decimal("1.5"), "note": "x"}
    assert list(find_refused_columns(body, operation, values)) == columns
