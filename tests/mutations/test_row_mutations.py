"""A row mutation changes one row, records the change, and is refused in a sentence."""

import asyncio
import threading
from typing import Any

import pytest
from sqlalchemy import event

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.catalog import ActionUnfinished
from onedoor.mutations.context import MutationError
from onedoor.mutations.history import HISTORY_CONNECTOR
from onedoor.mutations.intents import IntentState
from onedoor.mutations.recovery import recover_intents
from onedoor.mutations.service import wait_for_changes
from onedoor.spi.scan import KeyFilter
from onedoor.storage.database import MetadataDatabase
from tests.mutations import bank
from tests.mutations.world import ADA, World


async def test_a_change_is_in_its_source_and_in_the_history(world: World) -> None:
    acted = await world.mutate(
        "createAccount", id="7", name="Ada", ownerId="3", kind="SAVINGS", tags=["a", "b"], reason="x"
    )
    row = {"id": 7, "name": "Ada", "owner_id": 3, "kind": "SAVINGS", "tags": ("a", "b"), "version": 1}
    assert world.bank.all("account") == [row]
    (change,) = await world.read_history("Account")
    at = change.pop("at")
    assert at.tzinfo is not None
    assert change == {
        "id": acted.row_id,
        "person": "P1",
        "verb": "create",
        "mutation": "createAccount",
        "state": "DONE",
        "reason": "x",
        "record": "R1",
        "version_before": None,
        "version_after": "1",
        "row": "7",
        "row_id": 7,
        "before_id": None,
        "after_id": f"{acted.row_id}.after",
        **{f"before.{column}": None for column in row},
        **{f"after.{column}": value for column, value in row.items()},
    }
    assert await world.read_history("Account.values") == [{**row, "values_id": f"{acted.row_id}.after"}]
    assert world.published == [("Account", "7", acted.row_id)]


async def test_the_history_holds_the_row_before_and_after_with_its_versions(world: World) -> None:
    world.bank.seed("account", id=7, name="Ada")
    await world.mutate("updateAccount", id="7", name="Eve", ifVersion="1")
    await world.mutate("deleteAccount", id="7")
    history = await world.read_history("Account", keys=KeyFilter(("row",), (("7",),)))
    shown = [(change["verb"], change["version_before"], change["version_after"]) for change in history]
    assert shown == [("update", "1", "2"), ("delete", "2", None)]
    values = await world.read_history("Account.values")
    assert [value["name"] for value in values] == ["Ada", "Eve", "Eve"]


async def test_a_composite_id_names_a_row_and_so_do_its_parts(world: World) -> None:
    await world.mutate("putEntry", id="7:1", text="a")
    await world.mutate("putEntry", accountId="7", line=2, text="b")
    assert [(change["row"], change["verb"]) for change in await world.read_history("Entry")] == [
        ("7:1", "put"),
        ("7:2", "put"),
    ]
    assert [entry["text"] for entry in world.bank.all("entry")] == ["a", "b"]


async def test_a_constant_column_is_in_the_id_and_is_not_sent(world: World) -> None:
    await world.mutate("putLocker", id="V:7:1", text="a")
    with pytest.raises(ConnectorError, match="no `Locker` has this id"):
        await world.mutate("putLocker", id="W:7:1", text="b")
    assert [entry["text"] for entry in world.vault.all("entry")] == ["a"]
    assert [change["row"] for change in await world.read_history("Locker")] == ["V:7:1"]
    assert [change["store"] for change in await world.read_history("Locker.values")] == ["V"]


async def test_a_row_is_found_by_the_key_that_its_source_chose(world: World) -> None:
    await world.mutate("createAccount", name="Ada")
    await world.mutate("createPost", text="hello")
    assert [change["row"] for change in await world.read_history("Account") + await world.read_history("Post")] == [
        "1",
        "p1",
    ]


