"""Dataclass and step results <-> JSON."""

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

from onedoor.spi.json_values import decode_json_value, encode_json_value

DESCRIPTION, LABEL, KIND = "description", "label", "kind"

INTEGER_LIMIT = 2**63


class InvalidJobValue(ValueError):
    """A value that is not of its field's type; the message may be shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobField:
    """One field: `label` is its name in GraphQL and JSON, `kind` the type of its value, or of each of many.

    `kind_name` is what versions of declarations call that type.
    """

    name: str
    label: str
    value_type: type
    kind_name: str
    is_list: bool
    optional: bool
    """It may be None."""
    default: Any
    """MISSING where it must be given."""
    description: str | None


def described(description: str, *, default: Any = MISSING, label: str | None = None, kind: str | None = None) -> Any:
    """A field of an input or a result, with what the schema says of it.

    `label` and `kind` hold its name and that of its type for ever, as jobs under way were started with; without them
    they are as the code has them.
    """
    return dataclasses.field(default=default, metadata={DESCRIPTION: description, LABEL: label, KIND: kind})


def list_job_fields(model: type) -> tuple[JobField, ...]:
    """Raises TypeError, naming the field, where a type is none that can be kept."""
    types = get_type_hints(model)
    return tuple(_build_job_field(each, types[each.name], model) for each in dataclasses.fields(model))


def _build_job_field(each: Any, wanted: Any, made: type) -> JobField:
    kinds = get_args(wanted) if get_origin(wanted) in (Union, UnionType) else (wanted,)
    optional = NoneType in kinds
    kind = next(one for one in kinds if one is not NoneType)
    many = get_origin(kind) is tuple
    kind = get_args(kind)[0] if many else kind
    kind = Mapping if get_origin(kind) is Mapping else kind
    if not (kind in READERS or (isinstance(kind, type) and issubclass(kind, StrEnum))) or len(kinds) > 1 + optional:
        raise TypeError(f"`{made.__name__}.{each.name}` is of a type that no job can take: {wanted}")
    default = each.default if each.default_factory is MISSING else each.default_factory()
    description = each.metadata.get(DESCRIPTION)
    return JobField(
        name=each.name, label=each.metadata.get(LABEL) or to_camel_case(each.name), value_type=kind,
        kind_name=each.metadata.get(KIND) or NAMES.get(kind) or kind.__name__, is_list=many, optional=optional,
        default=default, description=description,
    )  # fmt: skip


def to_camel_case(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


def build_instance(model: type, values: Any) -> Any:
    """An instance, of JSON or of arguments that were coerced already, by label. Raises Misfit."""
    if not isinstance(values, Mapping):
        raise InvalidJobValue("it must be an object")
    known = {each.label: each for each in list_job_fields(model)}
    for label in values:
        if label not in known:
            raise InvalidJobValue(
                f"there is no `{label}`, only " + (", ".join(f"`{one}`" for one in known) or "nothing")
            )
    for label, each in known.items():
        if label not in values and each.default is MISSING and not each.optional:
            raise InvalidJobValue(f"`{label}` is missing")
    missing = {each.name: None for label, each in known.items() if label not in values and each.default is MISSING}
    return model(**{known[label].name: _read_value(known[label], value) for label, value in values.items()}, **missing)


def _read_value(field: JobField, value: Any) -> Any:
    if value is None and field.optional:
        return None
    if field.is_list:
        if not isinstance(value, list | tuple):
            raise InvalidJobValue(f"`{field.label}` must be a list")
        return tuple(_read_item(field, each) for each in value)
    return _read_item(field, value)


def _read_item(field: JobField, value: Any) -> Any:
    try:
        return READERS[field.value_type](value) if field.value_type in READERS else field.value_type(value)
    except (ValueError, TypeError, InvalidOperation):
        raise InvalidJobValue(
            f"`{field.label}` must be {TYPE_DESCRIPTIONS.get(field.value_type) or _list_members(field.value_type)}"
        ) from None


def _list_members(kind: Any) -> str:
    return "one of " + ", ".join(f"`{each}`" for each in kind)


def dump_instance(instance: Any) -> dict[str, Any]:
    """As JSON has it: money and times as text. Raises Misfit where a value is not of its field's type."""
    return {
        each.label: _dump_value(_read_value(each, getattr(instance, each.name)))
        for each in list_job_fields(type(instance))
    }


def _dump_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_dump_value(each) for each in value]
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, date) else value


def _build_exact_reader(kind: type) -> Any:
    def read(value: Any) -> Any:
        if type(value) is not kind:
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
    read = Decimal(value)
    if not read.is_finite() or abs(read.adjusted()) > 40:
        raise TypeError
    return read


def _read_text(value: Any) -> str:
    """Half a surrogate pair is no text that a database or a script could be given."""
    if not isinstance(value, str):
        raise TypeError
    value.encode()
    return str(value)


def _read_date(value: Any) -> date:
    if type(value) is date:
        return value
    return date.fromisoformat(_read_text(value))


def _read_datetime(value: Any) -> datetime:
    read = value if isinstance(value, datetime) else datetime.fromisoformat(_read_text(value))
    if read.tzinfo is None:
        raise ValueError
    return read.astimezone(UTC)


def _read_object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError
    return value


READERS: Mapping[Any, Any] = {
    str: _read_text, int: _read_integer, float: _read_float, bool: _build_exact_reader(bool), Decimal: _read_decimal, date: _read_date,
    datetime: _read_datetime, Mapping: _read_object,
}  # fmt: skip

NAMES: Mapping[Any, str] = {
    str: "str", int: "int", float: "float", bool: "bool", Decimal: "Decimal", date: "date", datetime: "datetime",
    Mapping: "Mapping",
}  # fmt: skip
"""An enum of a company's goes by its own name there, so that one that is renamed is declared anew."""

TYPE_DESCRIPTIONS: Mapping[Any, str] = {
    str: "text", int: "a whole number", float: "a number", bool: "true or false", Decimal: "an exact number, as text",
    date: "a day such as `2026-10-31`", datetime: "a moment with a zone such as `2026-10-31T12:00:00Z`",
    Mapping: "an object",
}  # fmt: skip

LIST_TAG = "items"


def encode_step_result(value: Any) -> str:
    """TypeError for what is none of it: a step must give what can be told again."""
    try:
        return orjson.dumps(_pack_json(value)).decode()
    except (KeyError, orjson.JSONEncodeError):
        raise TypeError(f"a step gives JSON, money, days and times, not `{type(value).__name__}`") from None


def decode_step_result(text: str) -> Any:
    """Tuples come back as lists."""
    return _unpack_json(orjson.loads(text))


def _pack_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_check_key(name): _pack_json(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [LIST_TAG, [_pack_json(each) for each in value]]
    return encode_json_value(value)


def _check_key(name: Any) -> str:
    if not isinstance(name, str):
        raise KeyError(name)
    return name


def _unpack_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _unpack_json(each) for name, each in value.items()}
    if isinstance(value, list) and value[0] == LIST_TAG:
        return [_unpack_json(each) for each in value[1]]
    return decode_json_value(value)
