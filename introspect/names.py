"""Any name a database allows in, names that Python and GraphQL allow out."""

import keyword
import re
import unicodedata
from collections.abc import Container, Iterator, Sequence

from introspect.english import plural, singular

WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+[0-9]*|[A-Z]+[0-9]*|[0-9]+")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ORDINALS = {"1st": "first", "2nd": "second", "3rd": "third", "4th": "fourth", "5th": "fifth"}
LETTERS = str.maketrans({"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "&": " and ", "%": " percent "})
ANNOTATIONS = frozenset(
    {"str", "int", "float", "bool", "date", "datetime", "strawberry", "allow", "owned", "list", "l"}
)
"""What a class body of schema/ speaks of itself: an attribute of that name would stand in its way."""
SIGNS = {"+": " plus", "-": " minus"}

Words = tuple[str, ...]


def words(name: str) -> Words:
    """`AlbumId`, `ALBUM_ID` and `album id` as `album`, `id`; never empty, and the first begins with a letter."""
    plain = unicodedata.normalize("NFKD", name.translate(LETTERS)).encode("ascii", "ignore").decode()
    found = tuple(each.lower() for each in WORD.findall(plain.replace("'", "")))
    if not found:
        return ("unnamed",)
    if "".join(found[:2]) in ORDINALS:
        return (ORDINALS["".join(found[:2])], *found[2:])
    if found[0].isdigit():
        return (DIGITS[int(found[0])] if len(found[0]) == 1 else f"number{found[0]}", *found[1:])
    return found


def camel(parts: Sequence[str]) -> str:
    return parts[0] + "".join(each.capitalize() for each in parts[1:])


def pascal(parts: Sequence[str]) -> str:
    return "".join(each.capitalize() for each in parts)


def snake(parts: Sequence[str]) -> str:
    return "_".join(parts)


def one(parts: Words) -> Words:
    """The last word in the singular."""
    return (*parts[:-1], singular(parts[-1]))


def many(parts: Words) -> Words:
    return (*parts[:-1], plural(singular(parts[-1])))


def attribute(parts: Words) -> str:
    """The name in a class of schema/: where it cannot be the field's own, with an underscore behind it."""
    found = snake(parts)
    return f"{found}_" if keyword.iskeyword(found) or found in ANNOTATIONS else found


def free(candidates: Sequence[Words], taken: Container[str]) -> Words:
    """The first whose field name nobody has; the last one numbered, at need."""
    numbered = ((*candidates[-1], str(number)) for number in range(2, 1000))
    return next(each for each in (*candidates, *numbered) if camel(each) not in taken)


def members(values: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The values of an enum, each after its name: `PG-13` is called `PG_13`, `A+` is `A_PLUS`."""
    taken: set[str] = set()
    for value in values:
        called = _member(value)
        numbered = (f"{called}_{number}" for number in range(2, 1000))
        name = next(each for each in (called, *numbered) if each not in taken)
        taken.add(name)
        yield name, value


def _member(value: str) -> str:
    if not value.strip():
        return "EMPTY"
    spoken = value[:-1] + SIGNS.get(value[-1], value[-1])
    plain = unicodedata.normalize("NFKD", spoken.translate(LETTERS)).encode("ascii", "ignore").decode()
    found = re.sub(r"[^A-Z0-9]+", "_", plain.upper()).strip("_")
    return found if found[:1].isalpha() else f"VALUE_{found}".rstrip("_")