REFUSED = [
    pytest.param(
        "updateAccount", {"id": "7", "name": None}, ErrorCode.BAD_USER_INPUT, "`name` cannot be null", id="null"
    ),
    pytest.param(
        "updateAccount", {"id": "x", "name": "a"}, ErrorCode.NOT_FOUND, "no `Account` has this id", id="no id"
    ),
    pytest.param(
        "updateAccount", {"id": "8", "name": "a"}, ErrorCode.NOT_FOUND, "there is no such account", id="no row"
    ),
    pytest.param(
        "updateAccount", {"id": "7", "ownerId": "x"}, ErrorCode.BAD_USER_INPUT, "the id given as `ownerId`", id="link"
    ),
    pytest.param("createAccount", {"id": "7", "name": "a"}, ErrorCode.ALREADY_EXISTS, "there is such an", id="there"),
    pytest.param(
        "updateAccount",
        {"id": "7", "name": "a", "ifVersion": "2"},
        ErrorCode.VERSION_CONFLICT,
        "somebody changed it",
        id="version",
    ),
    pytest.param(
        "deleteAccount", {"id": "7", "reason": "a\nb"}, ErrorCode.BAD_USER_INPUT, "`reason` takes", id="lines"
    ),
    pytest.param("deleteAccount", {"id": "7", "reason": "a" * 501}, ErrorCode.BAD_USER_INPUT, "1 to 500", id="long"),
    pytest.param("deleteAccount", {"id": "7", "idempotencyKey": ""}, ErrorCode.BAD_USER_INPUT, "1 to 200", id="no key"),
    pytest.param(
        "createPost", {"text": "a", "ifVersion": "1"}, ErrorCode.BAD_USER_INPUT, "no versions", id="unversioned"
    ),
]


@pytest.mark.parametrize(("name", "given", "code", "says"), REFUSED)
@pytest.mark.parametrize("dry", [False, True])
async def test_a_refused_mutation_changes_nothing(
    world: World, name: str, given: dict[str, Any], code: ErrorCode, says: str, dry: bool
) -> None:
    world.bank.seed("account", id=7, name="Ada")
    with pytest.raises(ConnectorError, match=says) as caught:
        await world.mutate(name, dryRun=dry, **given)
    assert caught.value.code is code
    assert [account["name"] for account in world.bank.all("account")] == ["Ada"]
    assert await world.read_history("Account") == []
    assert world.published == []


async def test_a_dry_run_shows_what_would_change_and_stores_nothing(world: World) -> None:
    world.bank.seed("account", id=7, name="Ada")
    acted = await world.mutate("updateAccount", id="7", name="Eve", dryRun=True, idempotencyKey="k")
    overlay = acted.connectors[HISTORY_CONNECTOR]
    (shown,) = await world.read_history("Account", overlay, keys=KeyFilter(("id",), ((acted.row_id,),)))
    assert (shown["state"], shown["version_after"], shown["row"]) == ("TRIED", "2", "7")
    (after,) = await world.read_history(
        "Account.values", overlay, keys=KeyFilter(("values_id",), ((f"{acted.row_id}.after",),))
    )
    assert after["name"] == "Eve"
    assert await world.read_history("Account", overlay) == await world.read_history("Account") == []
    assert [account["name"] for account in world.bank.all("account")] == ["Ada"]
    assert (await world.mutate("updateAccount", id="7", name="Eve", idempotencyKey="k")).connectors == {}


async def test_a_dry_run_of_a_saga_tries_the_independent_steps(world: World) -> None:
    acted = await world.mutate("openAccount", number="7", name="Ada", dryRun=True)
    assert [change["type"] for change in acted.audit_facts["changes"]] == ["Account", "Entry"]
    assert (world.bank.all("account"), world.board.posts) == ([], {})


async def test_the_same_key_gives_the_same_answer_and_no_second_change(world: World) -> None:
    first = await world.mutate("createAccount", name="Ada", idempotencyKey="k")
    again = await world.mutate("createAccount", name="Ada", idempotencyKey="k")
    assert again.row_id == first.row_id
    assert len(world.bank.all("account")) == len(await world.read_history("Account")) == 1


async def test_twenty_with_the_same_key_at_once_make_one_change(world: World) -> None:
    mutations = [world.mutate("createAccount", name="Ada", idempotencyKey="k") for _ in range(20)]
    assert len({item.row_id for item in await asyncio.gather(*mutations)}) == 1
    assert len(world.bank.all("account")) == 1


async def test_an_idempotency_key_belongs_to_one_person_one_mutation_and_one_input(world: World) -> None:
    await world.mutate("createAccount", name="Ada", idempotencyKey="k")
    for name, given in (("createAccount", {"name": "Eve"}), ("createPost", {"name": "Ada"})):
        with pytest.raises(ConnectorError, match="used before with another input") as caught:
            await world.mutate(name, idempotencyKey="k", **({"text": "a"} if name == "createPost" else given))
        assert caught.value.code is ErrorCode.IDEMPOTENCY_KEY_REUSED
    eve = type(ADA)(**{name: getattr(ADA, name) for name in ADA.__slots__} | {"person_id": "P2"})
    await world.mutate("createAccount", principal=eve, name="Eve", idempotencyKey="k")
    assert [account["name"] for account in world.bank.all("account")] == ["Ada", "Eve"]


