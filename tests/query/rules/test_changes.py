"""A change of a row that is not seen is answered like one of an id that nobody has, and no change hides its row."""

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from auth.authentication import Principal
from onedoor.connectors.uploads import UploadAction
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.catalog import ActionCall
from onedoor.mutations.context import number_steps
from onedoor.mutations.row_access import check_row_access
from onedoor.query.context import GraphQLRequest
from onedoor.query.engine import execute
from onedoor.spi.connector import ChangeKind, ChangeRejected, RowChange
from tests import acme
from tests.query.rules.world import ACCOUNT, DESK, STAFF, VENDOR, World, open_world, person

NO_ACCOUNT = "no `Account` has this id"
NO_COPY = "no `Account` has the id given as `copyOf`"
OUT_OF_SIGHT = "the row would not be among those that you may see, so the change is not made"
AMERICAN = person("vendor", region="US")


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


async def mutate(world: World, who: Principal, field: str, given: str, shows: str = "row") -> Any:
    answer = await world.ask(who, f"mutation {{ {field}(input: {{{given}}}) {{ {shows} }} }}")
    return [(str(error.code), error.message) for error in answer.errors] or (answer.data or {})[field]


@pytest.mark.parametrize("dry", ["", ", dryRun: true"], ids=["made", "dry run"])
@pytest.mark.parametrize(
    ("who", "field", "given", "expected"),
    [
        pytest.param(VENDOR, "updateAccount", 'id: "1", name: "Eve"', {"row": "1"}, id="a row that is seen"),
        pytest.param(VENDOR, "updateAccount", 'id: "2", name: "Eve"', [("NOT_FOUND", NO_ACCOUNT)], id="a hidden row"),
        pytest.param(VENDOR, "updateAccount", 'id: "9", name: "Eve"', [("NOT_FOUND", NO_ACCOUNT)], id="no row"),
        pytest.param(VENDOR, "deleteAccount", 'id: "2"', [("NOT_FOUND", NO_ACCOUNT)], id="a hidden row is deleted"),
        pytest.param(VENDOR, "deleteAccount", 'id: "9"', [("NOT_FOUND", NO_ACCOUNT)], id="no row is deleted"),
        pytest.param(VENDOR, "updateAccount", 'id: "1", region: "US"', [("FORBIDDEN", OUT_OF_SIGHT)], id="moved out"),
        pytest.param(VENDOR, "updateAccount", 'id: "1", region: null', [("FORBIDDEN", OUT_OF_SIGHT)], id="made null"),
        pytest.param(VENDOR, "createAccount", 'id: "7", region: "EU"', {"row": "7"}, id="created in sight"),
        pytest.param(VENDOR, "createAccount", 'id: "7", region: "US"', [("FORBIDDEN", OUT_OF_SIGHT)], id="created out"),
        pytest.param(
            VENDOR, "createAccount", 'id: "7"', [("FORBIDDEN", OUT_OF_SIGHT)], id="created without the column"
        ),
        pytest.param(DESK, "updateAccount", 'id: "2", name: "Eve"', [("NOT_FOUND", NO_ACCOUNT)], id="by a constant"),
        pytest.param(STAFF, "updateAccount", 'id: "2", region: "EU"', {"row": "2"}, id="by who sees all rows"),
        pytest.param(
            VENDOR,
            "updateDeal",
            'id: "13", accountId: 2',
            [("BAD_USER_INPUT", "`accountId` names no `Account`")],
            id="linked to a hidden row",
        ),
        pytest.param(
            VENDOR,
            "updateDeal",
            'id: "13", accountId: 99',
            [("BAD_USER_INPUT", "`accountId` names no `Account`")],
            id="linked to no row",
        ),
        pytest.param(VENDOR, "updateDeal", 'id: "13", accountId: 4', {"row": "13"}, id="linked to a row that is seen"),
    ],
)
async def test_a_change_stays_within_the_rows_that_are_seen(
    world: World, who: Principal, field: str, given: str, expected: Any, dry: str
) -> None:
    assert await mutate(world, who, field, given + dry) == expected


