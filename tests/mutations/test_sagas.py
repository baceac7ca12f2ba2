"""Whatever fails in a saga, and whenever, exactly what is reported stands."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from demo.servers.postgresql import PostgresqlServer
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.mutations.context import MutationError
from onedoor.mutations.declarations import Saga
from onedoor.mutations.recovery import recover_intents
from onedoor.storage.database import MetadataDatabase, open_database
from tests.mutations import bank
from tests.mutations.world import OPENING, PEPPER, OpenWorld, World, build_world

GIVEN = {"number": "7", "name": "Ada", "idempotencyKey": "k"}


def count_rows(world: World) -> tuple[int, int, int]:
    """Return how many accounts, entries and posts there are."""
    return len(world.bank.all("account")), len(world.bank.all("entry")), len(world.board.posts)


NOTHING, ALL = (0, 0, 0), (1, 2, 1)


def load_intents(state: MetadataDatabase) -> list[tuple[str, str | None]]:
    with state.read_connection() as connection:
        result = connection.execute(text("SELECT state, stands FROM intent ORDER BY id"))
        return [tuple(row) for row in result.all()]


async def test_steps_of_one_source_share_a_transaction_and_later_steps_see_their_results(world: World) -> None:
    acted = await world.mutate("openAccount", **GIVEN)
    assert len(world.bank.applied) == 3
    assert [entry["text"] for entry in world.bank.all("entry")] == ["open", "p1"]
    assert [text for _, text in world.board.posts.values()] == ["welcome Ada"]
    assert [change["type"] for change in acted.audit_facts["changes"]] == ["Account", "Entry", "Post", "Entry"]
    assert [change["id"] for change in await world.read_history("Account")] == [acted.row_id]


FAULTS = [
    pytest.param(lambda world: world.bank.faults.append(bank.refuse), id="first"),
    pytest.param(lambda world: world.board.faults.append(bank.refuse), id="second"),
    pytest.param(lambda world: world.bank.faults.extend([None, bank.refuse]), id="third"),
    pytest.param(lambda world: world.bank.faults.extend([None, bank.drop_call]), id="third, never told"),
]


@pytest.mark.parametrize("fail", FAULTS)
async def test_a_failed_step_leaves_nothing_and_the_same_key_applies_the_saga(
    world: World, state: MetadataDatabase, fail: Callable[[World], None]
) -> None:
    fail(world)
    with pytest.raises(MutationError) as caught:
        await world.mutate("openAccount", **GIVEN)
    assert caught.value.code in (ErrorCode.BAD_USER_INPUT, ErrorCode.SOURCE_UNAVAILABLE)
    assert count_rows(world) == NOTHING
    assert load_intents(state) in ([("NOT_MADE", None)], [("UNDONE", None)])
    await world.mutate("openAccount", **GIVEN)
    assert count_rows(world) == ALL


def declare(world: World, saga: Saga) -> str:
    world.context.sagas[saga.field] = saga  # type: ignore[index]
    return saga.field


async def test_a_conditional_step_is_left_out_by_its_input_also_in_recovery(
    world: World, state: MetadataDatabase
) -> None:
    account, entry, post, _ = OPENING.steps
    seldom = replace(entry, condition=lambda given: given["name"] == "Bob")
    field = declare(world, replace(OPENING, field="openSeldom", steps=(account, seldom, post)))
    await world.mutate(field, number="1", name="Bob")
    assert count_rows(world) == (1, 1, 1)
    await world.mutate(field, number="2", name="Ada")
    assert count_rows(world) == (2, 1, 2)
    world.board.faults, world.board.mute = [bank.lose_reply], True
    with pytest.raises(MutationError):
        await world.mutate(field, number="3", name="Ada")
    world.board.mute = False
    await world.recover()
    assert count_rows(world) == (3, 1, 3)
    assert {state_name for state_name, _ in load_intents(state)} == {"DONE"}


async def test_a_default_time_is_that_of_the_first_request_and_no_part_of_what_its_key_covers(world: World) -> None:
    timed = replace(OPENING.steps[0], values=lambda given, _: {"name": given["at"].isoformat()})
    field = declare(world, Saga(field="openNow", type="Account", timestamp_fields=("at",), steps=(timed,)))
    first = await world.mutate(field, number="1", idempotencyKey="k")
    assert (await world.mutate(field, number="1", idempotencyKey="k")).row_id == first.row_id
    (account,) = world.bank.all("account")
    assert datetime.fromisoformat(account["name"]).tzinfo is not None
    then = datetime.fromisoformat("2026-01-02T03:04:05+00:00")
    await world.mutate(field, number="2", at=then)
    assert [item["name"] for item in world.bank.all("account")][1:] == [then.isoformat()]


async def test_the_history_holds_an_undone_change_and_the_one_that_undid_it(world: World) -> None:
    world.board.faults = [bank.refuse]
    with pytest.raises(MutationError, match=r"it does not want to; what change `.*` made of `account`.* was undone"):
        await world.mutate("openAccount", **GIVEN)
    creation, undone = await world.read_history("Account")
    assert [(item["verb"], item["state"]) for item in (creation, undone)] == [("create", "UNDONE"), ("delete", "DONE")]
    assert undone["reason"] == f"undoes {creation['id']}"


async def test_what_cannot_be_undone_is_reported_exactly_and_again(world: World, state: MetadataDatabase) -> None:
    world.bank.faults = [None, bank.refuse]
    text = (
        "`account` was undone, `entry` was undone, `post` stands (it cannot be undone), "
        "`greeting` was not made (it does not want to)"
    )
    for _ in range(2):
        with pytest.raises(MutationError) as caught:
            await world.mutate("announceAccount", **GIVEN)
        assert caught.value.reason.endswith(f"was made in part: {text}")
    assert load_intents(state) == [("PARTLY", text)]
    assert count_rows(world) == (0, 0, 1)
    assert [change["state"] for change in await world.read_history("Post")] == ["PARTLY"]


async def test_a_row_that_somebody_changed_since_is_not_undone(world: World, state: MetadataDatabase) -> None:
    async def meanwhile(*_: Any) -> Any:
        await world.mutate("updateAccount", id="7", name="Eve")
        return await bank.refuse(*_)

    world.board.faults = [meanwhile]
    with pytest.raises(
        MutationError, match=r"`account` stands .somebody changed it., `entry` was undone, `post` was not"
    ):
        await world.mutate("openAccount", **GIVEN)
    assert [account["name"] for account in world.bank.all("account")] == ["Eve"]


@pytest.mark.parametrize("heard", [True, False], ids=["undone, and nobody heard", "not undone"])
async def test_a_compensation_whose_reply_was_lost_is_recovered(
    world: World, state: MetadataDatabase, heard: bool
) -> None:
    async def cut(inner: Any, changes: Any) -> Any:
        world.bank.mute = True
        return await (bank.lose_reply if heard else bank.drop_call)(inner, changes)

    world.board.faults, world.bank.faults = [bank.refuse], [None, cut]
    with pytest.raises(MutationError, match="will be settled"):
        await world.mutate("openAccount", **GIVEN)
    world.bank.mute = False
    await world.recover()
    assert (count_rows(world), load_intents(state)) == (NOTHING, [("UNDONE", None)])


async def test_a_source_that_stays_silent_is_given_up_and_reported(
    open_world: OpenWorld, state: MetadataDatabase
) -> None:
    world = open_world(give_up_seconds=1.0)
    world.bank.faults, world.bank.mute = [bank.lose_reply], True
    with pytest.raises(MutationError, match="will be settled"):
        await world.mutate("createAccount", name="Ada")
    await world.recover()
    (intent,) = load_intents(state)
    assert intent == ("PARTLY", "it is not known whether `createAccount` was made (the line is cut)")


@pytest.mark.parametrize("failing", [1, 2, 3, 4])
async def test_a_ledger_that_fails_at_any_commit_loses_and_repeats_nothing(
    world: World, state: MetadataDatabase, failing: int
) -> None:
    count = 0

    def fail(_: Any) -> None:
        nonlocal count
        count += 1
        if count >= failing:
            raise OperationalError("COMMIT", {}, Exception("disk"))

    event.listen(state.engine, "commit", fail)
    with pytest.raises(ConnectorError) as caught:
        await world.mutate("openAccount", **GIVEN)
    event.remove(state.engine, "commit", fail)
    assert caught.value.code is (ErrorCode.SOURCE_UNAVAILABLE if failing == 1 else ErrorCode.CHANGE_UNSETTLED)
    if failing > 1:
        await world.recover()
    assert count_rows(world) == (ALL if failing == 4 else NOTHING)
    await world.mutate("openAccount", **GIVEN)
    assert count_rows(world) == ALL
    assert [item for item, _ in load_intents(state)] == {1: ["DONE"], 4: ["DONE"]}.get(failing, ["UNDONE", "DONE"])


async def test_only_one_of_several_recovering_processes_ends_the_intent(
    open_world: OpenWorld, state: MetadataDatabase, url: str
) -> None:
    first = open_world(board=(board := bank.Board()))
    first.bank.faults, first.bank.mute = [bank.lose_reply], True
    with pytest.raises(MutationError):
        await first.mutate("openAccount", **GIVEN)
    others = [open_world(board=board) for _ in range(3)]
    for other in others:
        other.clock.advance(1.0)  # what the first released is overdue
    ended = await asyncio.gather(*(recover_intents(item.context, item.append_record) for item in others))
    assert sorted(ended) == [0, 0, 1]
    assert sum(len(item.records) for item in others) == 1
    assert (count_rows(first), load_intents(state)) == (NOTHING, [("UNDONE", None)])


async def test_a_process_that_lost_its_lease_begins_no_other_step(
    open_world: OpenWorld, state: MetadataDatabase
) -> None:
    """It hangs in its first step, another process takes over and undoes the step, and then the first one goes on."""
    world, other = open_world(lease_seconds=60, board=(board := bank.Board())), open_world(board=board)

    async def paused(inner: Any, changes: Any) -> Any:
        results = await inner.apply(changes)
        with state.write_transaction() as connection:
            connection.execute(text("UPDATE intent SET lease_until = 0"))
        await other.recover()
        return results

    world.bank.faults = [paused]
    with pytest.raises(MutationError, match="will be settled"):
        await world.mutate("openAccount", **GIVEN)
    assert (count_rows(world), world.board.applied, load_intents(state)) == (NOTHING, [], [("UNDONE", None)])


async def test_a_process_that_lost_its_lease_does_not_recover_its_own_intent(
    world: World, state: MetadataDatabase
) -> None:
    """Nobody else took over, so it may go on, and must not undo what it applies."""

    async def paused(inner: Any, changes: Any) -> Any:
        results = await inner.apply(changes)
        with state.write_transaction() as connection:
            connection.execute(text("UPDATE intent SET lease_until = 0"))
        assert await recover_intents(world.context, world.append_record) == 0
        return results

    world.bank.faults = [paused]
    await world.mutate("openAccount", **GIVEN)
    assert (count_rows(world), load_intents(state)) == (ALL, [("DONE", None)])


async def test_a_mutation_that_is_not_declared_any_more_is_reported_and_not_undone(
    open_world: OpenWorld, state: MetadataDatabase
) -> None:
    world, other = open_world(), open_world()
    world.board.faults, world.board.mute = [bank.drop_call], True
    with pytest.raises(MutationError):
        await world.mutate("openAccount", **GIVEN)
    left = {name: saga for name, saga in other.context.sagas.items() if name != "openAccount"}
    object.__setattr__(other.context, "sagas", left)
    object.__setattr__(other.context, "unfenced_seconds", 0.0)
    await other.recover()
    assert load_intents(state)[0][0] == "PARTLY"
    assert load_intents(state)[0][1] == (
        "`account` stands (it cannot be undone), `entry` stands (it cannot be undone), `post` was not made"
    )


@pytest.mark.parametrize("name", ["createAccount", "openAccount", "moveIn"])
async def test_idempotency_and_recovery_hold_on_postgresql(
    name: str, postgresql_started: PostgresqlServer, tmp_path: Path
) -> None:
    state = open_database(postgresql_started.emptied("ledger"), PEPPER)
    world, other = build_world(state, tmp_path / "bank.sqlite"), build_world(state, tmp_path / "bank.sqlite")
    given = {"number": "7"} if name != "createAccount" else {"id": "7"}
    try:
        mutations = [item.mutate(name, name="Ada", idempotencyKey="k", **given) for item in (world, other) * 10]
        assert len({item.row_id for item in await asyncio.gather(*mutations)}) == 1
        world.bank.faults, world.bank.mute, other.bank.mute = [bank.lose_reply], True, True
        with pytest.raises(MutationError):
            await world.mutate("updateAccount", id="7", name="Eve", idempotencyKey="l")
        assert await asyncio.gather(
            *(recover_intents(item.context, item.append_record) for item in (world, other))
        ) == [
            0,
            0,
        ]
        other.bank.mute = False
        await other.recover()
        assert [change["state"] for change in await other.read_history("Account")] == ["DONE", "DONE"]
        assert [account["name"] for account in world.bank.all("account")] == ["Eve"]
    finally:
        world.context.ledger.close()
        other.context.ledger.close()
        state.close()
