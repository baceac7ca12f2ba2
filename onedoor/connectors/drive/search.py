"""Compile predicates into Drive's search language; a search finds every row of its predicate, and maybe more."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from onedoor.spi.predicates import Comparison, Op, split_conjuncts

SEARCH_TEXT_MAX_LENGTH = 200
"""Characters of the longest text that is searched for."""

SEARCH_MAX_VALUES = 50
"""Values in one search, which keep its URL short enough."""

EMAIL_PATTERN = re.compile(r"[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9.-]{1,190}")

MIN_YEAR = 1970

MAX_YEAR = 9999

ONE_SECOND = timedelta(seconds=1)

SEARCHABLE_CHARACTER = re.compile(r"[^\W_]")
"""Drive's full text search looks only at letters and digits, so a text without any finds nothing."""

LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")
"""Half of a character, which no file holds."""


def compile_search_terms(predicate: Any) -> Iterator[str]:
    """Yield a term for each comparison that Drive can search by; every row that meets the filter meets them all."""
    for part in split_conjuncts(predicate):
        term = SEARCHABLE_COLUMNS[part.column][1](part) if isinstance(part, Comparison) else None
        if term is not None:
            yield term


def join_all(*terms: str | None) -> str:
    return " and ".join(filter(None, terms))


def join_any(terms: Iterable[str | None]) -> str | None:
    """Return None, which narrows nothing, if one of the terms cannot be written."""
    written = list(terms)
    if not written or None in written or len(written) > SEARCH_MAX_VALUES:
        return None
    return f"({' or '.join(filter(None, written))})"


def quote_searchable(text: str) -> str | None:
    """Return the text as a literal, or None if Drive cannot search for it."""
    if not text.isprintable() or not text or len(text) > SEARCH_TEXT_MAX_LENGTH:
        return None
    return quote_text(text)


def quote_text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def build_parents_term(ids: Sequence[str]) -> str:
    return "(" + " or ".join(f"'{id}' in parents" for id in ids) + ")"


def build_equals_term(field: str, value: str) -> str | None:
    literal = quote_searchable(value)
    return None if literal is None else f"{field} = {literal}"


def build_owner_term(address: str) -> str | None:
    literal = quote_searchable(address) if EMAIL_PATTERN.fullmatch(address) else None
    return None if literal is None else f"{literal} in owners"


def build_full_text_term(text: str) -> str | None:
    """Return a term for the text with its quotes, which Drive gives a meaning; None if no file can hold it."""
    if not SEARCHABLE_CHARACTER.search(text) or LONE_SURROGATE.search(text):
        return None
    printable = "".join(character if character.isprintable() else " " for character in text)
    return f"fullText contains {quote_text(printable)}"


def compile_name_term(comparison: Comparison) -> str | None:
    return join_any(build_equals_term("name", value) for value in list_comparison_values(comparison))


def compile_media_type_term(comparison: Comparison) -> str | None:
    return join_any(build_equals_term("mimeType", value) for value in list_comparison_values(comparison))


def compile_owner_term(comparison: Comparison) -> str | None:
    return join_any(build_owner_term(value) for value in list_comparison_values(comparison))


def compile_modified_term(comparison: Comparison) -> str | None:
    """Return a term that is a second wider at each end, as Drive compares whole seconds."""
    time: datetime = comparison.value
    is_after = comparison.op in (Op.GT, Op.GTE, Op.EQ) and time.year > MIN_YEAR
    is_before = comparison.op in (Op.LT, Op.LTE, Op.EQ) and MIN_YEAR < time.year < MAX_YEAR
    return join_all(
        f"modifiedTime >= '{format_search_time(time - ONE_SECOND)}'" if is_after else None,
        f"modifiedTime <= '{format_search_time(time + ONE_SECOND)}'" if is_before else None,
    )


def format_search_time(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def list_comparison_values(comparison: Comparison) -> Sequence[str]:
    return comparison.value if comparison.op is Op.IN else (comparison.value,)


EQUALITY_OPS = frozenset({Op.EQ, Op.IN})

SEARCHABLE_COLUMNS: Mapping[str, tuple[frozenset[Op], Callable[[Comparison], str | None]]] = {
    "name": (EQUALITY_OPS, compile_name_term),
    "content_type": (EQUALITY_OPS, compile_media_type_term),
    "owner_email": (EQUALITY_OPS, compile_owner_term),
    "modified": (frozenset({Op.EQ, Op.LT, Op.LTE, Op.GT, Op.GTE}), compile_modified_term),
}
"""By column, the operators that narrow a search, and what compiles them."""
