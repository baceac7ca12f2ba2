"""Check that a path may be written: that it means the same file in every store and on every system."""

import re
import unicodedata
from collections.abc import Callable

PATH_MAX_BYTES = 1024
"""UTF-8 bytes of a path; S3 takes no more."""

PATH_PART_MAX_BYTES = 255
"""UTF-8 bytes of one part; Linux takes no more."""

PATH_MAX_PARTS = 32

PERCENT_ENCODED_PATTERN = re.compile(r"%[0-9A-Fa-f]{2}")

FORBIDDEN_CHARACTERS = frozenset('"<>|?*:\\')
"""Characters that Windows and Azure Files take in no name."""

INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories of controls, directions, surrogates, line separators, and characters without a public meaning."""

WINDOWS_DEVICE_PATTERN = re.compile(r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9¹²³])(?:\..*)?", re.IGNORECASE)
"""Names that Windows takes for a device, whatever extension follows."""

PATH_SYNTAX_CHARACTERS = frozenset("/.%\\")


def explain_invalid_path(path: str, argument_name: str = "path") -> str | None:
    """Return the sentence that says why a path may not be written, or None if it may."""
    return next((f"`{argument_name}` {why}" for is_broken, why in PATH_RULES if is_broken(path)), None)


def is_below(path: str, allowed_prefixes: tuple[str, ...]) -> bool:
    """Return whether a path begins with one of the prefixes, or whether there are none."""
    return not allowed_prefixes or any(path.startswith(prefix) for prefix in allowed_prefixes)


def split_path_parts(path: str) -> list[str]:
    return path.split("/")


def has_invisible_character(path: str) -> bool:
    """Return whether a path holds a character that cannot be seen, or a space other than the usual one."""
    return any(
        unicodedata.category(character) in INVISIBLE_CATEGORIES
        or (unicodedata.category(character) == "Zs" and character != " ")
        for character in path
    )


def has_path_lookalike(path: str) -> bool:
    """Return whether a character would turn into path syntax on a system that normalizes to NFKC."""
    return any(
        PATH_SYNTAX_CHARACTERS & set(unicodedata.normalize("NFKC", character))
        for character in path
        if character not in PATH_SYNTAX_CHARACTERS
    )


def is_too_deep(path: str) -> bool:
    parts = split_path_parts(path)
    return len(parts) > PATH_MAX_PARTS or any(len(part.encode()) > PATH_PART_MAX_BYTES for part in parts)


def has_part(path: str, is_bad: Callable[[str], bool]) -> bool:
    return any(map(is_bad, split_path_parts(path)))


PATH_RULES: tuple[tuple[Callable[[str], bool], str], ...] = (
    (lambda path: path == "", "must not be empty"),
    (has_invisible_character, "must not hold a character that cannot be seen"),
    (lambda path: len(path.encode()) > PATH_MAX_BYTES, f"must not be longer than {PATH_MAX_BYTES} bytes"),
    (is_too_deep, f"must not have more than {PATH_MAX_PARTS} parts, or one of more than {PATH_PART_MAX_BYTES} bytes"),
    (lambda path: "" in split_path_parts(path), "must not begin or end with `/`, or hold two in a row"),
    (
        lambda path: has_part(path, lambda part: part.startswith(".")),
        "must not have a part that begins with `.`",
    ),
    (
        lambda path: has_part(path, lambda part: part[:1] in (" ", "~")),
        "must not have a part that begins with a space or `~`",
    ),
    (
        lambda path: has_part(path, lambda part: part[-1:] in (" ", ".")),
        "must not have a part that ends with a space or `.`",
    ),
    (
        lambda path: bool(FORBIDDEN_CHARACTERS & set(path)),
        'must not hold any of `"`, `<`, `>`, `|`, `?`, `*`, `:` and `\\`',
    ),
    (lambda path: PERCENT_ENCODED_PATTERN.search(path) is not None, "must not be percent-encoded"),
    (has_path_lookalike, "must not hold a character that is taken for `/`, `.`, `%` or `\\`"),
    (lambda path: not unicodedata.is_normalized("NFC", path), "must be in Unicode's normal form C"),
    (
        lambda path: has_part(path, lambda part: WINDOWS_DEVICE_PATTERN.fullmatch(part) is not None),
        "must not have a part that is the name of a device",
    ),
)
"""The rules in their order; each may rely on those before it, so encoding to UTF-8 cannot fail after the second."""