async def test_a_change_that_is_refused_changes_nothing(world: World) -> None:
    for given in ('id: "2", name: "Eve"', 'id: "1", region: "US"'):
        await mutate(world, VENDOR, "updateAccount", given)
    answer = await world.ask(STAFF, "{ accounts { nodes { name region } } accountChanges { totalCount } }")
    assert answer.data == {
        "accounts": {
            "nodes": [
                {"name": "Ada", "region": "EU"},
                {"name": "Bob", "region": "US"},
                {"name": "Cyd", "region": None},
                {"name": "Dan", "region": "EU"},
            ]
        },
        "accountChanges": {"totalCount": 0},
    }


async def test_who_deletes_a_row_is_shown_the_change(world: World) -> None:
    await mutate(world, STAFF, "updateDeal", 'id: "14", accountId: null')
    shown = await mutate(world, VENDOR, "deleteAccount", 'id: "4"', "row before { name } account { name }")
    assert shown == {"row": "4", "before": {"name": "Dan"}, "account": None}


async def test_the_history_of_a_hidden_row_is_hidden(world: World) -> None:
    for id in ("1", "2"):
        await mutate(world, STAFF, "updateAccount", f'id: "{id}", name: "Eve"')
    text = "{ accountChanges { totalCount nodes { row after { name } account { name } } } }"
    change = {"row": "1", "after": {"name": "Eve"}, "account": {"name": "Eve"}}
    assert (await world.ask(VENDOR, text)).data == {"accountChanges": {"totalCount": 1, "nodes": [change]}}
    assert (await world.ask(STAFF, "{ accountChanges { totalCount } }")).data == {"accountChanges": {"totalCount": 2}}


async def test_the_history_is_that_of_rows_that_are_seen_now(world: World) -> None:
    await mutate(world, STAFF, "updateAccount", 'id: "1", region: "US"')
    text = "{ accountChanges { totalCount } }"
    assert (await world.ask(VENDOR, text)).data == {"accountChanges": {"totalCount": 0}}
    assert (await world.ask(AMERICAN, text)).data == {"accountChanges": {"totalCount": 1}}


@pytest.mark.parametrize(
    ("who", "region", "is_hidden"),
    [
        pytest.param(VENDOR, "EU", False, id="seen"),
        pytest.param(VENDOR, "US", True, id="out of rule"),
        pytest.param(STAFF, "US", False, id="all rows"),
    ],
)
async def test_an_event_of_a_hidden_row_is_not_delivered(
    world: World, who: Principal, region: str, is_hidden: bool
) -> None:
    await mutate(world, STAFF, "updateAccount", f'id: "1", region: "{region}"')
    changes = await world.ask(STAFF, "{ accountChanges { nodes { id } } }")
    assert changes.data is not None
    request = GraphQLRequest(query="subscription { accountChanged { row } }")
    answer = await execute(
        world.engine, who, request, event=changes.data["accountChanges"]["nodes"][0]["id"], record=acme.RECORD
    )
    assert (answer.is_hidden_event, answer.data) == (is_hidden, {"accountChanged": None if is_hidden else {"row": "1"}})


@pytest.mark.parametrize(
    ("who", "origin", "reason"), [(VENDOR, 2, NO_COPY), (VENDOR, 9, NO_COPY), (VENDOR, 1, None), (STAFF, 2, None)]
)
async def test_a_hidden_file_cannot_be_copied(world: World, who: Principal, origin: int, reason: str | None) -> None:
    saga = world.mutations.sagas["createAccount"]
    execution: Any = SimpleNamespace(context=world.mutations, saga=saga, principal=who)
    values = {"copy_of": origin, "region": "EU"}
    change = RowChange(id="C", collection="account", kind=ChangeKind.CREATE, key={"id": 7}, values=values)
    refusal = None
    try:
        await check_row_access(execution, number_steps(saga), [change])
    except ChangeRejected as rejection:
        refusal = rejection.reason
    assert refusal == reason


async def test_who_does_not_see_all_rows_uploads_by_no_address(world: World) -> None:
    action = UploadAction(connectors={}, stores={"X": ACCOUNT}, policy=world.engine.catalog.policy, redaction_key=b"r")
    given = {"input": {"store": "X", "path": "a", "size": 1}}
    call = ActionCall(principal=VENDOR, field="fileUpload", arguments=given, record_id="R", deadline=0.0)
    with pytest.raises(ConnectorError) as refusal:
        await action(call)
    assert refusal.value.code is ErrorCode.FORBIDDEN
