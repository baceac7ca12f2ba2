"""Changes over several sources: whatever fails, and whenever, what stands is what is said."""

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
from tests.mutations.world import OPENING, PEPPER, Open, World, world

GIVEN = {"number": "7", "name": "Ada", "idempotencyKey": "k"}


def stands(here: World) -> tuple[int, int, int]:
    """How many accounts, entries and posts there are."""
    return len(here.bank.all("account")), len(here.bank.all("entry")), len(here.board.posts)


NOTHING, ALL = (0, 0, 0), (1, 2, 1)


def intents(state: MetadataDatabase) -> list[tuple[str, str | None]]:
    with state.read_connection() as connection:
        found = connection.execute(text("SELECT state, stands FROM intent ORDER BY id"))
        return [tuple(row) for row in found.all()]


async def test_steps_of_one_source_are_one_transaction_and_later_ones_see_what_was_made(here: World) -> None:
    acted = await here.ask("openAccount", **GIVEN)
    assert len(here.bank.told) == 3
    assert [each["text"] for each in here.bank.all("entry")] == ["open", "p1"]
    assert [text for _, text in here.board.posts.values()] == ["welcome Ada"]
    assert [each["type"] for each in acted.audit_facts["changes"]] == ["Account", "Entry", "Post", "Entry"]
    assert [each["id"] for each in await here.history("Account")] == [acted.row_id]


FAULTS = [
    pytest.param(lambda here: here.bank.faults.append(bank.refused), id="first"),
    pytest.param(lambda here: here.board.faults.append(bank.refused), id="second"),
    pytest.param(lambda here: here.bank.faults.extend([None, bank.refused]), id="third"),
    pytest.param(lambda here: here.bank.faults.extend([None, bank.dropped]), id="third, never told"),
]


@pytest.mark.parametrize("fail", FAULTS)
async def test_a_step_that_fails_leaves_nothing_and_the_same_key_makes_it(
    here: World, state: MetadataDatabase, fail: Callable[[World], None]
) -> None:
    fail(here)
    with pytest.raises(MutationError) as caught:
        await here.ask("openAccount", **GIVEN)
    assert caught.value.code in (ErrorCode.BAD_USER_INPUT, ErrorCode.SOURCE_UNAVAILABLE)
    assert stands(here) == NOTHING
    assert intents(state) in ([("NOT_MADE", None)], [("UNDONE", None)])
    await here.ask("openAccount", **GIVEN)
    assert stands(here) == ALL


def declared(here: World, saga: Saga) -> str:
    here.shop.sagas[saga.field] = saga  # type: ignore[index]
    return saga.field


async def test_a_step_is_left_out_where_its_input_says_so_also_when_it_is_settled(
    here: World, state: MetadataDatabase
) -> None:
    account, entry, post, _ = OPENING.steps
    seldom = replace(entry, condition=lambda given: given["name"] == "Bob")
    field = declared(here, replace(OPENING, field="openSeldom", steps=(account, seldom, post)))
    await here.ask(field, number="1", name="Bob")
    assert stands(here) == (1, 1, 1)
    await here.ask(field, number="2", name="Ada")
    assert stands(here) == (2, 1, 2)
    here.board.faults, here.board.mute = [bank.lost], True
    with pytest.raises(MutationError):
        await here.ask(field, number="3", name="Ada")
    here.board.mute = False
    await here.settled()
    assert stands(here) == (3, 1, 3)
    assert {said for said, _ in intents(state)} == {"DONE"}


async def test_a_time_that_is_not_given_is_that_of_the_first_and_no_part_of_what_is_asked_again(here: World) -> None:
    timed = replace(OPENING.steps[0], values=lambda given, _: {"name": given["at"].isoformat()})
    field = declared(here, Saga(field="openNow", type="Account", timestamp_fields=("at",), steps=(timed,)))
    first = await here.ask(field, number="1", idempotencyKey="k")
    assert (await here.ask(field, number="1", idempotencyKey="k")).row_id == first.row_id
    (account,) = here.bank.all("account")
    assert datetime.fromisoformat(account["name"]).tzinfo is not None
    then = datetime.fromisoformat("2026-01-02T03:04:05+00:00")
    await here.ask(field, number="2", at=then)
    assert [each["name"] for each in here.bank.all("account")][1:] == [then.isoformat()]


