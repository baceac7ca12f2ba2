"""Convert the inputs and results of jobs, which are dataclasses, and the results of steps to JSON and back."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import orjson

from onedoor.spi.json_values import JsonCodec

DESCRIPTION, LABEL, KIND = "description", "label", "kind"

INTEGER_LIMIT = 2**63


class InvalidJobValue(ValueError):
    """A value does not have its field's type; the message may be shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobField:
    """One field of an input or a result."""

    name: str
    label: str
    """The field's name in GraphQL and JSON."""
    value_type: type
    """The type of its value, or of each item of a list."""
    kind_name: str
    """The name of that type in the version of a declaration."""
    is_list: bool
    optional: bool
    """The value may be None."""
    default: Any
    """MISSING where a value is required."""
    description: str | None


def described(description: str, *, default: Any = MISSING, label: str | None = None, kind: str | None = None) -> Any:
    """Declare a field of an input or a result with its description in the schema.

    `label` and `kind` fix its name and that of its type, so that jobs under way survive a rename in the code; by
    default both follow the code.
    """
    return dataclasses.field(default=default, metadata={DESCRIPTION: description, LABEL: label, KIND: kind})


def list_job_fields(model: type) -> tuple[JobField, ...]:
    """List the fields of an input or a result.

    Raises TypeError, which names the field, where its type is not in READERS.
    """
    annotations = get_type_hints(model)
    return tuple(_build_job_field(model, field, annotations[field.name]) for field in dataclasses.fields(model))


def _build_job_field(model: type, field: dataclasses.Field[Any], annotation: Any) -> JobField:
    alternatives = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    optional = NoneType in alternatives
    value_type = next(alternative for alternative in alternatives if alternative is not NoneType)
    is_list = get_origin(value_type) is tuple
    value_type = get_args(value_type)[0] if is_list else value_type
    value_type = Mapping if get_origin(value_type) is Mapping else value_type
    if len(alternatives) > 1 + optional or not _is_readable(value_type):
        raise TypeError(f"`{model.__name__}.{field.name}` is of a type that no job can take: {annotation}")
    return JobField(
        name=field.name,
        label=field.metadata.get(LABEL) or to_camel_case(field.name),
        value_type=value_type,
        kind_name=field.metadata.get(KIND) or NAMES.get(value_type) or value_type.__name__,
        is_list=is_list,
        optional=optional,
        default=field.default if field.default_factory is MISSING else field.default_factory(),
        description=field.metadata.get(DESCRIPTION),
    )


def _is_readable(value_type: Any) -> bool:
    return value_type in READERS or (isinstance(value_type, type) and issubclass(value_type, StrEnum))


def to_camel_case(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


def build_instance(model: type, values: Any) -> Any:
    """Build an instance from JSON, or from arguments that were coerced already, by label. Raises InvalidJobValue."""
    if not isinstance(values, Mapping):
        raise InvalidJobValue("it must be an object")
    fields = {field.label: field for field in list_job_fields(model)}
    for label in values:
        if label not in fields:
            known = ", ".join(f"`{known_label}`" for known_label in fields) or "nothing"
            raise InvalidJobValue(f"there is no `{label}`, only {known}")
    absent = [field for label, field in fields.items() if label not in values and field.default is MISSING]
    for field in absent:
        if not field.optional:
            raise InvalidJobValue(f"`{field.label}` is missing")
    arguments = {fields[label].name: _read_value(fields[label], value) for label, value in values.items()}
    return model(**arguments, **{field.name: None for field in absent})


def _read_value(field: JobField, value: Any) -> Any:
    if value is None and field.optional:
        return None
    if not field.is_list:
        return _read_item(field, value)
    if not isinstance(value, list | tuple):
        raise InvalidJobValue(f"`{field.label}` must be a list")
    return tuple(_read_item(field, item) for item in value)


def _read_item(field: JobField, value: Any) -> Any:
    try:
        return READERS.get(field.value_type, field.value_type)(value)
    except (ValueError, TypeError, InvalidOperation):
        expected = TYPE_DESCRIPTIONS.get(field.value_type) or _list_members(field.value_type)
        raise InvalidJobValue(f"`{field.label}` must be {expected}") from None


def _list_members(enum: Any) -> str:
    return "one of " + ", ".join(f"`{member}`" for member in enum)


def dump_instance(instance: Any) -> dict[str, Any]:
    """Return the instance as JSON has it, money and times as text.

    Raises InvalidJobValue where a value does not have its field's type.
    """
    fields = list_job_fields(type(instance))
    return {field.label: _dump_value(_read_value(field, getattr(instance, field.name))) for field in fields}


def _dump_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_dump_value(item) for item in value]
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, date) else value


def _build_exact_reader(value_type: type) -> Any:
    def read(value: Any) -> Any:
        if type(value) is not value_type:
            raise TypeError
        return value

    return read


def _read_integer(value: Any) -> int:
    if type(value) is not int or not -INTEGER_LIMIT <= value < INTEGER_LIMIT:
        raise TypeError
    return value


def _read_float(value: Any) -> float:
    if type(value) not in (int, float) or value != value or value in (float("inf"), float("-inf")):
        raise TypeError
    return float(value)


def _read_decimal(value: Any) -> Decimal:
    if type(value) not in (str, int, Decimal):
        raise TypeError
    number = Decimal(value)
    if not number.is_finite() or abs(number.adjusted()) > 40:
        raise TypeError
    return number


def _read_text(value: Any) -> str:
    """Refuse half a surrogate pair, which neither a database nor a script could take."""
    if not isinstance(value, str):
        raise TypeError
    value.encode()
    return str(value)


def _read_date(value: Any) -> date:
    if type(value) is date:
        return value
    return date.fromisoformat(_read_text(value))


def _read_datetime(value: Any) -> datetime:
    time = value if isinstance(value, datetime) else datetime.fromisoformat(_read_text(value))
    if time.tzinfo is None:
        raise ValueError
    return time.astimezone(UTC)


def _read_object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError
    return value


READERS: Mapping[Any, Any] = {
    str: _read_text,
    int: _read_integer,
    float: _read_float,
    bool: _build_exact_reader(bool),
    Decimal: _read_decimal,
    date: _read_date,
    datetime: _read_datetime,
    Mapping: _read_object,
}

NAMES: Mapping[Any, str] = {
    str: "str",
    int: "int",
    float: "float",
    bool: "bool",
    Decimal: "Decimal",
    date: "date",
    datetime: "datetime",
    Mapping: "Mapping",
}
"""By type, its name in versions of declarations; an enum has its own name, so a renamed one is a new declaration."""

TYPE_DESCRIPTIONS: Mapping[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Decimal: "an exact number, as text",
    date: "a day such as `2026-10-31`",
    datetime: "a moment with a zone such as `2026-10-31T12:00:00Z`",
    Mapping: "an object",
}

STEP_CODEC = JsonCodec(list_tag="items", object_tag=None, list_type=list)


def encode_step_result(value: Any) -> str:
    """Encode the result of a step.

    Raises TypeError for a value that could not be decoded to itself, such as an instance of a class.
    """
    try:
        return orjson.dumps(STEP_CODEC.encode(value)).decode()
    except (KeyError, orjson.JSONEncodeError):
        raise TypeError(f"a step gives JSON, money, days and times, not `{type(value).__name__}`") from None


def decode_step_result(text: str) -> Any:
    """Return what a step gave; tuples come back as lists."""
    return STEP_CODEC.decode(orjson.loads(text))
