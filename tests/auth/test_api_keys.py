"""Create, rotate, list and revoke the keys of users."""

from dataclasses import replace
from datetime import timedelta
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import update

from auth import api_keys, users
from auth.api_keys import KeyInfo
from auth.attribution import Attribution, SubjectChange, load_changes
from auth.key_format import derive_demo_key, format_key
from onedoor.errors import ConfigurationError
from onedoor.storage.database import MetadataDatabase
from onedoor.storage.tables import key_table

PEPPER = b"a pepper of at least thirty-two characters"
ADA = "ada@acme.example"


@pytest.fixture(autouse=True)
def ada(state: MetadataDatabase) -> None:
    users.create_user(state, first_name="Ada", last_name="Lovelace", email=ADA)


def test_a_key_opens_for_ninety_days(state: MetadataDatabase) -> None:
    key = api_keys.create_key(state, "ADA@acme.example")
    now = state.now()
    assert api_keys.list_keys(state) == (
        KeyInfo(id=key.id, email=ADA, created_at=now, expires_at=now + timedelta(days=90), revoked_at=None),
    )


def test_a_person_has_one_key(state: MetadataDatabase) -> None:
    api_keys.create_key(state, ADA)
    with pytest.raises(ConfigurationError, match="already has a key: rotate it, or revoke it first"):
        api_keys.create_key(state, ADA)


def test_a_person_has_one_key_though_many_are_made_at_once(state: MetadataDatabase) -> None:
    outcomes: list[str] = []

    def make() -> None:
        try:
            outcomes.append(api_keys.create_key(state, ADA).id)
        except ConfigurationError:
            outcomes.append("refused")

    threads = [Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes)[1:] == ["refused"] * 7 or sorted(outcomes)[:-1] == ["refused"] * 7
    assert len(api_keys.list_keys(state)) == 1


def test_an_expired_key_makes_room_for_a_new_one(state: MetadataDatabase, clock: Any) -> None:
    old = api_keys.create_key(state, ADA, days=1)
    clock.seconds = 86_400
    new = api_keys.create_key(state, ADA)
    assert {held.id: held.revoked_at for held in api_keys.list_keys(state)} == {old.id: state.now(), new.id: None}


def test_rotation_keeps_the_id_and_the_expiry_and_numbers_the_secret(state: MetadataDatabase, clock: Any) -> None:
    old = api_keys.create_key(state, ADA, days=7)
    clock.seconds = 3600
    new = api_keys.rotate_key(state, ADA)
    assert (new.id, new.expires_at, new.secret) == (old.id, old.expires_at, 2)
    (key,) = api_keys.list_keys(state)
    assert (key.secret, key.rotated_at, key.revoked_at) == (2, state.now(), None)


def test_a_former_secret_does_not_take_the_key_from_a_later_one_that_is_in_use(state: MetadataDatabase) -> None:
    old = api_keys.create_key(state, ADA)
    new = api_keys.rotate_key(state, ADA, used_secret=old.secret)
    api_keys.rotate_key(state, ADA, used_secret=old.secret)  # the new one was lost before it was used
    with state.write_transaction() as connection:
        connection.execute(update(key_table).values(previous_until=state.now() + timedelta(hours=1)))
    with pytest.raises(ConfigurationError, match="a later secret of this key is in use"):
        api_keys.rotate_key(state, ADA, used_secret=new.secret - 1)