async def test_what_was_undone_is_in_history_with_what_undid_it(here: World) -> None:
    here.board.faults = [bank.refused]
    with pytest.raises(MutationError, match=r"it does not want to; what was made of change `.*` was undone"):
        await here.ask("openAccount", **GIVEN)
    made, undone = await here.history("Account")
    assert [(each["verb"], each["state"]) for each in (made, undone)] == [("create", "UNDONE"), ("delete", "DONE")]
    assert undone["reason"] == f"undoes {made['id']}"


async def test_what_cannot_be_undone_is_said_exactly_and_said_again(here: World, state: MetadataDatabase) -> None:
    here.bank.faults = [None, bank.refused]
    said = (
        "`account` was undone, `entry` was undone, `post` stands (it cannot be undone), "
        "`greeting` was not made (it does not want to)"
    )
    for _ in range(2):
        with pytest.raises(MutationError) as caught:
            await here.ask("announceAccount", **GIVEN)
        assert caught.value.reason.endswith(f"was made in part: {said}")
    assert intents(state) == [("PARTLY", said)]
    assert stands(here) == (0, 0, 1)
    assert [each["state"] for each in await here.history("Post")] == ["PARTLY"]


async def test_what_somebody_changed_since_is_not_undone_under_them(here: World, state: MetadataDatabase) -> None:
    async def meanwhile(*_: Any) -> Any:
        await here.ask("updateAccount", id="7", name="Eve")
        return await bank.refused(*_)

    here.board.faults = [meanwhile]
    with pytest.raises(
        MutationError, match=r"`account` stands .somebody changed it., `entry` was undone, `post` was not"
    ):
        await here.ask("openAccount", **GIVEN)
    assert [each["name"] for each in here.bank.all("account")] == ["Eve"]


@pytest.mark.parametrize("heard", [True, False], ids=["undone, and nobody heard", "not undone"])
async def test_an_undoing_that_nobody_heard_of_is_settled(here: World, state: MetadataDatabase, heard: bool) -> None:
    async def cut(inner: Any, changes: Any) -> Any:
        here.bank.mute = True
        return await (bank.lost if heard else bank.dropped)(inner, changes)

    here.board.faults, here.bank.faults = [bank.refused], [None, cut]
    with pytest.raises(MutationError, match="will be settled"):
        await here.ask("openAccount", **GIVEN)
    here.bank.mute = False
    await here.settled()
    assert (stands(here), intents(state)) == (NOTHING, [("UNDONE", None)])


async def test_a_source_that_stays_silent_is_given_up_and_said_so(opens: Open, state: MetadataDatabase) -> None:
    here = opens(give_up_seconds=1.0)
    here.bank.faults, here.bank.mute = [bank.lost], True
    with pytest.raises(MutationError, match="will be settled"):
        await here.ask("createAccount", name="Ada")
    await here.settled()
    (found,) = intents(state)
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
        await here.ask("openAccount", **GIVEN)
    event.remove(state.engine, "commit", fail)
    assert caught.value.code is (ErrorCode.SOURCE_UNAVAILABLE if failing == 1 else ErrorCode.CHANGE_UNSETTLED)
    if failing > 1:
        await here.settled()
    assert stands(here) == (ALL if failing == 4 else NOTHING)
    await here.ask("openAccount", **GIVEN)
    assert stands(here) == ALL
    assert [each for each, _ in intents(state)] == {1: ["DONE"], 4: ["DONE"]}.get(failing, ["UNDONE", "DONE"])


