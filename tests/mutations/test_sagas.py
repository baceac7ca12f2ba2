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


def count_rows(here: World) -> tuple[int, int, int]:
    """Return how many accounts, entries and posts there are."""
    return len(here.bank.all("account")), len(here.bank.all("entry")), len(here.board.posts)


NOTHING, ALL = (0, 0, 0), (1, 2, 1)


def load_intents(state: MetadataDatabase) -> list[tuple[str, str | None]]:
    with state.read_connection() as connection:
        found = connection.execute(text("SELECT state, stands FROM intent ORDER BY id"))
        return [tuple(row) for row in found.all()]


async def test_steps_of_one_source_share_a_transaction_and_later_steps_see_their_results(here: World) -> None:
    acted = await here.mutate("openAccount", **GIVEN)
    assert len(here.bank.applied) == 3
    assert [each["text"] for each in here.bank.all("entry")] == ["open", "p1"]
    assert [text for _, text in here.board.posts.values()] == ["welcome Ada"]
    assert [each["type"] for each in acted.audit_facts["changes"]] == ["Account", "Entry", "Post", "Entry"]
    assert [each["id"] for each in await here.read_history("Account")] == [acted.row_id]


FAULTS = [
    pytest.param(lambda here: here.bank.faults.append(bank.refuse), id="first"),
    pytest.param(lambda here: here.board.faults.append(bank.refuse), id="second"),
    pytest.param(lambda here: here.bank.faults.extend([None, bank.refuse]), id="third"),
    pytest.param(lambda here: here.bank.faults.extend([None, bank.drop_call]), id="third, never told"),
]


@pytest.mark.parametrize("fail", FAULTS)
async def test_a_failed_step_leaves_nothing_and_the_same_key_applies_the_saga(
    here: World, state: MetadataDatabase, fail: Callable[[World], None]
) -> None:
    fail(here)
    with pytest.raises(MutationError) as caught:
        await here.mutate("openAccount", **GIVEN)
    assert caught.value.code in (ErrorCode.BAD_USER_INPUT, ErrorCode.SOURCE_UNAVAILABLE)
    assert count_rows(here) == NOTHING
    assert load_intents(state) in ([("NOT_MADE", None)], [("UNDONE", None)])
    await here.mutate("openAccount", **GIVEN)
    assert count_rows(here) == ALL


def declare(here: World, saga: Saga) -> str:
    here.context.sagas[saga.field] = saga  # type: ignore[index]
    return saga.field


async def test_a_conditional_step_is_left_out_by_its_input_also_in_recovery(
    here: World, state: MetadataDatabase
) -> None:
    account, entry, post, _ = OPENING.steps
    seldom = replace(entry, condition=lambda given: given["name"] == "Bob")
    field = declare(here, replace(OPENING, field="openSeldom", steps=(account, seldom, post)))
    await here.mutate(field, number="1", name="Bob")
    assert count_rows(here) == (1, 1, 1)
    await here.mutate(field, number="2", name="Ada")
    assert count_rows(here) == (2, 1, 2)
    here.board.faults, here.board.mute = [bank.lose_reply], True
    with pytest.raises(MutationError):
        await here.mutate(field, number="3", name="Ada")
    here.board.mute = False
    await here.recover()
    assert count_rows(here) == (3, 1, 3)
    assert {said for said, _ in load_intents(state)} == {"DONE"}


async def test_a_default_time_is_that_of_the_first_request_and_no_part_of_what_its_key_covers(here: World) -> None:
    timed = replace(OPENING.steps[0], values=lambda given, _: {"name": given["at"].isoformat()})
    field = declare(here, Saga(field="openNow", type="Account", timestamp_fields=("at",), steps=(timed,)))
    first = await here.mutate(field, number="1", idempotencyKey="k")
    assert (await here.mutate(field, number="1", idempotencyKey="k")).row_id == first.row_id
    (account,) = here.bank.all("account")
    assert datetime.fromisoformat(account["name"]).tzinfo is not None
    then = datetime.fromisoformat("2026-01-02T03:04:05+00:00")
    await here.mutate(field, number="2", at=then)
    assert [each["name"] for each in here.bank.all("account")][1:] == [then.isoformat()]


