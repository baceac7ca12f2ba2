"""Match text against patterns such as `{customer_id:int}/{name}`, whose placeholders are columns."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from onedoor.spi.capabilities import ColumnType

PLACEHOLDER_PATTERN = re.compile(r"\{(?P<name>[a-z][a-z0-9_]*)(?::(?P<type>int))?\}")

CANONICAL_INTEGER_PATTERN = r"0|-?[1-9][0-9]*"
"""An integer as `str` writes it: "007" is no 7, or a prefix with 7 would miss it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPattern:
    """The columns of a pattern in their order, and the literals before, between and after them."""

    columns: Mapping[str, ColumnType]
    literals: tuple[str, ...]
    regex: re.Pattern[str]

    def match(self, text: str) -> Mapping[str, str | int] | None:
        """Return the columns' values, or None when the text has another form."""
        match = self.regex.fullmatch(text)
        if match is None:
            return None
        return {
            name: int(value) if self.columns[name] is ColumnType.INTEGER else value
            for name, value in match.groupdict().items()
        }

    def build_prefix(self, values: Mapping[str, object]) -> str:
        """Return the longest prefix of every text with these values; a value counts when all before it are given."""
        text = self.literals[0]
        for name, literal in zip(self.columns, self.literals[1:], strict=True):
            if name not in values:
                return text
            text += f"{values[name]}{literal}"
        return text


def compile_pattern(text: str) -> PathPattern:
    """Compile a pattern. Raises ValueError, which says what is wrong with it.

    A value has no slash in it, save that of a placeholder at the end of a pattern, which takes all the rest.
    """
    placeholders = list(PLACEHOLDER_PATTERN.finditer(text))
    columns = {match["name"]: ColumnType.INTEGER if match["type"] else ColumnType.TEXT for match in placeholders}
    if len(columns) < len(placeholders):
        raise ValueError(f"pattern `{text}` names a column twice")
    literals = tuple(PLACEHOLDER_PATTERN.sub("\0", text).split("\0"))
    _check_literals(text, literals)
    return PathPattern(columns=columns, literals=literals, regex=_build_regex(columns, literals))


def _check_literals(text: str, literals: tuple[str, ...]) -> None:
    if any("{" in literal or "}" in literal for literal in literals):
        raise ValueError(f"pattern `{text}` has a brace that is no column, a column is `{{name}}` or `{{name:int}}`")
    if "" in literals[1:-1]:
        raise ValueError(f"pattern `{text}` has two columns with nothing between them")


def _build_regex(columns: Mapping[str, ColumnType], literals: tuple[str, ...]) -> re.Pattern[str]:
    parts = [re.escape(literals[0])]
    for number, (name, column_type) in enumerate(columns.items(), start=1):
        if column_type is ColumnType.INTEGER:
            value = CANONICAL_INTEGER_PATTERN
        else:
            value = ".+" if number == len(columns) and not literals[-1] else "[^/]+?"
        parts += [f"(?P<{name}>{value})", re.escape(literals[number])]
    return re.compile("".join(parts), re.DOTALL)
