"""Calls of a method to the seconds it must wait: a bucket for each method, filled evenly over the minute."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MINUTE = 60.0
GENEROUS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Calls a minute, by method and for all others; `buckets` holds each method's (calls left, when)."""

    by_method: Mapping[str, int]
    others: int
    buckets: dict[str, tuple[float, float]] = field(default_factory=dict)


def rates(given: Sequence[str]) -> Rates:
    """From options: `50` for every method, `conversations.history=50` for one. ValueError: no such form."""
    pairs = [text.rpartition("=") for text in given]
    return Rates(
        by_method={method: int(rate) for method, _, rate in pairs if method},
        others=next((int(rate) for method, _, rate in pairs if not method), GENEROUS),
    )


def wait(limits: Rates, method: str, now: float) -> int:
    """0 and the call is counted, or the whole seconds until the next one is let in."""
    rate = limits.by_method.get(method, limits.others)
    left, since = limits.buckets.get(method, (float(rate), now))
    left = min(float(rate), left + (now - since) * rate / MINUTE)
    if left < 1:
        limits.buckets[method] = (left, now)
        return math.ceil((1 - left) * MINUTE / rate)
    limits.buckets[method] = (left - 1, now)
    return 0