def test_rotations_at_once_take_turns(state: MetadataDatabase) -> None:
    api_keys.create_key(state, ADA)
    secrets: list[int] = []
    threads = [Thread(target=lambda: secrets.append(api_keys.rotate_key(state, ADA).secret)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(secrets) == [2, 3, 4, 5]


def test_only_an_administrator_lets_a_key_last_longer(state: MetadataDatabase) -> None:
    key = api_keys.create_key(state, ADA, days=7)
    assert api_keys.extend_key(state, ADA, days=30) == key.expires_at + timedelta(days=23)
    with pytest.raises(ConfigurationError, match="lasts until 2026-12-01 already: extend it by more days"):
        api_keys.extend_key(state, ADA, days=30)


def test_an_expired_key_is_extended_or_replaced_and_not_rotated(state: MetadataDatabase, clock: Any) -> None:
    api_keys.create_key(state, ADA, days=1)
    clock.seconds = 86_400
    with pytest.raises(ConfigurationError, match="has no key to rotate: create one"):
        api_keys.rotate_key(state, ADA)
    api_keys.extend_key(state, ADA, days=1)
    assert api_keys.rotate_key(state, ADA).secret == 2


@pytest.mark.parametrize("hours", [-1, 169])
def test_a_former_secret_stays_for_a_week_at_most(state: MetadataDatabase, hours: int) -> None:
    api_keys.create_key(state, ADA)
    with pytest.raises(ConfigurationError, match="can stay for 0 hours to 7 days after the first use"):
        api_keys.rotate_key(state, ADA, grace=timedelta(hours=hours))


def test_there_is_nothing_to_rotate_without_a_key(state: MetadataDatabase) -> None:
    with pytest.raises(ConfigurationError, match="has no key to rotate: create one"):
        api_keys.rotate_key(state, ADA)


def test_a_revoked_key_was_revoked_when_it_first_was(state: MetadataDatabase, clock: Any) -> None:
    key, first = api_keys.create_key(state, ADA), state.now()
    api_keys.revoke_key(state, key.id)
    clock.seconds = 10
    api_keys.revoke_key(state, key.id)
    assert api_keys.list_keys(state)[0].revoked_at == first


def test_revoking_an_unknown_key_offers_the_nearest(state: MetadataDatabase) -> None:
    key = api_keys.create_key(state, ADA)
    with pytest.raises(ConfigurationError, match=f"did you mean `{key.id}`"):
        api_keys.revoke_key(state, key.id[:-1] + "_")


def test_deactivating_a_person_revokes_their_key_and_gives_no_other(state: MetadataDatabase) -> None:
    api_keys.create_key(state, ADA)
    users.deactivate_user(state, ADA)
    assert api_keys.list_keys(state)[0].revoked_at == users.list_users(state)[0].deactivated_at == state.now()
    with pytest.raises(ConfigurationError, match="is deactivated and can have no key"):
        api_keys.create_key(state, ADA)


@pytest.mark.parametrize("days", [0, -1, 3651])
def test_a_key_lasts_between_a_day_and_ten_years(state: MetadataDatabase, days: int) -> None:
    with pytest.raises(ConfigurationError, match=f"a key cannot last {days} days: choose 1 to 3650"):
        api_keys.create_key(state, ADA, days=days)


def test_the_demo_gives_the_same_key_at_each_start(state: MetadataDatabase) -> None:
    assert not api_keys.has_demo_keys(state)
    texts = {api_keys.create_demo_key(state, ADA, "sales").text for _ in range(3)}
    assert texts == {format_key(derive_demo_key(PEPPER, "sales"))}
    assert api_keys.has_demo_keys(state)


def test_a_state_whose_demo_keys_are_revoked_is_no_demo(state: MetadataDatabase) -> None:
    api_keys.revoke_key(state, api_keys.create_demo_key(state, ADA, "sales").id)
    assert not api_keys.has_demo_keys(state)


def test_keys_that_expire_soon_are_those_that_are_valid_now(state: MetadataDatabase, clock: Any) -> None:
    for name, days in (("bob", 1), ("cem", 20), ("dan", 40)):
        users.create_user(state, first_name=name, last_name="E", email=f"{name}@acme.example")
        api_keys.create_key(state, f"{name}@acme.example", days=days)
    clock.seconds = 2 * 86_400
    soon = state.now() + timedelta(days=30)
    assert [key.email for key in api_keys.list_keys(state, expiring_before=soon)] == ["cem@acme.example"]


def test_a_change_is_named_under_its_record_in_the_transaction_that_makes_it(state: MetadataDatabase) -> None:
    by = Attribution(actor="os:root", reason="first key", record_id="R" * 26)
    key = api_keys.create_key(state, ADA, attribution=by)
    with pytest.raises(ConfigurationError):
        api_keys.create_key(state, ADA, attribution=replace(by, record_id="S" * 26))
    users.deactivate_user(state, ADA, replace(by, record_id="T" * 26))
    id = users.find_user_id(state, ADA)
    assert load_changes(state, ["R" * 26, "S" * 26, "T" * 26]) == [
        ("R" * 26, SubjectChange(type="Key", id=key.id, verb="create", person_id=id)),
        ("T" * 26, SubjectChange(type="Key", id=key.id, verb="revoke", person_id=id)),
        ("T" * 26, SubjectChange(type="User", id=id, verb="deactivate", person_id=id)),
    ]


def test_a_key_created_by_hand_is_not_of_the_demo(state: MetadataDatabase) -> None:
    api_keys.create_key(state, ADA)
    assert not api_keys.has_demo_keys(state)
