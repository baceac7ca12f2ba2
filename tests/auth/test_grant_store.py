"""Grants in both kinds of metadata database, also where two processes take steps at once."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from auth import users
from auth.attribution import Attribution, load_changes
from auth.grant_store import (
    GrantChecker,
    GrantStore,
    are_tokens_current,
    find_ended_grants,
    find_grant,
    list_grants,
    list_held_grants,
    mint_grant_id,
)
from auth.grants import AccessRequest, Grant, GrantEnding, GrantRefused, GrantState, GrantStep
from auth.groups import FunctionalGroup, Groups
from onedoor.storage.database import MetadataDatabase, MetadataDatabaseUnavailable, open_database
from onedoor.storage.tables import grant_table
from tests.auth.conftest import PEPPER, Clock

HOUR = timedelta(hours=1)
GROUPS = Groups(
    (
        FunctionalGroup(name="on-call", purpose="Repairs production.", owner="platform", exclusive=True),
        FunctionalGroup(name="support", purpose="Answers customers.", owner="support", approvers=("team",)),
        FunctionalGroup(name="team", purpose="Leads support.", owner="support"),
    )
)
PEOPLE = {"ada": (), "ben": ("access-review", "team"), "cy": ("access-review",), "dee": ("team",), "eve": ()}


@pytest.fixture
def ids(state: MetadataDatabase) -> dict[str, str]:
    """The ids of people, in the groups of PEOPLE."""
    for name, groups in PEOPLE.items():
        users.create_user(state, first_name=name, last_name="X", email=email(name))
        for group in groups:
            users.join_group(state, email(name), group)
    return {name: users.find_user_id(state, email(name)) for name in PEOPLE}


@pytest.fixture
def store(state: MetadataDatabase) -> GrantStore:
    return GrantStore(database=state, groups=GROUPS)


@pytest.fixture
def replica(url: str, clock: Clock) -> Iterator[GrantStore]:
    database = open_database(url, PEPPER, now=clock.now)
    yield GrantStore(database=database, groups=GROUPS)
    database.close()


def email(name: str) -> str:
    return f"{name}@acme.example"


def step(store: GrantStore, actor: str | None) -> GrantStep:
    return GrantStep(at=store.database.now(), actor=actor, reason="ticket 7", record_id="R1")


def request(store: GrantStore, person: str, group: str = "on-call", hours: float = 1) -> Grant:
    asked = AccessRequest(person_id=person, group=GROUPS[group], duration=hours * HOUR)
    return store.request(mint_grant_id(), asked, step(store, person))


def lend(store: GrantStore, person: str, group: str = "on-call", hours: float = 1) -> Grant:
    asked = AccessRequest(person_id=person, group=GROUPS[group], duration=hours * HOUR)
    (lent,) = store.lend({mint_grant_id(): asked}, step(store, "os:root"))
    return lent


def test_a_grant_is_kept_with_every_step_from_request_to_return(
    store: GrantStore, ids: dict[str, str], clock: Clock
) -> None:
    asked = request(store, ids["ada"], "support", 2)
    assert asked == find_grant(store.database, asked.id)
    clock.seconds += 60
    approved = store.approve(asked.id, step(store, ids["ben"]))
    assert (approved.state, approved.active_since, approved.ends_at) == (
        GrantState.ACTIVE,
        clock.now(),
        clock.now() + 2 * HOUR,
    )
    clock.seconds += 60
    returned = store.give_back(asked.id, step(store, ids["ada"]))
    assert returned == find_grant(store.database, asked.id)
    assert (returned.requested, returned.decided) == (asked.requested, approved.decided)
    assert (returned.state, returned.ending, returned.ended) == (
        GrantState.ENDED,
        GrantEnding.RETURNED,
        step(store, ids["ada"]),
    )


def test_approvers_are_the_members_of_access_review_whom_the_register_names(
    store: GrantStore, ids: dict[str, str]
) -> None:
    assert store.list_approvers("support") == {ids["ben"]}
    assert store.list_approvers("on-call") == {ids["ben"], ids["cy"]}
    users.deactivate_user(store.database, email("ben"))
    assert store.list_approvers("on-call") == {ids["cy"]}


def test_a_request_that_nobody_may_approve_is_refused(store: GrantStore, ids: dict[str, str]) -> None:
    with pytest.raises(GrantRefused, match="nobody may approve access to `support`"):
        request(store, ids["ben"], "support")


def test_who_is_a_member_or_gone_asks_for_nothing(store: GrantStore, ids: dict[str, str]) -> None:
    with pytest.raises(GrantRefused, match="is in `team` already"):
        request(store, ids["dee"], "team")
    users.deactivate_user(store.database, email("ada"))
    with pytest.raises(GrantRefused, match="deactivated"):
        request(store, ids["ada"])
    with pytest.raises(GrantRefused, match="there is no grant with this id"):
        store.approve("nowhere", step(store, ids["ben"]))


def test_nobody_lends_a_group_to_themselves_nor_a_part_of_what_is_refused(
    store: GrantStore, ids: dict[str, str]
) -> None:
    asked = AccessRequest(person_id=ids["ada"], group=GROUPS["on-call"], duration=HOUR)
    with pytest.raises(GrantRefused, match="nobody decides on access of their own"):
        store.lend({"g": asked}, step(store, ids["ada"]))
    requests = {"g": replace(asked, group=GROUPS["support"]), "h": replace(asked, duration=9 * HOUR)}
    with pytest.raises(GrantRefused, match="8 hours at most"):
        store.lend(requests, step(store, "os:root"))
    assert list_grants(store.database) == []


def test_time_ends_a_grant_and_the_next_has_its_turn(store: GrantStore, ids: dict[str, str], clock: Clock) -> None:
    first = lend(store, ids["ada"])
    second = lend(store, ids["eve"])
    assert (first.state, second.state) == (GrantState.ACTIVE, GrantState.WAITING)
    clock.seconds += 3599
    assert store.settle() == ()
    clock.seconds += 1
    assert [(grant.person_id, grant.state) for grant in store.settle()] == [
        (ids["ada"], GrantState.ENDED),
        (ids["eve"], GrantState.ACTIVE),
    ]
    assert store.settle() == ()
    assert {grant.person_id: grant.fencing_token for grant in list_grants(store.database)} == {
        ids["ada"]: 1,
        ids["eve"]: 2,
    }


def test_an_early_return_hands_over_in_the_same_transaction(
    store: GrantStore, replica: GrantStore, ids: dict[str, str]
) -> None:
    first, second = lend(store, ids["ada"]), lend(store, ids["eve"])
    store.give_back(first.id, step(store, ids["ada"]))
    assert find_grant(replica.database, second.id).state is GrantState.ACTIVE


def test_who_is_deactivated_hands_over_too(store: GrantStore, ids: dict[str, str]) -> None:
    lend(store, ids["ada"])
    lend(store, ids["eve"])
    users.deactivate_user(store.database, email("ada"))
    assert [(grant.state, grant.ending) for grant in store.settle()] == [
        (GrantState.ENDED, GrantEnding.REVOKED),
        (GrantState.ACTIVE, None),
    ]


def test_what_is_held_ends_with_the_clock_before_anybody_settles(
    store: GrantStore, ids: dict[str, str], clock: Clock
) -> None:
    lend(store, ids["ada"], "support")
    held = list_held_grants(store.database, ids["ada"])
    assert [(grant.group, grant.fencing_token, grant.ends_at) for grant in held] == [("support", 1, clock.now() + HOUR)]
    assert find_ended_grants(store.database, held) == []
    clock.seconds += 3600
    assert list_held_grants(store.database, ids["ada"]) == ()
    assert find_ended_grants(store.database, held) == list(held)


def test_a_fencing_token_that_is_not_the_holders_is_stale(store: GrantStore, ids: dict[str, str], clock: Clock) -> None:
    first = lend(store, ids["ada"])
    lend(store, ids["eve"])
    (held,) = list_held_grants(store.database, ids["ada"])
    forged = replace(held, fencing_token=2)
    assert find_ended_grants(store.database, (forged,)) == [forged]
    with store.database.write_transaction() as connection:
        assert are_tokens_current(connection, {}, clock.now())
        assert are_tokens_current(connection, {first.id: 1}, clock.now())
        assert not are_tokens_current(connection, {first.id: 2}, clock.now())
    store.give_back(first.id, step(store, ids["ada"]))
    with store.database.write_transaction() as connection:
        assert not are_tokens_current(connection, {first.id: 1}, clock.now())


async def test_a_check_that_cannot_be_made_is_no_permission(store: GrantStore, ids: dict[str, str]) -> None:
    lend(store, ids["ada"])
    held, checker = list_held_grants(store.database, ids["ada"]), GrantChecker(store.database)
    assert await checker.find_ended(held) == []
    with store.database.write_transaction() as connection:
        grant_table.drop(connection)
    with pytest.raises(MetadataDatabaseUnavailable):
        await checker.find_ended(held)
    checker.close()


def test_the_database_itself_refuses_a_second_holder(store: GrantStore, ids: dict[str, str]) -> None:
    lend(store, ids["ada"])
    with store.database.read_connection() as connection:
        row = dict(connection.execute(select(grant_table)).one()._mapping)
    for change in ({"person_id": ids["eve"], "fencing_token": 2}, {"slot": ids["eve"], "state": "ENDED"}):
        with pytest.raises(IntegrityError), store.database.write_transaction() as connection:
            connection.execute(insert(grant_table).values({**row, "id": "another", **change}))


def at_once(*acts: Callable[[], object]) -> list[object]:
    """What each act gives, or is refused with, where all begin at the same moment."""
    barrier = Barrier(len(acts))

    def act(function: Callable[[], object]) -> object:
        barrier.wait()
        try:
            return function()
        except GrantRefused as refusal:
            return refusal.reason

    with ThreadPoolExecutor(len(acts)) as threads:
        return list(threads.map(act, acts))


def test_of_several_at_once_one_holds_an_exclusive_group(
    store: GrantStore, replica: GrantStore, ids: dict[str, str]
) -> None:
    stores = (store, replica, store, replica)
    people = [ids[name] for name in ("ada", "ben", "cy", "eve")]
    at_once(*(lambda place=place, id=id: lend(place, id) for place, id in zip(stores, people, strict=True)))
    states = [grant.state for grant in list_grants(store.database)]
    assert sorted(states) == [GrantState.ACTIVE, GrantState.WAITING, GrantState.WAITING, GrantState.WAITING]


def test_two_decisions_at_once_are_one(store: GrantStore, replica: GrantStore, ids: dict[str, str]) -> None:
    asked = request(store, ids["ada"])
    came = at_once(
        lambda: store.approve(asked.id, step(store, ids["ben"])),
        lambda: replica.deny(asked.id, step(replica, ids["cy"])),
    )
    assert sum(isinstance(result, str) for result in came) == 1
    assert find_grant(store.database, asked.id).state in (GrantState.ACTIVE, GrantState.DENIED)


def test_two_forced_returns_at_once_end_a_grant_once_and_give_it_on_once(
    store: GrantStore, replica: GrantStore, ids: dict[str, str]
) -> None:
    first, second = lend(store, ids["ada"]), lend(store, ids["eve"])
    at_once(
        lambda: store.force_return(first.id, step(store, ids["ben"])),
        lambda: replica.force_return(first.id, step(replica, ids["cy"])),
    )
    ended = find_grant(store.database, first.id)
    assert (ended.ending, set(ended.forced_by)) == (GrantEnding.FORCED, {ids["ben"], ids["cy"]})
    assert find_grant(store.database, second.id).fencing_token == 2


def test_replicas_that_settle_at_once_settle_once(
    store: GrantStore, replica: GrantStore, ids: dict[str, str], clock: Clock
) -> None:
    lend(store, ids["ada"])
    lend(store, ids["eve"])
    clock.seconds += 3600
    came = at_once(store.settle, replica.settle, store.settle, replica.settle)
    assert sorted(map(len, came)) == [0, 0, 0, 2]


def test_the_record_says_that_a_return_was_forced_by_one_as_there_was_no_second(
    store: GrantStore, ids: dict[str, str]
) -> None:
    alone = lend(store, ids["ada"], "support")
    store.force_return(alone.id, replace(step(store, ids["ben"]), record_id="R2"))
    one_of_two = lend(store, ids["ada"])
    store.force_return(one_of_two.id, replace(step(store, ids["ben"]), record_id="R3"))
    changes = load_changes(store.database, ["R2", "R3"])
    assert [(record, change.id, change.verb) for record, change in changes] == [
        ("R2", alone.id, "force-return by one approver"),
        ("R3", one_of_two.id, "force-return"),
    ]


def test_nobody_counts_whom_one_who_forces_a_return_let_in_and_whoever_was_removed_is_missed(
    store: GrantStore, ids: dict[str, str], clock: Clock
) -> None:
    lent = lend(store, ids["ada"])
    clock.seconds += 60
    by_ben = Attribution(actor=ids["ben"], reason="x")
    users.leave_group(store.database, email("cy"), "access-review", attribution=by_ben)
    users.join_group(store.database, email("eve"), "access-review", attribution=by_ben)
    states = [store.force_return(lent.id, step(store, ids[name])).state for name in ("ben", "eve")]
    users.join_group(store.database, email("dee"), "access-review", attribution=Attribution(actor="os:root"))
    states.append(store.force_return(lent.id, step(store, ids["dee"])).state)
    assert states == [GrantState.ACTIVE, GrantState.ACTIVE, GrantState.ENDED]