async def test_a_change_that_was_not_applied_may_be_applied_by_the_same_key(world: World) -> None:
    world.bank.faults = [bank.refuse]
    with pytest.raises(ConnectorError, match="it does not want to"):
        await world.mutate("createAccount", name="Ada", idempotencyKey="k")
    await world.mutate("createAccount", name="Ada", idempotencyKey="k")
    assert len(world.bank.applied) == len(set(world.bank.applied)) == 2
    assert len(world.bank.all("account")) == 1


@pytest.mark.parametrize("fault", [bank.lose_reply, bank.crash_after, bank.hang_after])
async def test_a_lost_reply_is_found_out_by_one_probe(world: World, fault: bank.Fault) -> None:
    world.bank.faults = [fault]
    await world.mutate("createAccount", name="Ada")
    assert len(world.bank.applied) == len(world.bank.all("account")) == len(await world.read_history("Account")) == 1


async def test_a_call_that_never_reached_a_fenced_source_was_not_applied(world: World) -> None:
    world.bank.faults = [bank.drop_call]
    with pytest.raises(ConnectorError, match="the line is cut") as caught:
        await world.mutate("createAccount", name="Ada")
    assert caught.value.code is ErrorCode.SOURCE_UNAVAILABLE
    assert (len(world.bank.applied), world.bank.all("account"), await world.read_history("Account")) == (1, [], [])


async def test_an_unknown_outcome_is_recovered_once_the_source_answers(world: World) -> None:
    world.bank.faults, world.bank.mute = [bank.lose_reply], True
    with pytest.raises(MutationError, match="will be settled") as caught:
        await world.mutate("createAccount", name="Ada", idempotencyKey="k")
    assert caught.value.code is ErrorCode.CHANGE_UNSETTLED
    assert await recover_intents(world.context, world.append_record) == 0
    world.bank.mute = False
    await world.recover()
    assert (await world.mutate("createAccount", name="Ada", idempotencyKey="k")).row_id == (
        await world.read_history("Account")
    )[0]["id"]
    assert len(world.bank.all("account")) == 1
    assert [
        (record.id, record.surface, record.outcome, record.person, record.operation) for record in world.records
    ] == [("R1", "settling", "lost", "P1", "createAccount")]
    assert len(world.published) == 1


async def test_a_source_without_fences_is_believed_after_a_while(open_world: Any) -> None:
    world = open_world(unfenced_seconds=1.0)
    world.board.faults = [bank.drop_call]
    with pytest.raises(MutationError, match="will be settled"):
        await world.mutate("createPost", text="a", idempotencyKey="k")
    assert await recover_intents(world.context, world.append_record) == 0
    await world.recover()
    await world.mutate("createPost", text="a", idempotencyKey="k")
    assert len(world.board.posts) == 1


async def test_a_caller_that_goes_away_interrupts_nothing(world: World) -> None:
    world.bank.faults = [bank.hang_after]
    asking = asyncio.create_task(world.mutate("createAccount", name="Ada", idempotencyKey="k"))
    await asyncio.sleep(0.3)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await wait_for_changes(world.context)
    assert [change["state"] for change in await world.read_history("Account")] == ["DONE"]


async def test_a_change_that_outlasts_its_request_is_applied_all_the_same(world: World) -> None:
    world.bank.faults = [bank.hang_after]
    with pytest.raises(ActionUnfinished, match="takes longer") as caught:
        await world.mutate("createAccount", name="Ada", seconds=0.4)
    assert caught.value.code is ErrorCode.CHANGE_UNSETTLED
    await wait_for_changes(world.context)
    assert len(await world.read_history("Account")) == 1


async def test_no_value_is_in_the_audit_record(world: World) -> None:
    acted = await world.mutate("createAccount", id="7", name="Ada Lovelace")
    (noted,) = acted.audit_facts["changes"]
    assert noted.keys() == {"id", "type", "row", "verb", "state", "before", "after"}
    assert (noted["state"], noted["before"], len(noted["row"]), len(noted["after"])) == (IntentState.DONE, None, 32, 32)
    assert "Ada" not in str(noted)


async def test_readers_of_the_history_do_not_keep_anybody_from_writing(world: World, state: MetadataDatabase) -> None:
    go_on = threading.Event()

    def slow(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "FROM change" in statement:
            go_on.wait(10)

    event.listen(state.engine, "before_cursor_execute", slow)
    reading = [asyncio.create_task(world.read_history("Account")) for _ in range(8)]
    try:
        await asyncio.sleep(0.1)
        assert (await world.mutate("createAccount", name="Ada", seconds=4.0)).row_id is not None
    finally:
        go_on.set()
        await asyncio.gather(*reading)
