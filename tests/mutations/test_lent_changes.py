"""A change that is made under a grant: its fencing token is on record before it, and it ends with the grant."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from auth import users
from auth.authentication import Principal
from auth.grant_store import GrantStore, list_held_grants, mint_grant_id
from auth.grants import AccessRequest, GrantEnded, GrantStep, HeldGrant
from auth.groups import FunctionalGroup, Groups
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.mutations.context import MutationError
from onedoor.runtime.call_context import build_call_context, use_call_context
from onedoor.storage.database import MetadataDatabase
from tests.mutations import bank
from tests.mutations.test_sagas import ALL, GIVEN, NOTHING, count_rows, load_intents
from tests.mutations.world import ADA, World

ON_CALL = FunctionalGroup(name="on-call", purpose="Repairs production.", owner="platform", exclusive=True)


@pytest.fixture
def store(state: MetadataDatabase) -> GrantStore:
    return GrantStore(database=state, groups=Groups((ON_CALL,)))


@pytest.fixture
def holder(store: GrantStore) -> Principal:
    """Somebody who holds the one grant of an exclusive group."""
    user = users.create_user(store.database, first_name="Ada", last_name="Lovelace", email="ada@acme.example")
    asked = AccessRequest(person_id=user.id, group=ON_CALL, duration=timedelta(hours=1))
    store.lend({mint_grant_id(): asked}, GrantStep(at=store.database.now(), actor="os:root", reason="ticket 7"))
    return replace(ADA, person_id=user.id, grants=list_held_grants(store.database, user.id))


def give_back(store: GrantStore, holder: Principal) -> None:
    step = GrantStep(at=store.database.now(), actor=holder.person_id)
    store.give_back(holder.grants[0].id, step)


def end_after(calls: int, grant: HeldGrant) -> Callable[[], Awaitable[None]]:
    """Return the check of a grant that lasts for so many calls to sources."""
    seen: list[None] = []

    async def check_access() -> None:
        seen.append(None)
        if len(seen) > calls:
            raise GrantEnded(grant)

    return check_access


async def test_the_fencing_token_is_written_with_the_change(
    world: World, state: MetadataDatabase, holder: Principal
) -> None:
    await world.mutate("openAccount", principal=holder, **GIVEN)
    with state.read_connection() as connection:
        assert connection.execute(text("SELECT fencing_tokens FROM intent")).scalars().all() == [
            f'{{"{holder.grants[0].id}": 1}}'
        ]


async def test_nothing_is_begun_under_a_token_that_is_not_the_holders(
    world: World, store: GrantStore, holder: Principal
) -> None:
    forged = replace(holder, grants=(replace(holder.grants[0], fencing_token=2),))
    with pytest.raises(ConnectorError, match="your grant has ended, so nothing was changed") as caught:
        await world.mutate("openAccount", principal=forged, **GIVEN)
    give_back(store, holder)
    with pytest.raises(ConnectorError, match="your grant has ended, so nothing was changed"):
        await world.mutate("openAccount", principal=holder, **GIVEN)
    assert (caught.value.code, load_intents(store.database), count_rows(world)) == (ErrorCode.FORBIDDEN, [], NOTHING)


@pytest.mark.parametrize("calls", [0, 1, 2])
async def test_a_change_that_outlasts_its_grant_is_undone_which_the_end_does_not_stop(
    world: World, store: GrantStore, holder: Principal, calls: int
) -> None:
    check_access = end_after(calls, holder.grants[0])
    with use_call_context(build_call_context(holder.person_id, check_access)), pytest.raises(MutationError) as caught:
        await world.mutate("openAccount", principal=holder, **GIVEN)
    assert caught.value.code is ErrorCode.FORBIDDEN
    assert count_rows(world) == NOTHING
    assert load_intents(store.database) == [("UNDONE" if calls else "NOT_MADE", None)]


async def test_what_came_of_a_change_is_found_out_after_the_grant_has_ended(world: World, holder: Principal) -> None:
    world.bank.faults = [None, bank.lose_reply]
    with use_call_context(build_call_context(holder.person_id, end_after(3, holder.grants[0]))):
        await world.mutate("openAccount", principal=holder, **GIVEN)
    assert count_rows(world) == ALL
