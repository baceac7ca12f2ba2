"""What an operator asked for cannot be done: the one sentence that says so and what would do."""

from collections.abc import Iterable
from difflib import get_close_matches


class Mistake(Exception):
    """Something the operator can put right. Its message is one sentence and holds no secret, so it may be printed."""


def unknown(kind: str, name: str, known: Iterable[str]) -> Mistake:
    """The mistake of a name that is not registered: it offers the nearest that is, or else all of them."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    remedy = f"did you mean `{near[0]}`" if near else "there are " + ", ".join(f"`{each}`" for each in names)
    return Mistake(f"there is no {kind} `{name}`: {remedy}")
