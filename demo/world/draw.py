"""From a stream and a number to 64 well-mixed bits, and from bits to choices; no state, the same on every machine."""

from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from hashlib import sha256
from typing import TypeVar

SEED = 1
WORD = (1 << 64) - 1
T = TypeVar("T")


@cache
def stream(name: str) -> int:
    """The start of the draws called `name`; different names share nothing."""
    return int.from_bytes(sha256(f"{SEED}:{name}".encode()).digest()[:8])


def draw(start: int, number: int) -> int:
    """The 64 bits at `number` of a stream (splitmix64)."""
    bits = (number * 0x9E3779B97F4A7C15 + start) & WORD
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & WORD
    return bits ^ (bits >> 31)


def pick(choices: Sequence[T], bits: int) -> T:
    """One of the choices, by the low bits; a choice listed twice is twice as likely."""
    return choices[bits % len(choices)]


def money(cents: int) -> Decimal:
    """An amount with its two places."""
    return Decimal(cents).scaleb(-2)