async def test_of_several_processes_one_settles_and_both_may_be_at_it(
    opens: Open, state: MetadataDatabase, url: str
) -> None:
    first = opens(board=(board := bank.Board()))
    first.bank.faults, first.bank.mute = [bank.lost], True
    with pytest.raises(MutationError):
        await first.ask("openAccount", **GIVEN)
    others = [opens(board=board) for _ in range(3)]
    await asyncio.sleep(0.1)  # until what the first let go of is overdue
    ended = await asyncio.gather(*(recover_intents(each.shop, each.kept) for each in others))
    assert sorted(ended) == [0, 0, 1]
    assert sum(len(each.journal) for each in others) == 1
    assert (stands(first), intents(state)) == (NOTHING, [("UNDONE", None)])


async def test_a_process_that_lost_its_lease_begins_no_other_step(opens: Open, state: MetadataDatabase) -> None:
    """It hangs in its first step; another takes over and undoes that; it awakes and must not go on."""
    here, other = opens(lease_seconds=60, board=(board := bank.Board())), opens(board=board)

    async def paused(inner: Any, changes: Any) -> Any:
        made = await inner.apply(changes)
        with state.write_transaction() as connection:
            connection.execute(text("UPDATE intent SET lease_until = 0"))
        await other.settled()
        return made

    here.bank.faults = [paused]
    with pytest.raises(MutationError, match="will be settled"):
        await here.ask("openAccount", **GIVEN)
    assert (stands(here), here.board.told, intents(state)) == (NOTHING, [], [("UNDONE", None)])


async def test_a_process_that_lost_its_lease_does_not_settle_what_it_is_still_at(
    here: World, state: MetadataDatabase
) -> None:
    """Nobody else took over, so it may go on; it must not undo what it is making."""

    async def paused(inner: Any, changes: Any) -> Any:
        made = await inner.apply(changes)
        with state.write_transaction() as connection:
            connection.execute(text("UPDATE intent SET lease_until = 0"))
        assert await recover_intents(here.shop, here.kept) == 0
        return made

    here.bank.faults = [paused]
    await here.ask("openAccount", **GIVEN)
    assert (stands(here), intents(state)) == (ALL, [("DONE", None)])


async def test_a_mutation_that_is_declared_no_more_is_told_and_not_undone(opens: Open, state: MetadataDatabase) -> None:
    here, other = opens(), opens()
    here.board.faults, here.board.mute = [bank.dropped], True
    with pytest.raises(MutationError):
        await here.ask("openAccount", **GIVEN)
    left = {name: each for name, each in other.shop.sagas.items() if name != "openAccount"}
    object.__setattr__(other.shop, "sagas", left)
    object.__setattr__(other.shop, "unfenced_seconds", 0.0)
    await other.settled()
    assert intents(state)[0][0] == "PARTLY"
    assert intents(state)[0][1] == (
        "`account` stands (it cannot be undone), `entry` stands (it cannot be undone), `post` was not made"
    )


@pytest.mark.parametrize("name", ["createAccount", "openAccount", "moveIn"])
async def test_on_postgresql_the_same(name: str, postgresql_started: PostgresqlServer, tmp_path: Path) -> None:
    state = open_database(postgresql_started.emptied("ledger"), PEPPER)
    here, other = world(state, tmp_path / "bank.sqlite"), world(state, tmp_path / "bank.sqlite")
    given = {"number": "7"} if name != "createAccount" else {"id": "7"}
    try:
        asked = [each.ask(name, name="Ada", idempotencyKey="k", **given) for each in (here, other) * 10]
        assert len({each.row_id for each in await asyncio.gather(*asked)}) == 1
        here.bank.faults, here.bank.mute, other.bank.mute = [bank.lost], True, True
        with pytest.raises(MutationError):
            await here.ask("updateAccount", id="7", name="Eve", idempotencyKey="l")
        assert await asyncio.gather(*(recover_intents(each.shop, each.kept) for each in (here, other))) == [0, 0]
        other.bank.mute = False
        await other.settled()
        assert [each["state"] for each in await other.history("Account")] == ["DONE", "DONE"]
        assert [each["name"] for each in here.bank.all("account")] == ["Eve"]
    finally:
        here.shop.ledger.close()
        other.shop.ledger.close()
        state.close()
