"""Who asks too often is turned away, named the limit, told when to come again; others are served."""

import pytest

from door.turnstile import Turnstile
from engine.house import Limits


def test_a_key_may_ask_so_often_a_minute_and_others_are_not_held_back() -> None:
    turnstile = Turnstile(Limits(requests_a_minute=3))
    told = [turnstile.asked("ada") for _ in range(4)]
    assert told[:3] == [None, None, None]
    assert told[3] is not None
    assert (told[3].status, 1 <= told[3].after <= 60, told[3].fault.message.partition(",")[0]) == (
        429,
        True,
        "there are more requests a minute than the limit `requests_a_minute` of 3",
    )
    assert turnstile.asked("grace") is None


def test_failed_keys_are_counted_by_address() -> None:
    turnstile = Turnstile(Limits(failed_keys_a_minute=2))
    told = [turnstile.failed("10.0.0.1") for _ in range(3)] + [turnstile.failed("10.0.0.2")]
    assert [each and each.status for each in told] == [None, None, 429, None]


def test_a_full_house_sheds_load_and_has_room_again() -> None:
    turnstile = Turnstile(Limits(concurrency_max=1))
    with turnstile:
        full = turnstile.crowded()
    assert (full and full.status, turnstile.crowded()) == (503, None)


@pytest.mark.parametrize("name", ["requests_a_minute", "failed_keys_a_minute", "concurrency_max"])
def test_every_limit_is_a_setting(name: str) -> None:
    assert getattr(Limits(), name) > 0
