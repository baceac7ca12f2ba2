"""A pattern like `{customer_id:int}/{name}` goes in; which text has that form, and with which values, comes out."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from onedoor.spi.capabilities import ColumnType

PLACEHOLDER_PATTERN = re.compile(r"\{(?P<name>[a-z][a-z0-9_]*)(?::(?P<type>int))?\}")

CANONICAL_INTEGER_PATTERN = r"0|-?[1-9][0-9]*"
"""Only as `str` writes it: "007" is no 7, or a prefix made of 7 would miss it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPattern:
    """The columns text of this form has, in their order, and the literal text before, between and after them."""

    columns: Mapping[str, ColumnType]
    literals: tuple[str, ...]
    regex: re.Pattern[str]

    def match(self, text: str) -> Mapping[str, str | int] | None:
        """The columns' values, or None when the text has another form."""
        found = self.regex.fullmatch(text)
        if found is None:
            return None
        return {
            name: int(part) if self.columns[name] is ColumnType.INTEGER else part
            for name, part in found.groupdict().items()
        }

    def build_prefix(self, values: Mapping[str, object]) -> str:
        """The longest text that everything with these values starts with; a value counts if all before it are given."""
        text = self.literals[0]
        for name, literal in zip(self.columns, self.literals[1:], strict=True):
            if name not in values:
                return text
            text += f"{values[name]}{literal}"
        return text


def compile_pattern(text: str) -> PathPattern:
    """The pattern written in `text`; ValueError says what is wrong with it.

    A value holds no slash, except the last one of a pattern that ends with it: that one holds all the rest.
    """
    places = list(PLACEHOLDER_PATTERN.finditer(text))
    columns = {place["name"]: ColumnType.INTEGER if place["type"] else ColumnType.TEXT for place in places}
    literals = tuple(PLACEHOLDER_PATTERN.sub("\0", text).split("\0"))
    check_pattern(text, literals, len(columns) == len(places))
    return PathPattern(columns=columns, literals=literals, regex=re.compile(build_regex(columns, literals), re.DOTALL))


def check_pattern(text: str, literals: tuple[str, ...], distinct: bool) -> None:
    if not distinct:
        raise ValueError(f"pattern `{text}` names a column twice")
    if any("{" in literal or "}" in literal for literal in literals):
        raise ValueError(f"pattern `{text}` has a brace that is no column, a column is `{{name}}` or `{{name:int}}`")
    if "" in literals[1:-1]:
        raise ValueError(f"pattern `{text}` has two columns with nothing between them")


def build_regex(columns: Mapping[str, ColumnType], literals: tuple[str, ...]) -> str:
    parts = [re.escape(literals[0])]
    for place, (name, kind) in enumerate(columns.items(), start=1):
        ends = place == len(columns) and not literals[-1]
        parts.append(
            f"(?P<{name}>{CANONICAL_INTEGER_PATTERN if kind is ColumnType.INTEGER else '.+' if ends else '[^/]+?'})"
        )
        parts.append(re.escape(literals[place]))
    return "".join(parts)
