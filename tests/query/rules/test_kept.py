"""What a job keeps of limited rows is shown to whoever started it alone, else to those who see all rows."""

import pytest

from auth.authentication import Principal
from auth.policy import decide
from onedoor.jobs.reads import list_read_rows
from onedoor.jobs.store import STARTER_ALONE
from onedoor.query.authorize import list_read_coordinates
from tests.query.rules.world import DESK, STAFF, VENDOR, World

ALL_ACCOUNTS, ALL_CONTRACTS = ("Account", "rows", "all"), ("Contract", "rows", "all")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("who", "text", "reads"),
    [
        pytest.param(STAFF, "{ accounts { totalCount } }", {ALL_ACCOUNTS}, id="all rows"),
        pytest.param(VENDOR, "{ accounts { totalCount } }", {(STARTER_ALONE,)}, id="some rows"),
        pytest.param(VENDOR, "{ deals { nodes { account { id } } } }", {(STARTER_ALONE,)}, id="through a link"),
        pytest.param(
            VENDOR, 'deals(where: {account: {name: {eq: "Ada"}}}) { totalCount }', {(STARTER_ALONE,)}, id="in a filter"
        ),
        pytest.param(
            VENDOR,
            "{ notes(orderBy: [{account: {name: ASC}}]) { totalCount nodes { id } } }",
            {(STARTER_ALONE,)},
            id="in a sort",
        ),
        pytest.param(VENDOR, "{ deals { nodes { accountName } } }", {(STARTER_ALONE,)}, id="in a look-up"),
        pytest.param(DESK, "{ papers { totalCount } }", {ALL_CONTRACTS}, id="in an interface"),
        pytest.param(VENDOR, "{ notes { nodes { text } } }", set(), id="no rows with rules"),
    ],
)
async def test_what_a_query_reads_says_who_may_see_what_came_of_it(
    world: World, who: Principal, text: str, reads: set[tuple[str, ...]]
) -> None:
    plan = (await world.ask(who, text if text.startswith("{") else f"{{ {text} }}")).cached_plan
    assert plan is not None
    assert set(list_read_rows(plan.catalog, plan, who)) == reads


@pytest.mark.asyncio(loop_scope="module")
async def test_all_rows_are_allowed_to_the_groups_that_see_them(world: World) -> None:
    policy = world.engine.catalog.policy
    allowed = {group: decide(policy, ALL_ACCOUNTS, frozenset({group})).allowed for group in ("staff", "desk", "vendor")}
    assert allowed == {"staff": True, "desk": False, "vendor": False}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_change_reads_what_is_shown_of_it_and_not_itself(world: World) -> None:
    text = 'mutation { updateDeal(input: {id: "10", title: "red", dryRun: true}) { row deal { title } } }'
    plan = (await world.ask(STAFF, text)).cached_plan
    assert plan is not None
    read = list_read_coordinates(plan.catalog.schema, plan.catalog.policy, plan.fields, plan.decisions)
    assert {".".join(coordinate) for coordinate in read} == {"DealChange.row", "DealChange.deal", "Deal.title"}
