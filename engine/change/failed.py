"""Why a change was not made, or not wholly, as a client hears it and a record keeps it."""

from collections.abc import Mapping
from typing import Any

from engine.errors import Code, SourceFailed

AGAIN = "it is on record and will be settled, ask again with the same `idempotencyKey`"


class ChangeFailed(SourceFailed):
    """`noted` is as `Acted.noted`: what stands all the same."""

    def __init__(self, reason: str, code: Code, noted: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason, code)
        self.noted = noted or {}


def unsettled(intent_id: str, reason: str) -> ChangeFailed:
    return ChangeFailed(f"{reason}; what came of change `{intent_id}` is not known yet: {AGAIN}", Code.CHANGE_UNSETTLED)


def partly(intent_id: str, stands: str, noted: Mapping[str, Any] | None = None) -> ChangeFailed:
    """Said in the same words whenever it is asked for."""
    return ChangeFailed(f"change `{intent_id}` was made in part: {stands}", Code.CHANGE_UNSETTLED, noted)
