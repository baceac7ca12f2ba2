"""RowMutation, Saga, Step: what an application declares."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeAlias

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.names import NoSuchId, parse_id
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import ChangeKind, ChangeResult, RowChange, RowValues

InputFields: TypeAlias = Mapping[str, Any]
"""The fields of the mutation's input, coerced, but for `ifVersion`, `reason`, `idempotencyKey` and `dryRun`."""

StepResults: TypeAlias = Mapping[str, ChangeResult]
"""By name, what earlier steps made."""

InputMapper: TypeAlias = Callable[[InputFields, StepResults], RowValues]
"""Pure: it is called again when an intent is settled. Raises SourceFailed with what a client may hear."""


def always_applies(_: InputFields) -> bool:
    return True


class Compensation(StrEnum):
    """How a step is undone when a later one cannot be made."""

    INVERSE = "opposite"
    """A row that was made is deleted, one that was changed gets its values back, one that was deleted is made again;
    each only if nobody changed it since, as far as the source tells versions."""
    NONE = "none"
    """It cannot be: what it made stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowMutation:
    """A mutation that makes one change to the row behind one type.

    The input's fields are fields of the type; `id`, or the fields that make it up, name the row.
    """

    field: str
    type: str
    kind: ChangeKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change of a saga. Steps of one source next to one another are one transaction, where it has them."""

    name: str
    source: str
    collection: str
    kind: ChangeKind
    key: InputMapper = lambda _, __: {}
    values: InputMapper = lambda _, __: {}
    depends_on: tuple[str, ...] = ()
    """The earlier steps whose rows `key` and `values` look at: no transaction holds both, no dry run tries it."""
    compensation: Compensation | Callable[[InputFields, ChangeResult], RowChange] = Compensation.INVERSE
    """Or what undoes it, worked out of the input and what it made; the id of that change is set for it."""
    condition: Callable[[InputFields], bool] = always_applies
    """Pure: whether it is a step at all where this is the input. No other step needs one that may not be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saga:
    """A mutation of several steps. It answers with the first that changes the collection of `type`; of that one,
    `ifVersion` is asked."""

    field: str
    type: str
    steps: tuple[Step, ...]
    timestamp_fields: tuple[str, ...] = ()
    """Fields of the input that are now, where they are not given; kept with it, so that they are it for ever."""

    def for_input(self, fields: InputFields) -> "Saga":
        """With the steps that there are where this is the input."""
        return replace(self, steps=tuple(each for each in self.steps if each.condition(fields)))


MutationDeclaration: TypeAlias = RowMutation | Saga

REASON_CHARACTERS = 500

KEY_CHARACTERS = 200

OPTION_FIELDS = ("ifVersion", "reason", "idempotencyKey", "dryRun")


@dataclass(frozen=True, slots=True, kw_only=True)
class MutationInput:
    """`input` without the options; what was not given, or given as null, is None."""

    fields: InputFields
    if_version: str | None
    reason: str | None
    idempotency_key: str | None
    dry_run: bool


def parse_mutation_input(fields: Mapping[str, Any]) -> MutationInput:
    """Raises SourceFailed, BAD_USER_INPUT, which names the option and its limit."""
    return MutationInput(
        fields={name: each for name, each in fields.items() if name not in OPTION_FIELDS},
        if_version=fields.get("ifVersion"),
        reason=_check_option_text("reason", fields.get("reason"), REASON_CHARACTERS),
        idempotency_key=_check_option_text("idempotencyKey", fields.get("idempotencyKey"), KEY_CHARACTERS),
        dry_run=bool(fields.get("dryRun")),
    )


def _check_option_text(name: str, given: str | None, most: int) -> str | None:
    if given is None:
        return None
    if not 0 < len(given) <= most or not given.isprintable():
        raise ConnectorError(f"`{name}` takes 1 to {most} printable characters", ErrorCode.BAD_USER_INPUT)
    return given


def parse_id_field(fields: InputFields, field: str, **types: ColumnType) -> RowValues:
    """By column, as `kinds` names the parts of the id; raises SourceFailed, which names the field."""
    try:
        return dict(zip(types, parse_id(tuple(types.values()), fields[field]), strict=True))
    except NoSuchId:
        raise ConnectorError(f"`{field}` is not the id of anything", ErrorCode.BAD_USER_INPUT) from None
