"""An operation and its variables in, what may be kept of them out: shapes in clear, values as keyed hashes. Pure."""

import hmac
import re
from collections.abc import Iterator, Mapping
from typing import Any

from graphql import (
    BooleanValueNode,
    DocumentNode,
    FloatValueNode,
    IntValueNode,
    NameNode,
    StringValueNode,
    VariableNode,
    Visitor,
    print_ast,
    visit,
)

from auth.mac import keyed

HASH_CHARACTERS = 32
MOST_VALUES = 5_000
MOST_LEVELS = 32
EXACT = 2**53
HUGE = 10**1000
"""Python refuses to write integers of more than 4,300 digits."""
NAME = re.compile("[_A-Za-z][_0-9A-Za-z]{0,63}")
BLANK = VariableNode(name=NameNode(value=""))
"""Prints as `$`."""


def records_key(pepper: bytes) -> bytes:
    """The key that hashes of values are made with: whoever may search the records for a value holds it."""
    return hmac.digest(pepper, b"records", "sha256")


def normalised(document: DocumentNode) -> str:
    """The operation's text with every string, number and boolean replaced by `$`.

    Names, enum values and null stay: they come from the schema, or were chosen by the client as names.
    """
    return print_ast(visit(document, Blanking()))


def literals(document: DocumentNode, key: bytes) -> tuple[str, ...]:
    """The keyed hashes of what `normalised` replaced, in the order of the `$` it left."""
    blanking = Blanking()
    visit(document, blanking)
    return tuple(digest(scalar, value, key) for scalar, value in blanking.replaced)


def hashed(variables: Mapping[str, Any], key: bytes) -> dict[str, Any]:
    """The variables with each leaf replaced by its keyed hash; structure and nulls stay.

    Past MOST_VALUES or MOST_LEVELS nothing is kept but that it was so: hashing must not cost more than answering.
    """
    if any(count > MOST_VALUES or level > MOST_LEVELS for count, level in enumerate(levels(variables), 1)):
        return {"omitted": f"more than {MOST_VALUES} values or {MOST_LEVELS} levels"}
    return {shown(name, key): hashed_value(value, key) for name, value in variables.items()}


def hashed_value(value: Any, key: bytes) -> Any:
    """A JSON value with its leaves hashed; of one leaf, the hash to search the records for.

    A hash is HMAC-SHA-256 of (scalar, canonical value): 1 and 1.0 are one number, "1" is a text, true a boolean.
    """
    match value:
        case None:
            return None
        case bool():
            return digest("boolean", str(value).lower(), key)
        case int() | float():
            return digest("number", number(value), key)
        case str():
            return digest("text", value, key)
        case Mapping():
            return {shown(name, key): hashed_value(each, key) for name, each in value.items()}
        case _:
            return [hashed_value(each, key) for each in value]


def unparsed(text: str, key: bytes) -> str:
    """What is kept of a document that does not parse: its length and its keyed hash."""
    return f"unparsed, {len(text)} characters, {digest('text', text, key)}"


class Blanking(Visitor):
    """Replaces literals and keeps what they were, as (scalar, canonical value)."""

    def __init__(self) -> None:
        super().__init__()
        self.replaced: list[tuple[str, str]] = []

    def leave_int_value(self, node: IntValueNode, *_: object) -> VariableNode:
        """Its digits are canonical as they stand, however many there are."""
        return self.replace("number", node.value)

    def leave_float_value(self, node: FloatValueNode, *_: object) -> VariableNode:
        """1.0 and 1 are one number."""
        return self.replace("number", number(float(node.value)))

    def leave_string_value(self, node: StringValueNode, *_: object) -> VariableNode:
        """A block string is the text it means."""
        return self.replace("text", node.value)

    def leave_boolean_value(self, node: BooleanValueNode, *_: object) -> VariableNode:
        """True or false."""
        return self.replace("boolean", str(node.value).lower())

    def replace(self, scalar: str, value: str) -> VariableNode:
        """What stands in the text instead."""
        self.replaced.append((scalar, value))
        return BLANK


def digest(scalar: str, value: str, key: bytes) -> str:
    """128 bits of hex."""
    return keyed(key)(f"{scalar}:{value}".encode(errors="surrogatepass")).hex()[:HASH_CHARACTERS]


def number(value: int | float) -> str:
    """One text per number: a float that is whole is written as the integer it equals."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < EXACT else repr(value)
    return str(value) if abs(value) < HUGE else hex(value)


def shown(name: str, key: bytes) -> str:
    """A GraphQL name in clear; a client may send any text in its place, and that is a value."""
    return name if NAME.fullmatch(name) else digest("text", name, key)


def levels(value: Any) -> Iterator[int]:
    """The level of every value within a value, itself not included; needs no stack of calls, and may be left early."""
    open_values = [inside(value)]
    while open_values:
        for each in open_values[-1]:
            yield len(open_values)
            if isinstance(each, Mapping | list | tuple):
                open_values.append(inside(each))
                break
        else:
            open_values.pop()


def inside(value: Any) -> Iterator[Any]:
    """The values a mapping or a list holds."""
    return iter(value.values() if isinstance(value, Mapping) else value)
