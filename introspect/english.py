"""A noun in, its singular or its plural out."""

import re

IRREGULAR = {
    "person": "people", "child": "children", "man": "men", "woman": "women", "foot": "feet", "tooth": "teeth",
    "goose": "geese", "mouse": "mice", "ox": "oxen", "datum": "data", "medium": "media", "criterion": "criteria",
    "phenomenon": "phenomena", "index": "indices", "matrix": "matrices", "vertex": "vertices", "leaf": "leaves",
    "half": "halves", "shelf": "shelves", "knife": "knives", "life": "lives", "wife": "wives", "quiz": "quizzes",
    "movie": "movies", "cookie": "cookies", "tie": "ties", "cache": "caches", "database": "databases",
    "lease": "leases", "release": "releases", "purchase": "purchases", "expense": "expenses", "house": "houses",
    "warehouse": "warehouses", "response": "responses", "course": "courses", "case": "cases", "phase": "phases",
    "license": "licenses", "base": "bases", "purpose": "purposes", "axis": "axes", "exercise": "exercises",
    "size": "sizes", "prize": "prizes", "franchise": "franchises", "service": "services", "hero": "heroes",
    "potato": "potatoes", "echo": "echoes", "menu": "menus",
}  # fmt: skip
SINGULAR = {many: one for one, many in IRREGULAR.items()}
ALIKE = frozenset(
    {
        "series", "species", "news", "information", "equipment", "staff", "metadata", "software", "hardware", "sheep",
        "fish", "money", "music", "feedback", "inventory_data", "history", "evidence", "data", "stuff", "content",
        "demographics", "statistics", "analytics", "physics", "logistics", "sales", "goods",
    }
)  # fmt: skip
"""Words that have one form only, or whose other form nobody uses of a table."""
TO_ONE = (
    (re.compile(r"(analys|bas|cris|diagnos|hypothes|synops|thes)es$"), r"\1is"),
    (re.compile(r"([^aeiou])ies$"), r"\1y"),
    (re.compile(r"(ss|sh|ch|x|zz)es$"), r"\1"),
    (re.compile(r"(us)es$"), r"\1"),
    (re.compile(r"(?<![sui])s$"), ""),
)
TO_MANY = (
    (re.compile(r"(analys|cris|diagnos|hypothes|synops|thes)is$"), r"\1es"),
    (re.compile(r"([^aeiou])y$"), r"\1ies"),
    (re.compile(r"(s|sh|ch|x|z)$"), r"\1es"),
    (re.compile(r"$"), "s"),
)


def singular(noun: str) -> str:
    """Of a noun in lower case; one that is singular already stays."""
    if noun in IRREGULAR or noun in ALIKE:
        return noun
    return SINGULAR.get(noun) or _first(TO_ONE, noun)


def plural(noun: str) -> str:
    """Of a noun in lower case and in the singular."""
    return noun if noun in ALIKE else IRREGULAR.get(noun) or _first(TO_MANY, noun)


def article(noun: str) -> str:
    """`an album`, `a track`."""
    return f"{'an' if noun[:1] in 'aeio' else 'a'} {noun}"


def _first(rules: tuple[tuple[re.Pattern[str], str], ...], noun: str) -> str:
    for pattern, written in rules:
        found, times = pattern.subn(written, noun, count=1)
        if times:
            return found
    return noun