async def test_the_history_holds_an_undone_change_and_the_one_that_undid_it(here: World) -> None:
    here.board.faults = [bank.refuse]
    with pytest.raises(MutationError, match=r"it does not want to; what change `.*` made of `account`.* was undone"):
        await here.mutate("openAccount", **GIVEN)
    made, undone = await here.read_history("Account")
    assert [(each["verb"], each["state"]) for each in (made, undone)] == [("create", "UNDONE"), ("delete", "DONE")]
    assert undone["reason"] == f"undoes {made['id']}"


async def test_what_cannot_be_undone_is_reported_exactly_and_again(here: World, state: MetadataDatabase) -> None:
    here.bank.faults = [None, bank.refuse]
    said = (
        "`account` was undone, `entry` was undone, `post` stands (it cannot be undone), "
        "`greeting` was not made (it does not want to)"
    )
    for _ in range(2):
        with pytest.raises(MutationError) as caught:
            await here.mutate("announceAccount", **GIVEN)
        assert caught.value.reason.endswith(f"was made in part: {said}")
    assert load_intents(state) == [("PARTLY", said)]
    assert count_rows(here) == (0, 0, 1)
    assert [each["state"] for each in await here.read_history("Post")] == ["PARTLY"]


async def test_a_row_that_somebody_changed_since_is_not_undone(here: World, state: MetadataDatabase) -> None:
    async def meanwhile(*_: Any) -> Any:
        await here.mutate("updateAccount", id="7", name="Eve")
        return await bank.refuse(*_)

    here.board.faults = [meanwhile]
    with pytest.raises(
        MutationError, match=r"`account` stands .somebody changed it., `entry` was undone, `post` was not"
    ):
        await here.mutate("openAccount", **GIVEN)
    assert [each["name"] for each in here.bank.all("account")] == ["Eve"]


@pytest.mark.parametrize("heard", [True, False], ids=["undone, and nobody heard", "not undone"])
async def test_a_compensation_whose_reply_was_lost_is_recovered(
    here: World, state: MetadataDatabase, heard: bool
) -> None:
    async def cut(inner: Any, changes: Any) -> Any:
        here.bank.mute = True
        return await (bank.lose_reply if heard else bank.drop_call)(inner, changes)

    here.board.faults, here.bank.faults = [bank.refuse], [None, cut]
    with pytest.raises(MutationError, match="will be settled"):
        await here.mutate("openAccount", **GIVEN)
    here.bank.mute = False
    await here.recover()
    assert (count_rows(here), load_intents(state)) == (NOTHING, [("UNDONE", None)])


async def test_a_source_that_stays_silent_is_given_up_and_reported(
    open_world: OpenWorld, state: MetadataDatabase
) -> None:
    here = open_world(give_up_seconds=1.0)
    here.bank.faults, here.bank.mute = [bank.lose_reply], True
    with pytest.raises(MutationError, match="will be settled"):
        await here.mutate("createAccount", name="Ada")
    await here.recover()
    (found,) = load_intents(state)
    assert found == ("PARTLY", "it is not known whether `createAccount` was made (the line is cut)")


@pytest.mark.parametrize("failing", [1, 2, 3, 4])
async def test_a_ledger_that_fails_at_any_commit_loses_and_repeats_nothing(
    here: World, state: MetadataDatabase, failing: int
) -> None:
    count = 0

    def fail(_: Any) -> None:
        nonlocal count
        count += 1
        if count >= failing:
            raise OperationalError("COMMIT", {}, Exception("disk"))

    event.listen(state.engine, "commit", fail)
    with pytest.raises(ConnectorError) as caught:
        await here.mutate("openAccount", **GIVEN)
    event.remove(state.engine, "commit", fail)
    assert caught.value.code is (ErrorCode.SOURCE_UNAVAILABLE if failing == 1 else ErrorCode.CHANGE_UNSETTLED)
    if failing > 1:
        await here.recover()
    assert count_rows(here) == (ALL if failing == 4 else NOTHING)
    await here.mutate("openAccount", **GIVEN)
    assert count_rows(here) == ALL
    assert [each for each, _ in load_intents(state)] == {1: ["DONE"], 4: ["DONE"]}.get(failing, ["UNDONE", "DONE"])


