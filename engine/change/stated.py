"""The input of a mutation in, what is to be changed and how it is meant out. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.change.declared import Input
from engine.errors import Code, SourceFailed

REASON_CHARACTERS = 500
KEY_CHARACTERS = 200
OPTIONS = ("ifVersion", "reason", "idempotencyKey", "dryRun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """`input` without the options; what was not given, or given as null, is None."""

    input: Input
    if_version: str | None
    reason: str | None
    idempotency_key: str | None
    dry: bool


def stated(given: Mapping[str, Any]) -> Stated:
    """Raises SourceFailed, BAD_USER_INPUT, which names the option and its limit."""
    return Stated(
        input={name: each for name, each in given.items() if name not in OPTIONS},
        if_version=given.get("ifVersion"),
        reason=_short("reason", given.get("reason"), REASON_CHARACTERS),
        idempotency_key=_short("idempotencyKey", given.get("idempotencyKey"), KEY_CHARACTERS),
        dry=bool(given.get("dryRun")),
    )


def _short(name: str, given: str | None, most: int) -> str | None:
    if given is None:
        return None
    if not 0 < len(given) <= most or not given.isprintable():
        raise SourceFailed(f"`{name}` takes 1 to {most} printable characters", Code.BAD_USER_INPUT)
    return given
