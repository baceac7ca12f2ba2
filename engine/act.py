"""What a mutation does before its selection is answered: something happens, and it leads to one row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from auth.caller import Caller
from engine.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """A root field of a mutation that its caller may ask for, and the arguments it came with, coerced."""

    caller: Caller
    field: str
    arguments: Mapping[str, Any]
    """By name as in the schema; what was not given is not there."""
    record: str
    """The id of the record that the request leaves."""
    until: float
    """When the answer is to be there, on the loop's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """What came of it: the id of the row that the field leads to, or None where it leads to none."""

    id: str | None
    sources: Mapping[str, Source] = field(default_factory=dict)
    """In place of those of the house, for this answer alone: where the row is nowhere else to be read."""
    noted: Mapping[str, Any] = field(default_factory=dict)
    """For the record: `changes`, each as `records.record.Changed` has it; no value in clear."""


class Action(Protocol):
    """Does what a root field of `Mutation` says. Its caller was judged before, its arguments are valid."""

    async def __call__(self, act: Act) -> Acted:
        """Raises SourceFailed with what a client may hear: its field is then null."""
        ...
