"""Rows as Snowflake gives them in, as the words mean them out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.words import Ask, Row
from sources.snowflake.groups import results
from sources.snowflake.tables import Table
from sources.snowflake.values import SHOWN


def shown_by(ask: Ask, tables: Mapping[str, Table]) -> Sequence[Callable[[Any], Any] | None]:
    """How the values of each column of its answer are read; None: as they come."""
    return [SHOWN.get(each.kind) for _, each in results(ask, tables[ask.collection].columns)]


def shown(rows: Sequence[Row], shows: Sequence[Callable[[Any], Any] | None]) -> list[Row]:
    """The rows with their values as the words mean them; of an ask without columns and measures, empty rows."""
    if not shows:
        return [()] * len(rows)
    if not any(shows):
        return [tuple(row) for row in rows]
    return [
        tuple(
            show(value) if show is not None and value is not None else value
            for show, value in zip(shows, row, strict=True)
        )
        for row in rows
    ]
