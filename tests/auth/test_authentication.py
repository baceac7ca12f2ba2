"""Authenticate the principal of a key."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from threading import Event
from typing import Any, TypeVar

import pytest
from sqlalchemy import text

from auth import api_keys, users
from auth.attribution import UNATTRIBUTED
from auth.authentication import Authenticator, Principal, look_up_key, open_authenticator
from auth.key_format import KEY_RANDOM_BYTES, format_key, hash_secret, mint_key, parse_key
from auth.memberships import MembershipKey, confirm_membership
from onedoor.errors import ConfigurationError
from onedoor.storage.database import MetadataDatabase, MetadataDatabaseUnavailable
from tests import acme

Result = TypeVar("Result")
ADA = "ada@acme.example"
STRANGER = format_key(mint_key(bytes(range(KEY_RANDOM_BYTES))))


@pytest.fixture(autouse=True)
def ada(state: MetadataDatabase) -> None:
    users.create_user(state, first_name="Ada", last_name="Lovelace", email=ADA)
    users.join_group(state, ADA, "finance")


@pytest.fixture
def steps() -> Counter[str]:
    return Counter()


@pytest.fixture
def authenticator(state: MetadataDatabase, clock: Any, steps: Counter[str]) -> Iterator[Authenticator]:
    """The callers of the state, their steps counted."""

    def counted(name: str, step: Callable[[str], Result]) -> Callable[[str], Result]:
        def run(asked: str) -> Result:
            steps[name] += 1
            return step(asked)

        return run

    authenticator = Authenticator(
        look_up=counted("look-up", partial(look_up_key, state, acme.GROUPS)),
        compute_digest=counted("HMAC", partial(hash_secret, state.pepper)),
        now=state.now,
        monotonic=clock.monotonic,
    )
    yield authenticator
    authenticator.close()


def swapped(state: MetadataDatabase) -> str:
    """A key with the id of one that opens and the secret of another."""
    held, other = parse_key(api_keys.create_key(state, ADA).text), parse_key(STRANGER)
    assert held is not None
    assert other is not None
    return format_key(replace(held, secret=other.secret))


def revoked(state: MetadataDatabase) -> str:
    key = api_keys.create_key(state, ADA)
    api_keys.revoke_key(state, key.id)
    return key.text


def deactivated(state: MetadataDatabase) -> str:
    key = api_keys.create_key(state, ADA)
    users.deactivate_user(state, ADA)
    return key.text


def expired(state: MetadataDatabase) -> str:
    key = api_keys.create_key(state, ADA)
    with state.write_transaction() as connection:
        connection.execute(text("UPDATE key SET expires_at = created_at"))
    return key.text


REASONS: dict[str, Callable[[MetadataDatabase], str | None]] = {
    "no key": lambda state: None,
    "malformed": lambda state: "od_nonsense",
    "checksum": lambda state: STRANGER[:-1] + ("0" if STRANGER[-1] != "0" else "1"),
    "unknown": lambda state: STRANGER,
    "wrong secret": swapped,
    "expired": expired,
    "revoked": revoked,
    "deactivated": deactivated,
}


@pytest.mark.parametrize("reason", REASONS)
async def test_every_refusal_is_the_same_and_costs_the_same_steps(
    state: MetadataDatabase, authenticator: Authenticator, steps: Counter[str], reason: str
) -> None:
    brought = REASONS[reason](state)
    refusals = [await authenticator.authenticate(brought) for _ in range(3)]
    assert refusals == [None] * 3
    assert steps == {"HMAC": 3, "look-up": 3}


async def test_the_key_of_a_person_opens_with_the_groups_they_are_in(
    state: MetadataDatabase, authenticator: Authenticator
) -> None:
    key, person = api_keys.create_key(state, ADA), users.list_users(state)[0]
    assert await authenticator.authenticate(key.text) == Principal(
        person_id=person.id, first_name="Ada", last_name="Lovelace", email=ADA,
        groups=frozenset({"everyone", "finance"}), grants=(),
        key_id=key.id, key_created=state.now(), key_expires=key.expires_at, secret=1,
        memberships=person.memberships,
    )  # fmt: skip


async def test_a_group_no_longer_registered_counts_for_nothing(state: MetadataDatabase) -> None:
    users.join_group(state, ADA, "sales")
    with state.write_transaction() as connection:
        connection.execute(text("UPDATE membership SET group_name = 'owners' WHERE group_name = 'finance'"))
    with closing(open_authenticator(state, acme.GROUPS)) as authenticator:
        caller = await authenticator.authenticate(api_keys.create_key(state, ADA).text)
    assert caller is not None
    assert caller.groups == {"everyone", "sales"}


CHANGES: dict[str, Callable[[MetadataDatabase, str], object]] = {
    "revoked": lambda state, key_id: api_keys.revoke_key(state, key_id),
    "rotated at once": lambda state, key_id: api_keys.rotate_key(state, ADA, grace=None),
    "deactivated": lambda state, key_id: users.deactivate_user(state, ADA),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_revoked_key_is_refused_within_a_second(
    state: MetadataDatabase, authenticator: Authenticator, clock: Any, change: str
) -> None:
    key = api_keys.create_key(state, ADA)
    assert await authenticator.authenticate(key.text) is not None
    CHANGES[change](state, key.id)
    clock.seconds += 1.0
    assert await authenticator.authenticate(key.text) is None


async def test_who_leaves_a_group_is_out_of_it_within_a_second(
    state: MetadataDatabase, authenticator: Authenticator, clock: Any
) -> None:
    key = api_keys.create_key(state, ADA)
    await authenticator.authenticate(key.text)
    users.leave_group(state, ADA, "finance")
    clock.seconds += 1.0
    caller = await authenticator.authenticate(key.text)
    assert caller is not None
    assert caller.groups == {"everyone"}


async def test_a_key_expires_on_time_though_its_look_up_is_fresh(
    state: MetadataDatabase, authenticator: Authenticator, clock: Any
) -> None:
    key = api_keys.create_key(state, ADA, days=1)
    clock.seconds = 86_399.5
    assert await authenticator.authenticate(key.text) is not None
    clock.seconds = 86_400.0
    assert await authenticator.authenticate(key.text) is None


async def test_a_key_is_looked_up_once_a_second_however_many_bring_it(
    state: MetadataDatabase,
    authenticator: Authenticator,
    clock: Any,
    steps: Counter[str],
) -> None:
    key = api_keys.create_key(state, ADA)
    for second in range(3):
        clock.seconds = float(second)
        assert None not in await asyncio.gather(*(authenticator.authenticate(key.text) for _ in range(200)))
        clock.seconds += 0.9
        await authenticator.authenticate(key.text)
    assert steps == {"HMAC": 603, "look-up": 3}


async def test_a_wrong_secret_is_refused_though_the_right_one_is_remembered(
    state: MetadataDatabase, authenticator: Authenticator
) -> None:
    key, stranger = api_keys.create_key(state, ADA), parse_key(STRANGER)
    held = parse_key(key.text)
    assert held is not None
    assert stranger is not None
    assert await authenticator.authenticate(key.text) is not None
    assert await authenticator.authenticate(format_key(replace(held, secret=stranger.secret))) is None


async def test_what_is_remembered_is_bounded_and_forgets_strangers(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth.authentication.LOOKUPS_MAX", 100)
    authenticator = Authenticator(
        look_up=lambda key_id: None, compute_digest=lambda secret: secret.encode(), now=clock.now
    )
    await asyncio.gather(
        *(
            authenticator.authenticate(format_key(mint_key(number.to_bytes(KEY_RANDOM_BYTES, "little"))))
            for number in range(200)
        )
    )
    authenticator.close()
    assert len(authenticator._lookups) == 0


async def test_one_who_gives_up_waiting_does_not_take_the_others_along(state: MetadataDatabase, clock: Any) -> None:
    key, gate = api_keys.create_key(state, ADA), Event()

    def slow(key_id: str) -> object:
        gate.wait(5)
        return look_up_key(state, acme.GROUPS, key_id)

    authenticator = Authenticator(
        look_up=slow, compute_digest=partial(hash_secret, state.pepper), now=clock.now, monotonic=clock.monotonic
    )
    first, second = (asyncio.create_task(authenticator.authenticate(key.text)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    gate.set()
    assert await second is not None
    assert first.cancelled()
    authenticator.close()


async def test_nobody_is_let_in_nor_refused_while_the_state_is_silent(state: MetadataDatabase) -> None:
    authenticator = open_authenticator(state, acme.GROUPS)
    key = api_keys.create_key(state, ADA)
    with state.write_transaction() as connection:
        connection.execute(text("ALTER TABLE key RENAME TO gone"))
    with pytest.raises(MetadataDatabaseUnavailable, match=r"^the metadata database does not answer$"):
        await authenticator.authenticate(key.text)
    with state.write_transaction() as connection:
        connection.execute(text("ALTER TABLE gone RENAME TO key"))
    assert await authenticator.authenticate(key.text) is not None
    authenticator.close()


@pytest.fixture
def known(state: MetadataDatabase, clock: Any) -> Iterator[Authenticator]:
    """An authenticator that writes uses down."""
    with closing(open_authenticator(state, acme.GROUPS, monotonic=clock.monotonic)) as authenticator:
        yield authenticator


async def use(authenticator: Authenticator, clock: Any, *keys: api_keys.IssuedKey) -> list[int | None]:
    """Send keys a second later, and return the number of the secret by which each came in."""
    clock.seconds += 1.0
    principals = [await authenticator.authenticate(key.text) for key in keys]
    authenticator._use_thread.submit(lambda: None).result()
    return [principal and principal.secret for principal in principals]


async def test_a_former_secret_lives_until_the_new_one_is_used_and_an_hour(
    state: MetadataDatabase, known: Authenticator, clock: Any
) -> None:
    old = api_keys.create_key(state, ADA)
    new = api_keys.rotate_key(state, ADA)
    clock.seconds += 30 * 86_400
    assert await use(known, clock, old) == [1]
    assert await use(known, clock, new, old) == [2, 1]
    clock.seconds += 3_598
    assert await use(known, clock, new, old) == [2, 1]
    assert await use(known, clock, new, old) == [2, None]


async def test_a_rotation_replaces_a_secret_that_nobody_used(
    state: MetadataDatabase, known: Authenticator, clock: Any
) -> None:
    first = api_keys.create_key(state, ADA)
    unused, third = api_keys.rotate_key(state, ADA), api_keys.rotate_key(state, ADA)
    assert await use(known, clock, first, unused, third) == [1, None, 3]
    fourth = api_keys.rotate_key(state, ADA)
    assert await use(known, clock, first, third, fourth) == [None, 3, 4]


async def test_whoever_rotates_keeps_the_secret_that_they_use(
    state: MetadataDatabase, known: Authenticator, clock: Any
) -> None:
    first = api_keys.create_key(state, ADA)
    second = api_keys.rotate_key(state, ADA)
    third = api_keys.rotate_key(state, ADA, used_secret=2)
    assert await use(known, clock, first, second, third) == [None, 2, 3]


async def test_the_last_use_is_written_down_once_a_minute(
    state: MetadataDatabase, known: Authenticator, clock: Any
) -> None:
    key, used = api_keys.create_key(state, ADA), []
    for seconds in (0, 58, 60, 61):
        clock.seconds = float(seconds)
        await use(known, clock, key)
        used.append((api_keys.list_keys(state)[0].used_at - clock.now()).total_seconds())
    assert used == [0.0, -58.0, 0.0, -1.0]


async def test_a_use_that_cannot_be_written_down_changes_nothing_for_its_user(
    state: MetadataDatabase, known: Authenticator, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = api_keys.create_key(state, ADA)
    unwritable = replace(state, engine=None)
    monkeypatch.setattr(known, "_record_use", partial(api_keys.record_key_use, unwritable))
    assert await use(known, clock, key) == [1]


async def test_a_service_has_a_key_while_a_group_answers_for_it(
    state: MetadataDatabase, known: Authenticator, clock: Any
) -> None:
    users.create_service(state, name="till-7", owner_group="sales")
    users.join_group(state, "till-7", "finance")
    key = api_keys.create_key(state, "till-7")
    principal = await known.authenticate(key.text)
    assert principal is not None
    assert (principal.owner_group, principal.groups) == ("sales", {"everyone", "finance"})
    with state.write_transaction() as connection:
        connection.execute(text("UPDATE person SET owner_group = 'gone' WHERE owner_group = 'sales'"))
    assert await use(known, clock, key) == [None]


async def test_a_user_is_in_the_groups_of_all_sources_and_each_ends_its_own(
    state: MetadataDatabase, known: Authenticator, clock: Any
) -> None:
    key, now = api_keys.create_key(state, ADA), state.now()
    by_directory = MembershipKey(person_id=users.find_user_id(state, ADA), group="finance", source="ldap")
    with state.write_transaction() as connection:
        assert confirm_membership(connection, by_directory, now=now, attribution=UNATTRIBUTED)
        assert not confirm_membership(connection, by_directory, now=now, attribution=UNATTRIBUTED)
    principal = await known.authenticate(key.text)
    assert [(each.group, each.source) for each in principal.memberships] == [
        ("everyone", "local"), ("finance", "ldap"), ("finance", "local"),
    ]  # fmt: skip
    users.leave_group(state, ADA, "finance")
    clock.seconds += 1.0
    assert (await known.authenticate(key.text)).groups == {"everyone", "finance"}
    with pytest.raises(ConfigurationError, match="is in the group `finance` by `ldap`: end it there"):
        users.leave_group(state, ADA, "finance")
