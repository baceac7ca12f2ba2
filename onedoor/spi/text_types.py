"""Define the types whose texts mean more than their code points, such as UUIDs, network addresses and enums.

A text of such a type has one spelling, in which connectors return it and the engine compares it, so that equality means
the same to both. Where the order is not that of the code points either, the text is a RankedText.
"""

import ipaddress
import json
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

CANONICAL_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)

UUID_DIGITS = re.compile(r"(?:[0-9a-f]{4}-?){7}[0-9a-f]{4}", re.ASCII)

UUID_NAMESPACE = "urn:uuid:"

MAC_ADDRESS_DIGITS = re.compile(
    r"[0-9a-f]{2}(?:([:-])[0-9a-f]{2}(?:\1[0-9a-f]{2}){4}(?:(?:\1[0-9a-f]{2}){2})?|(?:[0-9a-f]{2}){5}|(?:[0-9a-f]{2}){7})"
    r"|[0-9a-f]{4}(?:\.[0-9a-f]{4}){2,3}|[0-9a-f]{6}([:-])[0-9a-f]{6}",
    re.ASCII,
)

SHOWN_CHARACTERS = 100
"""How much of a text that is not of its type a message repeats."""

LARGEST_JSON_EXPONENT = 1000
"""Numbers beyond it are written with an exponent."""


class RankedText(str):
    """A text that is ordered by `rank`: equal texts have the same rank, and different ones different ranks."""

    __slots__ = ("rank",)

    rank: str

    def __new__(cls, text: str, rank: str) -> "RankedText":
        ranked = super().__new__(cls, text)
        ranked.rank = rank
        return ranked

    def __reduce__(self) -> tuple[Any, ...]:
        return RankedText, (str(self), self.rank)

    def __lt__(self, other: str) -> bool:
        return self.rank < other.rank if isinstance(other, RankedText) else str.__lt__(self, other)

    def __le__(self, other: str) -> bool:
        return self.rank <= other.rank if isinstance(other, RankedText) else str.__le__(self, other)

    def __gt__(self, other: str) -> bool:
        return self.rank > other.rank if isinstance(other, RankedText) else str.__gt__(self, other)

    def __ge__(self, other: str) -> bool:
        return self.rank >= other.rank if isinstance(other, RankedText) else str.__ge__(self, other)


class InvalidText(ValueError):
    """A text is not of its type; the message says so to whoever wrote it."""


@dataclass(frozen=True, slots=True)
class TextType:
    """A type of texts. `name` as in "`abc` is no UUID"."""

    name: str
    spell: Callable[[str], str]
    """Returns a text in the one spelling of its type; raises ValueError where it is not of the type."""
    examples: tuple[str, str]
    is_ranked: bool = False
    """Whether its texts are RankedTexts."""

    def parse(self, text: str) -> str:
        """Return a text that somebody gave in the one spelling of its type. Raises InvalidText."""
        try:
            return self.spell(text)
        except (ValueError, ArithmeticError, RecursionError):
            shown = text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."
            raise InvalidText(f"`{shown}` is no {self.name}") from None

    def is_canonical(self, text: str) -> bool:
        """Whether a text is of the type, and in its one spelling."""
        try:
            return self.spell(text) == text
        except (ValueError, ArithmeticError, RecursionError):
            return False


def spell_uuid(text: str) -> str:
    """Spell a UUID as RFC 9562 does: 32 digits in lower case, and hyphens."""
    if CANONICAL_UUID.fullmatch(text):
        return text
    digits = text.lower().removeprefix(UUID_NAMESPACE)
    if digits.startswith("{") and digits.endswith("}"):
        digits = digits[1:-1]
    if not UUID_DIGITS.fullmatch(digits):
        raise ValueError("no UUID")
    digits = digits.replace("-", "")
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def spell_network_address(text: str) -> RankedText:
    """Spell an address of IPv4 or IPv6, with its prefix unless that is all of it.

    Addresses are ordered by family, network, prefix and host, as PostgreSQL orders `inet`.
    """
    if "%" in text:
        raise ValueError("an address with a zone")
    address = ipaddress.ip_interface(text.strip())
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    prefix = address.network.prefixlen
    spelled = socket.inet_ntop(family, address.packed)
    network, host = int(address.network.network_address), int(address.ip)
    return RankedText(
        spelled if prefix == address.max_prefixlen else f"{spelled}/{prefix}",
        f"{address.version}{network:032x}{prefix:03}{host:032x}",
    )


