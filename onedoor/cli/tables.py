"""Print rows as a table for people, or as JSON for programs, and times as people read them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click
import orjson

JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def print_listing(
    rows: Iterable[Mapping[str, Any]],
    columns: Mapping[str, str],
    *,
    as_json: bool,
    format_time: Callable[[datetime], str] | None = None,
) -> None:
    """Print rows as a list of JSON objects, or else those `columns` of them, by name, under their headers."""
    if as_json:
        click.echo(orjson.dumps(list(rows), option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode())
        return
    cells = ([_format_cell(row[name], format_time or format_day) for name in columns] for row in rows)
    print_table(tuple(columns.values()), cells)


def _format_cell(value: Any, format_time: Callable[[datetime], str]) -> str:
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, list | tuple):
        return " ".join(value)
    return "" if value is None else str(value)


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
