"""Create, rotate, list and revoke the keys of users."""

from datetime import timedelta
from threading import Thread
from typing import Any

import pytest

from auth import users
from auth.api_keys import derive_demo_key, format_key
from auth.users import KeyInfo
from onedoor.errors import ConfigurationError
from onedoor.storage.database import MetadataDatabase

PEPPER = b"a pepper of at least thirty-two characters"
ADA = "ada@acme.example"


@pytest.fixture(autouse=True)
def ada(state: MetadataDatabase) -> None:
    users.create_user(state, first_name="Ada", last_name="Lovelace", email=ADA)


def test_a_key_opens_for_ninety_days(state: MetadataDatabase) -> None:
    key = users.create_key(state, "ADA@acme.example")
    now = state.now()
    assert users.list_keys(state) == (
        KeyInfo(id=key.id, email=ADA, created_at=now, expires_at=now + timedelta(days=90), revoked_at=None),
    )


def test_a_person_has_one_key(state: MetadataDatabase) -> None:
    users.create_key(state, ADA)
    with pytest.raises(ConfigurationError, match="already has a key: rotate it, or revoke it first"):
        users.create_key(state, ADA)


def test_a_person_has_one_key_though_many_are_made_at_once(state: MetadataDatabase) -> None:
    outcomes: list[str] = []

    def make() -> None:
        try:
            outcomes.append(users.create_key(state, ADA).id)
        except ConfigurationError:
            outcomes.append("refused")

    threads = [Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes)[1:] == ["refused"] * 7 or sorted(outcomes)[:-1] == ["refused"] * 7
    assert len(users.list_keys(state)) == 1


def test_an_expired_key_makes_room_for_a_new_one(state: MetadataDatabase, clock: Any) -> None:
    old = users.create_key(state, ADA, days=1)
    clock.seconds = 86_400
    new = users.create_key(state, ADA)
    assert {held.id: held.revoked_at for held in users.list_keys(state)} == {old.id: state.now(), new.id: None}


def test_rotation_revokes_the_old_key_and_issues_a_new_one(state: MetadataDatabase) -> None:
    old = users.create_key(state, ADA)
    new = users.rotate_key(state, ADA)
    assert {held.id: held.revoked_at for held in users.list_keys(state)} == {old.id: state.now(), new.id: None}


def test_there_is_nothing_to_rotate_without_a_key(state: MetadataDatabase) -> None:
    with pytest.raises(ConfigurationError, match="has no key to rotate: create one"):
        users.rotate_key(state, ADA)


def test_a_revoked_key_was_revoked_when_it_first_was(state: MetadataDatabase, clock: Any) -> None:
    key, first = users.create_key(state, ADA), state.now()
    users.revoke_key(state, key.id)
    clock.seconds = 10
    users.revoke_key(state, key.id)
    assert users.list_keys(state)[0].revoked_at == first


def test_revoking_an_unknown_key_offers_the_nearest(state: MetadataDatabase) -> None:
    key = users.create_key(state, ADA)
    with pytest.raises(ConfigurationError, match=f"did you mean `{key.id}`"):
        users.revoke_key(state, key.id[:-1] + "_")


def test_deactivating_a_person_revokes_their_key_and_gives_no_other(state: MetadataDatabase) -> None:
    users.create_key(state, ADA)
    users.deactivate_user(state, ADA)
    assert users.list_keys(state)[0].revoked_at == users.list_users(state)[0].deactivated_at == state.now()
    with pytest.raises(ConfigurationError, match="is deactivated and can have no key"):
        users.create_key(state, ADA)


@pytest.mark.parametrize("days", [0, -1, 3651])
def test_a_key_lasts_between_a_day_and_ten_years(state: MetadataDatabase, days: int) -> None:
    with pytest.raises(ConfigurationError, match=f"a key cannot last {days} days: choose 1 to 3650"):
        users.create_key(state, ADA, days=days)


def test_the_demo_gives_the_same_key_at_each_start(state: MetadataDatabase) -> None:
    assert not users.has_demo_keys(state)
    texts = {users.create_demo_key(state, ADA, "sales").text for _ in range(3)}
    assert texts == {format_key(derive_demo_key(PEPPER, "sales"))}
    assert users.has_demo_keys(state)


def test_a_state_whose_demo_keys_are_revoked_is_no_demo(state: MetadataDatabase) -> None:
    users.revoke_key(state, users.create_demo_key(state, ADA, "sales").id)
    assert not users.has_demo_keys(state)


def test_a_key_created_by_hand_is_not_of_the_demo(state: MetadataDatabase) -> None:
    users.create_key(state, ADA)
    assert not users.has_demo_keys(state)