async def test_of_several_processes_that_recover_one_ends_the_intent(
    open_world: OpenWorld, state: MetadataDatabase, url: str
) -> None:
    first = open_world(board=(board := bank.Board()))
    first.bank.faults, first.bank.mute = [bank.lose_reply], True
    with pytest.raises(MutationError):
        await first.mutate("openAccount", **GIVEN)
    others = [open_world(board=board) for _ in range(3)]
    for other in others:
        other.clock.advance(1.0)  # what the first released is overdue
    ended = await asyncio.gather(*(recover_intents(each.context, each.append_record) for each in others))
    assert sorted(ended) == [0, 0, 1]
    assert sum(len(each.records) for each in others) == 1
    assert (count_rows(first), load_intents(state)) == (NOTHING, [("UNDONE", None)])


async def test_a_process_that_lost_its_lease_begins_no_other_step(
    open_world: OpenWorld, state: MetadataDatabase
) -> None:
    """It hangs in its first step, another process takes over and undoes the step, and then the first one goes on."""
    here, other = open_world(lease_seconds=60, board=(board := bank.Board())), open_world(board=board)

    async def paused(inner: Any, changes: Any) -> Any:
        made = await inner.apply(changes)
        with state.write_transaction() as connection:
            connection.execute(text("UPDATE intent SET lease_until = 0"))
        await other.recover()
        return made

    here.bank.faults = [paused]
    with pytest.raises(MutationError, match="will be settled"):
        await here.mutate("openAccount", **GIVEN)
    assert (count_rows(here), here.board.applied, load_intents(state)) == (NOTHING, [], [("UNDONE", None)])


async def test_a_process_that_lost_its_lease_does_not_recover_its_own_intent(
    here: World, state: MetadataDatabase
) -> None:
    """Nobody else took over, so it may go on, and must not undo what it applies."""

    async def paused(inner: Any, changes: Any) -> Any:
        made = await inner.apply(changes)
        with state.write_transaction() as connection:
            connection.execute(text("UPDATE intent SET lease_until = 0"))
        assert await recover_intents(here.context, here.append_record) == 0
        return made

    here.bank.faults = [paused]
    await here.mutate("openAccount", **GIVEN)
    assert (count_rows(here), load_intents(state)) == (ALL, [("DONE", None)])


async def test_a_mutation_that_is_not_declared_any_more_is_reported_and_not_undone(
    open_world: OpenWorld, state: MetadataDatabase
) -> None:
    here, other = open_world(), open_world()
    here.board.faults, here.board.mute = [bank.drop_call], True
    with pytest.raises(MutationError):
        await here.mutate("openAccount", **GIVEN)
    left = {name: each for name, each in other.context.sagas.items() if name != "openAccount"}
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
    here, other = build_world(state, tmp_path / "bank.sqlite"), build_world(state, tmp_path / "bank.sqlite")
    given = {"number": "7"} if name != "createAccount" else {"id": "7"}
    try:
        asked = [each.mutate(name, name="Ada", idempotencyKey="k", **given) for each in (here, other) * 10]
        assert len({each.row_id for each in await asyncio.gather(*asked)}) == 1
        here.bank.faults, here.bank.mute, other.bank.mute = [bank.lose_reply], True, True
        with pytest.raises(MutationError):
            await here.mutate("updateAccount", id="7", name="Eve", idempotencyKey="l")
        assert await asyncio.gather(*(recover_intents(each.context, each.append_record) for each in (here, other))) == [
            0,
            0,
        ]
        other.bank.mute = False
        await other.recover()
        assert [each["state"] for each in await other.read_history("Account")] == ["DONE", "DONE"]
        assert [each["name"] for each in here.bank.all("account")] == ["Eve"]
    finally:
        here.context.ledger.close()
        other.context.ledger.close()
        state.close()
