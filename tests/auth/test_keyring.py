"""The keys in the state."""

from datetime import timedelta
from threading import Thread
from typing import Any

import pytest

from auth import keyring, people
from auth.keyring import Held
from auth.keys import demo_key, written
from auth.mistake import Mistake
from auth.state import State

PEPPER = b"a pepper of at least thirty-two characters"
ADA = "ada@acme.example"


@pytest.fixture(autouse=True)
def ada(state: State) -> None:
    people.create(state, first_name="Ada", last_name="Lovelace", email=ADA)


def test_a_key_opens_for_ninety_days(state: State) -> None:
    made = keyring.create(state, "ADA@acme.example")
    now = state.now()
    assert keyring.listed(state) == (
        Held(id=made.id, email=ADA, created_at=now, expires_at=now + timedelta(days=90), revoked_at=None),
    )


def test_a_person_has_one_key(state: State) -> None:
    keyring.create(state, ADA)
    with pytest.raises(Mistake, match="already has a key: rotate it, or revoke it first"):
        keyring.create(state, ADA)


def test_a_person_has_one_key_though_many_are_made_at_once(state: State) -> None:
    outcomes: list[str] = []

    def make() -> None:
        try:
            outcomes.append(keyring.create(state, ADA).id)
        except Mistake:
            outcomes.append("refused")

    threads = [Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes)[1:] == ["refused"] * 7 or sorted(outcomes)[:-1] == ["refused"] * 7
    assert len(keyring.listed(state)) == 1


def test_an_expired_key_makes_room_for_a_new_one(state: State, clock: Any) -> None:
    old = keyring.create(state, ADA, days=1)
    clock.seconds = 86_400
    new = keyring.create(state, ADA)
    assert {held.id: held.revoked_at for held in keyring.listed(state)} == {old.id: state.now(), new.id: None}


def test_rotation_shuts_the_old_key_and_opens_a_new_one(state: State) -> None:
    old = keyring.create(state, ADA)
    new = keyring.rotate(state, ADA)
    assert {held.id: held.revoked_at for held in keyring.listed(state)} == {old.id: state.now(), new.id: None}


def test_there_is_nothing_to_rotate_without_a_key(state: State) -> None:
    with pytest.raises(Mistake, match="has no key to rotate: create one"):
        keyring.rotate(state, ADA)


def test_a_revoked_key_was_revoked_when_it_first_was(state: State, clock: Any) -> None:
    made, first = keyring.create(state, ADA), state.now()
    keyring.revoke(state, made.id)
    clock.seconds = 10
    keyring.revoke(state, made.id)
    assert keyring.listed(state)[0].revoked_at == first


def test_revoking_an_unknown_key_offers_the_nearest(state: State) -> None:
    made = keyring.create(state, ADA)
    with pytest.raises(Mistake, match=f"did you mean `{made.id}`"):
        keyring.revoke(state, made.id[:-1] + "_")


def test_deactivating_a_person_revokes_their_key_and_gives_no_other(state: State) -> None:
    keyring.create(state, ADA)
    people.deactivate(state, ADA)
    assert keyring.listed(state)[0].revoked_at == people.listed(state)[0].deactivated_at == state.now()
    with pytest.raises(Mistake, match="is deactivated and can have no key"):
        keyring.create(state, ADA)


@pytest.mark.parametrize("days", [0, -1, 3651])
def test_a_key_lasts_between_a_day_and_ten_years(state: State, days: int) -> None:
    with pytest.raises(Mistake, match=f"a key cannot last {days} days: choose 1 to 3650"):
        keyring.create(state, ADA, days=days)


def test_the_demo_gives_the_same_key_at_each_start(state: State) -> None:
    assert not keyring.made_by_demo(state)
    texts = {keyring.create_demo(state, ADA, "sales").text for _ in range(3)}
    assert texts == {written(demo_key(PEPPER, "sales"))}
    assert keyring.made_by_demo(state)


def test_a_state_whose_demo_keys_are_revoked_is_no_demo(state: State) -> None:
    keyring.revoke(state, keyring.create_demo(state, ADA, "sales").id)
    assert not keyring.made_by_demo(state)


def test_a_key_created_by_hand_is_not_of_the_demo(state: State) -> None:
    keyring.create(state, ADA)
    assert not keyring.made_by_demo(state)