def spell_mac_address(text: str) -> str:
    """Spell an address of 48 bits as digits in lower case with colons."""
    digits = _read_mac_digits(text)
    if len(digits) != 12:
        raise ValueError("no address of 48 bits")
    return _join_bytes(digits)


def spell_long_mac_address(text: str) -> str:
    """Spell an address of 64 bits, or one of 48 bits made that, as digits in lower case with colons."""
    digits = _read_mac_digits(text)
    return _join_bytes(digits if len(digits) == 16 else f"{digits[:6]}fffe{digits[6:]}")


def _read_mac_digits(text: str) -> str:
    digits = text.strip().lower()
    if not MAC_ADDRESS_DIGITS.fullmatch(digits):
        raise ValueError("no MAC address")
    return re.sub("[^0-9a-f]", "", digits)


def _join_bytes(digits: str) -> str:
    return ":".join(digits[place : place + 2] for place in range(0, len(digits), 2))


def spell_json(text: str) -> str:
    """Spell JSON so that equal values are equal texts: members in the order of PostgreSQL, numbers as plain digits."""
    return _format_json(json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=_reject_constant))


def _reject_constant(_: str) -> Any:
    raise ValueError("JSON has no such number")


def _format_json(value: Any) -> str:
    match value:
        case Decimal():
            return _format_json_number(value)
        case list():
            return f"[{', '.join(map(_format_json, value))}]"
        case dict():
            members = sorted(value.items(), key=lambda member: _rank_member_name(member[0]))
            return (
                "{"
                + ", ".join(f"{json.dumps(name, ensure_ascii=False)}: {_format_json(v)}" for name, v in members)
                + "}"
            )
        case _:
            return json.dumps(value, ensure_ascii=False)


def _rank_member_name(name: str) -> tuple[int, bytes]:
    encoded = name.encode("utf-8", "surrogatepass")
    return len(encoded), encoded


def _format_json_number(number: Decimal) -> str:
    if not number:
        return "0"
    sign, digits, exponent = number.as_tuple()
    stripped = "".join(map(str, digits)).rstrip("0")
    plain = Decimal((sign, tuple(map(int, stripped)), int(exponent) + len(digits) - len(stripped)))
    return format(plain, "f" if abs(plain.adjusted()) <= LARGEST_JSON_EXPONENT else "E")


UUID = TextType("UUID", spell_uuid, ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"))

NETWORK_ADDRESS = TextType("network address", spell_network_address, ("127.0.0.1", "::1"), is_ranked=True)

MAC_ADDRESS = TextType("MAC address", spell_mac_address, ("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"))

MAC_ADDRESS_64 = TextType("MAC address", spell_long_mac_address, ("00:00:00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff:ff:ff"))

PADDED_TEXT = TextType("text", lambda text: text.rstrip(" "), ("a", "b"))
"""Of a fixed length, filled up with blanks, which mean nothing."""

JSON_TEXT = TextType("JSON", spell_json, ("1", "2"))


def build_enum_type(name: str, values: Sequence[str]) -> TextType:
    """Build the type of an enum, whose values are ordered as they are declared."""
    ranked = {value: RankedText(value, f"{place:08}") for place, value in enumerate(values)}
    spell = partial(_get_enum_value, ranked)
    return TextType(f"value of `{name}`", spell, (values[0], values[-1]), is_ranked=True)


def _get_enum_value(values: Mapping[str, RankedText], text: str) -> RankedText:
    value = values.get(text)
    if value is None:
        raise ValueError("no value of the enum")
    return value
