"""A path that somebody wishes for in, why no file may be called so out: refused before any store hears of it.

A name must mean the same to every system it comes to: to a url, to Windows, to a shell, and to an eye.
"""

import re
import unicodedata
from collections.abc import Callable

LONGEST = 1024
"""Bytes of a path, as UTF-8: what S3 takes."""
PART = 255
"""Bytes of one of its parts: what Linux takes."""
DEEPEST = 32
ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
SIGNS = frozenset('"<>|?*:\\')
"""What Windows and Azure Files take in no name."""
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls, directions, halves of characters, and what has no meaning for everybody."""
DEVICE = re.compile(r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9¹²³])(?:\..*)?", re.IGNORECASE)
"""What Windows takes for a device, whatever ending follows."""
STEPS = frozenset("/.%\\")


def parts(path: str) -> list[str]:
    return path.split("/")


def unseen(path: str) -> bool:
    """A space of another kind than the usual one is no better."""
    return any(
        unicodedata.category(each) in UNSEEN or (unicodedata.category(each) == "Zs" and each != " ") for each in path
    )


def alike(path: str) -> bool:
    """Whether a character would become a step of a path where a system makes characters plain."""
    return any(STEPS & set(unicodedata.normalize("NFKC", each)) for each in path if each not in STEPS)


def deep(path: str) -> bool:
    return len(parts(path)) > DEEPEST or any(len(each.encode()) > PART for each in parts(path))


RULES: tuple[tuple[Callable[[str], bool], str], ...] = (
    (lambda path: path == "", "must not be empty"),
    (unseen, "must not hold a character that cannot be seen"),
    (lambda path: len(path.encode()) > LONGEST, f"must not be longer than {LONGEST} bytes"),
    (deep, f"must not have more than {DEEPEST} parts, or one of more than {PART} bytes"),
    (lambda path: "" in parts(path), "must not begin or end with `/`, or hold two in a row"),
    (lambda path: any(each.startswith(".") for each in parts(path)), "must not have a part that begins with `.`"),
    (lambda path: any(each[:1] in (" ", "~") for each in parts(path)), "must not have a part that begins so"),
    (lambda path: any(each[-1:] in (" ", ".") for each in parts(path)), "must not have a part that ends so"),
    (lambda path: bool(SIGNS & set(path)), 'must not hold any of `"`, `<`, `>`, `|`, `?`, `*`, `:` and `\\`'),
    (lambda path: ENCODED.search(path) is not None, "must not be percent-encoded"),
    (alike, "must not hold a character that is taken for `/`, `.`, `%` or `\\`"),
    (lambda path: not unicodedata.is_normalized("NFC", path), "must be in Unicode's normal form C"),
    (lambda path: any(map(DEVICE.fullmatch, parts(path))), "must not have a part that is the name of a device"),
)
"""In their order: each may rely on those before it."""


def refusal(path: str, called: str = "path") -> str | None:
    """None: it may be a file's. `called`: what the sentence calls it."""
    return next((f"`{called}` {why}" for broken, why in RULES if broken(path)), None)


def below(path: str, prefixes: tuple[str, ...]) -> bool:
    """Whether it lies where the settings let files be written; without prefixes, anywhere."""
    return not prefixes or any(path.startswith(each) for each in prefixes)
