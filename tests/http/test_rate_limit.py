"""A caller over a rate limit gets the limit's name and the time to come again; others are served."""

import random
from contextlib import ExitStack

import pytest

from onedoor.http.rate_limit import WINDOW_SECONDS, RateLimiter, SlidingWindow
from onedoor.model.catalog import Limits


def test_a_key_may_ask_so_often_a_minute_and_others_are_not_held_back() -> None:
    rate_limiter = RateLimiter(Limits(requests_a_minute=3))
    result = [rate_limiter.count_request("ada") for _ in range(4)]
    assert result[:3] == [None, None, None]
    assert result[3] is not None
    assert (
        result[3].status,
        1 <= int(result[3].headers["retry-after"]) <= 60,
        result[3].errors[0].message.partition(",")[0],
    ) == (
        429,
        True,
        "there are more requests a minute than the limit `requests_a_minute` of 3",
    )
    assert rate_limiter.count_request("grace") is None


def test_failed_keys_are_counted_by_address() -> None:
    rate_limiter = RateLimiter(Limits(failed_keys_a_minute=2))
    result = [rate_limiter.count_failed_key("10.0.0.1") for _ in range(3)] + [rate_limiter.count_failed_key("10.0.0.2")]
    assert [item and item.status for item in result] == [None, None, 429, None]


def test_requests_over_the_capacity_are_refused_until_others_end() -> None:
    rate_limiter = RateLimiter(Limits(concurrency_max=1))
    with rate_limiter.hold_place("ada"):
        full = rate_limiter.check_capacity()
    assert (full and full.status, rate_limiter.check_capacity()) == (503, None)


@pytest.mark.parametrize(("limits", "share"), [
    pytest.param(Limits(concurrency_a_key=3), 3, id="as set"),
    pytest.param(Limits(concurrency_max=4), 2, id="at most half of what all share"),
])  # fmt: skip
def test_a_key_takes_no_more_than_its_share_of_the_places(limits: Limits, share: int) -> None:
    rate_limiter = RateLimiter(limits)
    with ExitStack() as stack:
        for _ in range(share):
            assert rate_limiter.check_place("ada") is None
            stack.enter_context(rate_limiter.hold_place("ada"))
        one_more, other = rate_limiter.check_place("ada"), rate_limiter.check_place("grace")
    assert (one_more and one_more.status, other, rate_limiter.check_place("ada")) == (429, None, None)


def test_a_reader_of_a_file_takes_none_of_the_places_that_all_share() -> None:
    rate_limiter = RateLimiter(Limits(concurrency_max=1))
    with rate_limiter.hold_share("ada"):
        assert (rate_limiter.check_capacity(), rate_limiter.check_share("ada") is None) == (None, False)


@pytest.mark.parametrize(
    "name", ["requests_a_minute", "failed_keys_a_minute", "concurrency_max", "concurrency_a_key", "bodies_a_key"]
)
def test_every_limit_is_a_setting(name: str) -> None:
    assert getattr(Limits(), name) > 0


STEPS = [
    pytest.param([0.0, 1.0, 2.0], [True, True, False], id="no more than its number"),
    pytest.param([0.0, 1.0, 59.9, 60.0], [True, True, False, True], id="one more once the first is a minute old"),
    pytest.param([0.0, 59.0, 60.0, 61.0, 119.0], [True, True, True, False, True], id="wherever the minute begins"),
    pytest.param([0.0, 0.0, 30.0, 60.0], [True, True, False, True], id="one turned away does not count"),
]


@pytest.mark.parametrize(("moments", "passes"), STEPS)
def test_no_minute_sees_more_than_the_limit(moments: list[float], passes: list[bool]) -> None:
    result = iter((0.0, *moments))
    window = SlidingWindow(2, lambda: next(result))
    assert [window.try_acquire("ada") is None for _ in moments] == passes


def test_a_refused_caller_may_come_again_when_the_refusal_says() -> None:
    result = iter((0.0, 10.0, 12.5, 70.0))
    window = SlidingWindow(1, lambda: next(result))
    assert [window.try_acquire("ada") for _ in range(3)] == [None, 57.5, None]


def test_random_steps_are_counted_as_the_plain_way_counts_them() -> None:
    """Against a list of all that ever came."""
    dice, now, came = random.Random(0), 0.0, list[float]()
    window = SlidingWindow(5, lambda: now)
    for _ in range(5_000):
        now += dice.choice((0.0, 0.5, 7.0, 13.0, 60.0))
        passes = sum(item > now - WINDOW_SECONDS for item in came) < 5
        assert (window.try_acquire("ada") is None) == passes
        came += [now] * passes


def test_who_did_not_come_for_a_minute_is_forgotten() -> None:
    result = iter((0.0, *[1.0] * 100, 50.0, 62.0))
    window = SlidingWindow(5, lambda: next(result))
    for number in range(100):
        window.try_acquire(f"10.0.0.{number}")
    window.try_acquire("10.0.1.1")
    window.try_acquire("10.0.1.2")
    assert set(window.arrivals) == {"10.0.1.1", "10.0.1.2"}
