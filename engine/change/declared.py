"""The words resolvers/ declare a mutation with: one change to one row, or a saga of several."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeAlias

from engine.change.words import Change, Made, Values, Verb

Input: TypeAlias = Mapping[str, Any]
"""The fields of the mutation's input, coerced, but for `ifVersion`, `reason`, `idempotencyKey` and `dryRun`."""
Before: TypeAlias = Mapping[str, Made]
"""By name, what earlier steps made."""
From: TypeAlias = Callable[[Input, Before], Values]
"""Pure: it is called again when an intent is settled. Raises SourceFailed with what a client may hear."""


def always(_: Input) -> bool:
    return True


class Undo(StrEnum):
    """How a step is undone when a later one cannot be made."""

    OPPOSITE = "opposite"
    """A row that was made is deleted, one that was changed gets its values back, one that was deleted is made again;
    each only if nobody changed it since, as far as the source tells versions."""
    NONE = "none"
    """It cannot be: what it made stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """A mutation that makes one change to the row behind one type.

    The input's fields are fields of the type; `id`, or the fields that make it up, name the row.
    """

    field: str
    type: str
    verb: Verb


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change of a saga. Steps of one source next to one another are one transaction, where it has them."""

    name: str
    source: str
    collection: str
    verb: Verb
    key: From = lambda _, __: {}
    values: From = lambda _, __: {}
    needs: tuple[str, ...] = ()
    """The earlier steps whose rows `key` and `values` look at: no transaction holds both, no dry run tries it."""
    undo: Undo | Callable[[Input, Made], Change] = Undo.OPPOSITE
    """Or what undoes it, worked out of the input and what it made; the id of that change is set for it."""
    when: Callable[[Input], bool] = always
    """Pure: whether it is a step at all where this is the input. No other step needs one that may not be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saga:
    """A mutation of several steps. It answers with the first that changes the collection of `type`; of that one,
    `ifVersion` is asked."""

    field: str
    type: str
    steps: tuple[Step, ...]
    stamps: tuple[str, ...] = ()
    """Fields of the input that are now, where they are not given; kept with it, so that they are it for ever."""

    def of(self, given: Input) -> "Saga":
        """With the steps that there are where this is the input."""
        return replace(self, steps=tuple(each for each in self.steps if each.when(given)))


Declared: TypeAlias = Changes | Saga
