"""Print rows as a table, and times as people read them."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import click


def print_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under their headers, each column as wide as its widest value."""
    lines = [headers, *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(headers))]
    for line in lines:
        click.echo("  ".join(f"{value:{width}}" for value, width in zip(line, widths, strict=True)).rstrip())


def format_minute(moment: datetime | None) -> str:
    """Return a time in UTC, to the minute; an empty text for no time."""
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def format_day(moment: datetime | None) -> str:
    """Return the day of a time, in UTC; an empty text for no time."""
    return "" if moment is None else f"{moment:%Y-%m-%d}"
