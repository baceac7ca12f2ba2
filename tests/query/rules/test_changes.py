"""A change of a row that is not seen is answered like one of an id that nobody has, and no change hides its row."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from auth.authentication import Principal
from onedoor.connectors.uploads import UploadAction
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.mapping import ALL_ROWS, Compared, Op, Relationship, attribute
from onedoor.model.catalog import ActionCall
from onedoor.mutations.context import MutationContext, build_mutation_context
from onedoor.mutations.history import HISTORY_CONNECTOR
from onedoor.mutations.row_access import UNTRIED, check_row_access
from onedoor.mutations.service import build_mutation_actions
from onedoor.query.context import GraphQLRequest
from onedoor.query.engine import execute
from onedoor.query.executor.scan import execute_scan
from onedoor.query.planner.pushdown import plan_scan
from onedoor.query.planner.type_scans import build_type_scan
from onedoor.query.visible_rows import open_row_access
from onedoor.spi.connector import ChangeKind, ChangeRejected, RowChange
from tests import acme
from tests.query.rules.world import ACCOUNT, DEAL, DESK, MUTATIONS, STAFF, VENDOR, World, open_world, person

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


CHANGES = "{ accountChanges { totalCount } accounts { nodes { id history { totalCount nodes { before { name } } } } } }"


async def count_changes(world: World, *people: Principal) -> list[int]:
    """Count the changes that each of them sees, which are the same in the list and at the rows."""
    counts = []
    for who in people:
        data = (await world.ask(who, CHANGES)).data or {}
        at_rows = sum(row["history"]["totalCount"] for row in data["accounts"]["nodes"])
        shown = sum(len(row["history"]["nodes"]) for row in data["accounts"]["nodes"])
        assert (at_rows, shown) in [(data["accountChanges"]["totalCount"],) * 2, (0, 0)]
        counts.append(data["accountChanges"]["totalCount"])
    return counts


async def test_a_change_is_seen_by_those_who_see_the_row_before_after_and_now(world: World) -> None:
    both = person("vendor", region="EU US")
    seen = []
    for given in ('name: "Eve"', 'region: "US"', 'name: "Ida"', 'region: "EU"', 'name: "Ann"'):
        await mutate(world, STAFF, "updateAccount", f'id: "1", {given}')
        seen.append(await count_changes(world, VENDOR, AMERICAN, both, STAFF))
    assert seen == [[1, 0, 1, 1], [0, 0, 2, 2], [0, 1, 3, 3], [1, 0, 4, 4], [2, 0, 5, 5]]


async def test_a_new_row_shows_no_change_of_a_hidden_one_that_had_its_id(world: World) -> None:
    await mutate(world, STAFF, "updateDeal", 'id: "11", accountId: null')
    await mutate(world, STAFF, "updateAccount", 'id: "2", name: "Eve"')
    await mutate(world, STAFF, "deleteAccount", 'id: "2"')
    assert await count_changes(world, VENDOR, AMERICAN, STAFF) == [0, 0, 2]
    await mutate(world, VENDOR, "createAccount", 'id: "2", region: "EU"')
    assert await count_changes(world, VENDOR, AMERICAN, STAFF) == [1, 0, 3]


async def test_a_change_is_judged_by_what_its_rows_led_to_and_by_the_other_rows_as_they_are(world: World) -> None:
    rules = {"staff": ALL_ROWS, "vendor": {"account": {"region": attribute("region")}}, "desk": ALL_ROWS}
    history = replace(world.engine.catalog.mappings["AccountChange"], rows=rules)
    deal = replace(DEAL, rows=rules)
    changes = replace(
        history,
        type="DealChange",
        collection="Deal",
        change_of="Deal",
        relationships={"deal": Relationship(to="Deal", local="row_id", remote="id")},
    )
    catalog = replace(
        world.engine.catalog, mappings={**world.engine.catalog.mappings, "Deal": deal, "DealChange": changes}
    )
    for given in ('title: "a"', "accountId: 2", 'title: "b"', "accountId: 4", 'title: "c"'):
        await mutate(world, STAFF, "updateDeal", f'id: "10", {given}')
    access = await open_row_access(acme.open_engine(catalog), VENDOR)
    scan = build_type_scan(access.catalog, changes, columns=("after.title",))
    connector = access.state.get_connector(HISTORY_CONNECTOR)
    result = await execute_scan(access.state, plan_scan(connector, scan), None)
    titles = result.columns.index("after.title")
    assert [row[titles] for row in result.rows] == ["a", "c"]


async def test_a_repeated_request_does_not_show_a_change_that_has_left_sight(world: World) -> None:
    given = 'id: "1", name: "Eve", idempotencyKey: "K"'
    shows = "row after { name }"
    assert await mutate(world, VENDOR, "updateAccount", given, shows) == {"row": "1", "after": {"name": "Eve"}}
    assert await mutate(world, VENDOR, "updateAccount", given, shows) == {"row": "1", "after": {"name": "Eve"}}
    await mutate(world, STAFF, "updateAccount", 'id: "1", region: "US"')
    assert await mutate(world, VENDOR, "updateAccount", given, shows) is None
    await mutate(world, STAFF, "updateAccount", 'id: "1", region: "EU"')
    assert await mutate(world, VENDOR, "updateAccount", given, shows) == {"row": "1", "after": {"name": "Eve"}}


async def test_a_repeated_deletion_shows_the_row_that_it_deleted(world: World) -> None:
    await mutate(world, STAFF, "updateDeal", 'id: "14", accountId: null')
    given = 'id: "4", idempotencyKey: "K"'
    for _ in range(2):
        assert await mutate(world, VENDOR, "deleteAccount", given, "before { name }") == {"before": {"name": "Dan"}}
    await mutate(world, STAFF, "createAccount", 'id: "4", region: "US"')
    assert await mutate(world, VENDOR, "deleteAccount", given, "before { name }") is None


async def test_a_deletion_is_not_tried_where_hidden_rows_may_refer_to_its_row(world: World) -> None:
    rules = {"staff": ALL_ROWS, "desk": ALL_ROWS, "vendor": {"amount": Compared(Op.GT, 3)}}
    mappings = {**world.engine.catalog.mappings, "Deal": replace(DEAL, rows=rules)}
    catalog = replace(world.engine.catalog, mappings=mappings, actions={})
    engine = acme.open_engine(catalog)
    context = build_mutation_context(engine, MUTATIONS, ledger=world.mutations.ledger, redaction_key=b"r" * 32)
    catalog.actions.update(build_mutation_actions(context))
    limited = World(engine=engine, mutations=context)
    untried, referred = ("FORBIDDEN", UNTRIED), ("BAD_USER_INPUT", "other rows still refer to this row of `account`")
    for id, who, expected in (("4", VENDOR, untried), ("4", STAFF, referred), ("2", VENDOR, ("NOT_FOUND", NO_ACCOUNT))):
        assert await mutate(limited, who, "deleteAccount", f'id: "{id}", dryRun: true') == [expected]


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


NO_LINKED = "`account_id` names no `Account`"
NO_PAPER = "`paper_id` names no `Paper`"
BY_TWO_COLUMNS = Relationship(to="Account", local=("account_id", "title"), remote=("id", "region"))
BY_KEY = Relationship(to="Account", local="id", remote="id")
BY_ONE_COLUMN = DEAL.relationships["account"]
TO_PAPER = DEAL.relationships["paper"]
CREATE, UPDATE = ChangeKind.CREATE, ChangeKind.UPDATE


@pytest.mark.parametrize(
    ("link", "key", "kind", "named", "values", "reason"),
    [
        pytest.param(BY_ONE_COLUMN, ("account_id", "id"), CREATE, (2, 99), {}, NO_LINKED, id="by a part of the key"),
        pytest.param(BY_ONE_COLUMN, ("account_id", "id"), CREATE, (9, 99), {}, NO_LINKED, id="by a part, to no row"),
        pytest.param(BY_ONE_COLUMN, ("account_id", "id"), CREATE, (1, 99), {}, None, id="by a part, to a seen row"),
        pytest.param(BY_ONE_COLUMN, ("account_id", "id"), UPDATE, (2, 11), {"title": "x"}, None, id="that is left"),
        pytest.param(BY_KEY, ("id",), CREATE, (2,), {}, "`id` names no `Account`", id="by the whole key"),
        pytest.param(BY_KEY, ("id",), CREATE, (9,), {}, None, id="by the whole key, to no row yet"),
        pytest.param(BY_TWO_COLUMNS, ("id",), UPDATE, (11,), {"title": "US"}, NO_LINKED, id="by one of two columns"),
        pytest.param(BY_TWO_COLUMNS, ("id",), UPDATE, (11,), {"title": "AU"}, NO_LINKED, id="by one, to no row"),
        pytest.param(BY_TWO_COLUMNS, ("id",), UPDATE, (10,), {"title": "EU"}, None, id="by one, to a seen row"),
        pytest.param(TO_PAPER, ("id",), UPDATE, (10,), {"paper_id": 2}, NO_PAPER, id="to an interface"),
        pytest.param(TO_PAPER, ("id",), UPDATE, (10,), {"paper_id": 9}, NO_PAPER, id="to no row of an interface"),
        pytest.param(TO_PAPER, ("id",), UPDATE, (10,), {"paper_id": 1}, None, id="to a seen row of an interface"),
        pytest.param(None, ("id",), UPDATE, (10,), {"account_id": 2}, NO_LINKED, id="by a look-up"),
    ],
)
async def test_a_link_to_a_hidden_row_is_refused_like_one_to_no_row(
    world: World,
    link: Relationship | None,
    key: tuple[str, ...],
    kind: ChangeKind,
    named: tuple[int, ...],
    values: dict[str, Any],
    reason: str | None,
) -> None:
    field = "paper" if link is TO_PAPER else "account"
    deal = replace(DEAL, key=key, relationships={} if link is None else {field: link})
    catalog = replace(world.engine.catalog, mappings={**world.engine.catalog.mappings, "Deal": deal})
    context = replace(world.mutations, engine=acme.open_engine(catalog), catalog=catalog)
    change = RowChange(id="C", collection="deal", kind=kind, key=dict(zip(key, named, strict=True)), values=values)
    assert await find_refusal(context, VENDOR, change) == reason


async def test_a_link_may_lead_to_a_row_that_is_made_with_it(world: World) -> None:
    account = RowChange(id="A", collection="account", kind=CREATE, key={"id": 7}, values={"region": "EU"})
    deal = RowChange(id="D", collection="deal", kind=UPDATE, key={"id": 10}, values={"account_id": 7})
    assert await find_refusal(world.mutations, VENDOR, account, deal) is None
    assert await find_refusal(world.mutations, VENDOR, deal) == NO_LINKED


async def find_refusal(context: MutationContext, who: Principal, *changes: RowChange) -> str | None:
    execution: Any = SimpleNamespace(context=context, saga=SimpleNamespace(type="Account"), principal=who)
    group: Any = [(1, SimpleNamespace(source="db", collection=change.collection)) for change in changes]
    try:
        await check_row_access(execution, group, changes)
    except ChangeRejected as rejection:
        return rejection.reason
    return None


@pytest.mark.parametrize(
    ("who", "origin", "reason"), [(VENDOR, 2, NO_COPY), (VENDOR, 9, NO_COPY), (VENDOR, 1, None), (STAFF, 2, None)]
)
async def test_a_hidden_file_cannot_be_copied(world: World, who: Principal, origin: int, reason: str | None) -> None:
    values = {"copy_of": origin, "region": "EU"}
    change = RowChange(id="C", collection="account", kind=CREATE, key={"id": 7}, values=values)
    assert await find_refusal(world.mutations, who, change) == reason


async def test_who_does_not_see_all_rows_uploads_by_no_address(world: World) -> None:
    action = UploadAction(connectors={}, stores={"X": ACCOUNT}, policy=world.engine.catalog.policy, redaction_key=b"r")
    given = {"input": {"store": "X", "path": "a", "size": 1}}
    call = ActionCall(principal=VENDOR, field="fileUpload", arguments=given, record_id="R", deadline=0.0)
    with pytest.raises(ConnectorError) as refusal:
        await action(call)
    assert refusal.value.code is ErrorCode.FORBIDDEN
