"""Frozen dataclasses of inputs and results: their fields told, made of JSON or of arguments, and as JSON again."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

DESCRIPTION, LABEL, KIND = "description", "label", "kind"
LARGEST = 2**63


class Misfit(ValueError):
    """A value that is not of its field's type; the message may be shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field: `label` is its name in GraphQL and JSON, `kind` the type of its value, or of each of many.

    `kind_name` is what versions of declarations call that type.
    """

    name: str
    label: str
    kind: type
    kind_name: str
    many: bool
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


def fields_of(made: type) -> tuple[Field, ...]:
    """Raises TypeError, naming the field, where a type is none that can be kept."""
    types = get_type_hints(made)
    return tuple(_field(each, types[each.name], made) for each in dataclasses.fields(made))


def _field(each: Any, wanted: Any, made: type) -> Field:
    kinds = get_args(wanted) if get_origin(wanted) in (Union, UnionType) else (wanted,)
    optional = NoneType in kinds
    kind = next(one for one in kinds if one is not NoneType)
    many = get_origin(kind) is tuple
    kind = get_args(kind)[0] if many else kind
    kind = Mapping if get_origin(kind) is Mapping else kind
    if not (kind in READ or (isinstance(kind, type) and issubclass(kind, StrEnum))) or len(kinds) > 1 + optional:
        raise TypeError(f"`{made.__name__}.{each.name}` is of a type that no job can take: {wanted}")
    default = each.default if each.default_factory is MISSING else each.default_factory()
    description = each.metadata.get(DESCRIPTION)
    return Field(
        name=each.name, label=each.metadata.get(LABEL) or camel(each.name), kind=kind,
        kind_name=each.metadata.get(KIND) or NAMES.get(kind) or kind.__name__, many=many, optional=optional,
        default=default, description=description,
    )  # fmt: skip


def camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


def made(of: type, given: Any) -> Any:
    """An instance, of JSON or of arguments that were coerced already, by label. Raises Misfit."""
    if not isinstance(given, Mapping):
        raise Misfit("it must be an object")
    known = {each.label: each for each in fields_of(of)}
    for label in given:
        if label not in known:
            raise Misfit(f"there is no `{label}`, only " + (", ".join(f"`{one}`" for one in known) or "nothing"))
    for label, each in known.items():
        if label not in given and each.default is MISSING and not each.optional:
            raise Misfit(f"`{label}` is missing")
    missing = {each.name: None for label, each in known.items() if label not in given and each.default is MISSING}
    return of(**{known[label].name: _value(known[label], value) for label, value in given.items()}, **missing)


def _value(field: Field, value: Any) -> Any:
    if value is None and field.optional:
        return None
    if field.many:
        if not isinstance(value, list | tuple):
            raise Misfit(f"`{field.label}` must be a list")
        return tuple(_one(field, each) for each in value)
    return _one(field, value)


def _one(field: Field, value: Any) -> Any:
    try:
        return READ[field.kind](value) if field.kind in READ else field.kind(value)
    except (ValueError, TypeError, InvalidOperation):
        raise Misfit(f"`{field.label}` must be {SAID.get(field.kind) or _members(field.kind)}") from None


def _members(kind: Any) -> str:
    return "one of " + ", ".join(f"`{each}`" for each in kind)


def plain(instance: Any) -> dict[str, Any]:
    """As JSON has it: money and times as text. Raises Misfit where a value is not of its field's type."""
    return {each.label: _plain(_value(each, getattr(instance, each.name))) for each in fields_of(type(instance))}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, date) else value


def _exactly(kind: type) -> Any:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError
        return value

    return read


def _whole(value: Any) -> int:
    if type(value) is not int or not -LARGEST <= value < LARGEST:
        raise TypeError
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or value != value or value in (float("inf"), float("-inf")):
        raise TypeError
    return float(value)


def _decimal(value: Any) -> Decimal:
    if type(value) not in (str, int, Decimal):
        raise TypeError
    read = Decimal(value)
    if not read.is_finite() or abs(read.adjusted()) > 40:
        raise TypeError
    return read


def _text(value: Any) -> str:
    """Half a surrogate pair is no text that a database or a script could be given."""
    if not isinstance(value, str):
        raise TypeError
    value.encode()
    return str(value)


def _day(value: Any) -> date:
    if type(value) is date:
        return value
    return date.fromisoformat(_text(value))


def _moment(value: Any) -> datetime:
    read = value if isinstance(value, datetime) else datetime.fromisoformat(_text(value))
    if read.tzinfo is None:
        raise ValueError
    return read.astimezone(UTC)


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError
    return value


READ: Mapping[Any, Any] = {
    str: _text, int: _whole, float: _number, bool: _exactly(bool), Decimal: _decimal, date: _day,
    datetime: _moment, Mapping: _object,
}  # fmt: skip
NAMES: Mapping[Any, str] = {
    str: "str", int: "int", float: "float", bool: "bool", Decimal: "Decimal", date: "date", datetime: "datetime",
    Mapping: "Mapping",
}  # fmt: skip
"""An enum of a company's goes by its own name there, so that one that is renamed is declared anew."""
SAID: Mapping[Any, str] = {
    str: "text", int: "a whole number", float: "a number", bool: "true or false", Decimal: "an exact number, as text",
    date: "a day such as `2026-10-31`", datetime: "a moment with a zone such as `2026-10-31T12:00:00Z`",
    Mapping: "an object",
}  # fmt: skip
