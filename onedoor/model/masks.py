"""Show a part of a value to those who may not see all of it: masks, and which of them a person gets."""

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any, Protocol, TypeAlias

from onedoor.errors import ConfigurationError
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.operators import EXACT_CONTEXT
from onedoor.spi.predicates import Row

HIDDEN_CHARACTER = "•"

HIDDEN_CHARACTERS = 4
"""Stand for what is hidden of a text, however much that is."""

HASH_DIGITS = 32

NUMBERS = frozenset({ColumnType.INTEGER, ColumnType.FLOAT, ColumnType.DECIMAL})

DAYS_AND_TIMES = frozenset({ColumnType.DATE, ColumnType.TIME})

TEXTS = frozenset({ColumnType.TEXT})


ShowValue: TypeAlias = Callable[[Any], str | None]
"""Returns what is shown of a value that is not null."""


class Mask(Protocol):
    """Make of a value the text that is shown in its place."""

    @property
    def label(self) -> str:
        """What is shown, as in `last 4`."""
        ...

    @property
    def column_types(self) -> frozenset[ColumnType]:
        """What the column may hold."""
        ...

    @property
    def detail(self) -> tuple[int, Decimal]:
        """How much is shown: of two masks, the one with more."""
        ...

    def build(self, key: bytes) -> ShowValue:
        """Return the function that masks a value; `key` is the field's own."""
        ...


@dataclass(frozen=True, slots=True)
class LastCharacters:
    """Show the last characters of a text; nothing of one that is not at least twice as long."""

    count: int

    column_types = TEXTS

    @property
    def label(self) -> str:
        return f"last {self.count}"

    @property
    def detail(self) -> tuple[int, Decimal]:
        return 4, Decimal(self.count)

    def build(self, key: bytes) -> ShowValue:
        """Mask a text."""
        hidden, count = HIDDEN_CHARACTER * HIDDEN_CHARACTERS, self.count
        return lambda text: hidden + (text[-count:] if len(text) >= 2 * count else "")


@dataclass(frozen=True, slots=True)
class Domain:
    """Show the domain of an e-mail address; nothing of a text without `@`."""

    column_types = TEXTS
    label = "domain"
    detail = 3, Decimal(0)

    def build(self, key: bytes) -> ShowValue:
        """Mask a text."""
        hidden = HIDDEN_CHARACTER * HIDDEN_CHARACTERS
        return lambda text: f"{hidden}@{text.rpartition('@')[2]}" if "@" in text else hidden


@dataclass(frozen=True, slots=True)
class Year:
    """Show the year of a day, or of a time in UTC."""

    column_types = DAYS_AND_TIMES
    label = "year"
    detail = 2, Decimal(0)

    def build(self, key: bytes) -> ShowValue:
        """Mask a day or a time."""
        return _format_year


def _format_year(day: date) -> str:
    return f"{(day.astimezone(UTC) if isinstance(day, datetime) else day).year:04}"


@dataclass(frozen=True, slots=True)
class Bucket:
    """Show the range of this width that a number is in, such as `2000 to less than 3000`."""

    width: Decimal

    column_types = NUMBERS

    @property
    def label(self) -> str:
        return f"bucket of {self.width}"

    @property
    def detail(self) -> tuple[int, Decimal]:
        return 1, -self.width

    def build(self, key: bytes) -> ShowValue:
        """Mask a number; one that is infinite or no number has no bucket."""
        return self._format

    def _format(self, number: Any) -> str | None:
        exact = Decimal(number)
        if not exact.is_finite():
            return None
        quotient, remainder = EXACT_CONTEXT.divmod(exact, self.width)
        start = EXACT_CONTEXT.multiply(quotient - 1 if remainder < 0 else quotient, self.width)
        return f"{start:f} to less than {EXACT_CONTEXT.add(start, self.width):f}"


@dataclass(frozen=True, slots=True)
class KeyedHash:
    """Show a hash that is the same for the same value of the same field, and for no other field."""

    column_types = TEXTS | NUMBERS | DAYS_AND_TIMES
    label = "keyed hash"
    detail = 0, Decimal(0)

    def build(self, key: bytes) -> ShowValue:
        """Mask a value."""
        return partial(_hash_value, key)


def _hash_value(key: bytes, value: Any) -> str:
    text = spell_value(value).encode(errors="surrogatepass")
    return hmac.digest(key, text, hashlib.sha256).hex()[:HASH_DIGITS]


def last(count: int) -> Mask:
    """Show the last characters of a text."""
    if count < 1:
        raise ConfigurationError(f"`last({count})` shows nothing: take at least 1")
    return LastCharacters(count)


def domain() -> Mask:
    """Show the domain of an e-mail address."""
    return Domain()


def year() -> Mask:
    """Show the year of a day or a time."""
    return Year()


def bucket(width: int | str | Decimal) -> Mask:
    """Show the range of this width that a number is in."""
    exact = Decimal(width)
    if not exact.is_finite() or exact <= 0:
        raise ConfigurationError(f"`bucket({width})` has no width: take more than 0")
    return Bucket(exact)


def keyed_hash() -> Mask:
    """Show a hash, by which equal values of one field can be told, and no value."""
    return KeyedHash()


FieldMasks: TypeAlias = Mapping[str, Mask]
"""By group, how its members see a field; members of other groups that may see it see all of it."""


def select_mask(masks: FieldMasks, groups: frozenset[str]) -> Mask:
    """Return the mask of these groups that hides least; that which hides most where none of them has any."""
    own = [mask for group, mask in masks.items() if group in groups]
    return max(own or [KeyedHash()], key=lambda mask: mask.detail)


def derive_mask_key(secret: bytes, type_name: str, field: str) -> bytes:
    """Derive the key of one field's hashes, so that those of two fields cannot be joined."""
    return hmac.digest(secret, f"mask {type_name}.{field}".encode(), hashlib.sha256)


def compile_mask(show: ShowValue) -> Callable[[Sequence[Row]], Sequence[str | None]]:
    """Compile what is shown of a value to a function of all rows at once, each with one value."""
    return lambda rows: [None if value is None else show(value) for (value,) in rows]


def spell_value(value: Any) -> str:
    """Return a value as text, equal values as the same text."""
    match value:
        case Decimal() if value.is_finite():
            return format(value.normalize(EXACT_CONTEXT), "f")
        case datetime() if value.tzinfo is not None:
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case _:
            return str(value)
