"""Declare mutations: `RowMutation` changes one row, `Saga` changes several rows in several sources."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeAlias

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.names import NoSuchId, parse_id
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import ChangeKind, ChangeResult, RowChange, RowValues

OPTION_FIELDS = ("ifVersion", "reason", "idempotencyKey", "dryRun")

REASON_CHARACTERS = 500

KEY_CHARACTERS = 200

InputFields: TypeAlias = Mapping[str, Any]
"""The fields of the mutation's input, coerced, without OPTION_FIELDS."""

StepResults: TypeAlias = Mapping[str, ChangeResult]
"""What earlier steps changed, by name of the step."""

InputMapper: TypeAlias = Callable[[InputFields, StepResults], RowValues]
"""Maps the input to values by column. Pure: recovery calls it again. Raises ConnectorError with a public reason."""


def always_applies(_: InputFields) -> bool:
    return True


class Compensation(StrEnum):
    """How a step is undone when a later one cannot be applied."""

    INVERSE = "opposite"
    """Delete the row that was created, restore the values that were changed, create the row that was deleted; each
    only if nobody changed the row since, as far as its source has versions."""
    NONE = "none"
    """It cannot be undone: its change stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowMutation:
    """A mutation that changes one row of one type.

    The input's fields are fields of the type; `id`, or the fields that it consists of, name the row.
    """

    field: str
    type: str
    kind: ChangeKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change of a saga. Neighbouring steps of one source share a transaction where the source has them."""

    name: str
    source: str
    collection: str
    kind: ChangeKind
    key: InputMapper = lambda _, __: {}
    values: InputMapper = lambda _, __: {}
    depends_on: tuple[str, ...] = ()
    """The earlier steps whose results `key` and `values` read. They share no transaction with this step, and a dry
    run skips it."""
    compensation: Compensation | Callable[[InputFields, ChangeResult], RowChange] = Compensation.INVERSE
    """Or a function that returns the change which undoes this one; the id of that change is set for it."""
    condition: Callable[[InputFields], bool] = always_applies
    """Pure: whether the saga has this step for this input. No other step depends on a conditional one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saga:
    """A mutation of several steps.

    It returns the change of the first unconditional step in the collection of `type`; `ifVersion` applies to that row.
    """

    field: str
    type: str
    steps: tuple[Step, ...]
    timestamp_fields: tuple[str, ...] = ()
    """Input fields that default to the present time. The time is stored, so recovery uses the same one."""

    def for_input(self, fields: InputFields) -> "Saga":
        """Return the saga with the steps that apply to this input."""
        return replace(self, steps=tuple(step for step in self.steps if step.condition(fields)))


MutationDeclaration: TypeAlias = RowMutation | Saga


@dataclass(frozen=True, slots=True, kw_only=True)
class MutationInput:
    """A mutation's `input` argument, its options apart. An option that is missing or null is None."""

    fields: InputFields
    if_version: str | None
    reason: str | None
    idempotency_key: str | None
    dry_run: bool


def parse_mutation_input(arguments: Mapping[str, Any]) -> MutationInput:
    """Separate the options from the fields of the input.

    Raises ConnectorError (BAD_USER_INPUT), which names the option and its limit.
    """
    return MutationInput(
        fields={name: value for name, value in arguments.items() if name not in OPTION_FIELDS},
        if_version=arguments.get("ifVersion"),
        reason=_check_option_text("reason", arguments.get("reason"), REASON_CHARACTERS),
        idempotency_key=_check_option_text("idempotencyKey", arguments.get("idempotencyKey"), KEY_CHARACTERS),
        dry_run=bool(arguments.get("dryRun")),
    )


def _check_option_text(name: str, text: str | None, max_characters: int) -> str | None:
    if text is None:
        return None
    if not 0 < len(text) <= max_characters or not text.isprintable():
        raise ConnectorError(f"`{name}` takes 1 to {max_characters} printable characters", ErrorCode.BAD_USER_INPUT)
    return text


def parse_id_field(fields: InputFields, field: str, **types: ColumnType) -> RowValues:
    """Parse the id in `field` into values by column; `types` names the parts of the id in order.

    Raises ConnectorError, which names the field.
    """
    try:
        return dict(zip(types, parse_id(tuple(types.values()), fields[field]), strict=True))
    except NoSuchId:
        raise ConnectorError(f"no row can have the id given as `{field}`", ErrorCode.BAD_USER_INPUT) from None
