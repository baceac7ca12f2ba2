"""Plan and filter reads of labelled time series: what Prometheus and Datadog have in common."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

from onedoor.connectors.path_patterns import CANONICAL_INTEGER_PATTERN
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.operators import compile_key, compile_predicate
from onedoor.spi.predicates import Comparison, Op, Row, split_conjuncts
from onedoor.spi.scan import ScanRequest

EQUALITY_OPS = frozenset({Op.EQ, Op.IN})

RANGE_OPS = frozenset({Op.EQ, Op.LT, Op.LTE, Op.GT, Op.GTE})

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

MILLISECOND = timedelta(milliseconds=1)

INTEGER_PATTERN = re.compile(CANONICAL_INTEGER_PATTERN)


def get_current_second() -> datetime:
    """Return the time in whole seconds, so that two reads within a second are one read to a cache."""
    return datetime.now(UTC).replace(microsecond=0)


def find_allowed_values(column: str, request: ScanRequest) -> frozenset[Any] | None:
    """Return the values that filter and keys leave to a column; None when they say nothing of it."""
    allowed = [
        frozenset((comparison.value,) if comparison.op is Op.EQ else comparison.value)
        for comparison in iterate_comparisons(request, column)
        if comparison.op in EQUALITY_OPS
    ]
    if request.keys is not None and column in request.keys.columns:
        allowed.append(collect_key_values(column, request))
    return frozenset.intersection(*allowed) if allowed else None


def collect_key_values(column: str, request: ScanRequest) -> frozenset[Any]:
    assert request.keys is not None
    place = request.keys.columns.index(column)
    return frozenset(key[place] for key in request.keys.values)


def iterate_comparisons(request: ScanRequest, column: str) -> Iterator[Comparison]:
    """Yield the comparisons with a column; the connectors promise nothing but conjunctions of comparisons."""
    return (comparison for comparison in split_conjuncts(request.filter) if comparison.column == column)


def filter_rows(rows: Sequence[Row], columns: Sequence[str], request: ScanRequest) -> list[Row]:
    """Return the requested columns of the rows that meet keys and filter; `columns` is the order of the values."""
    meets_filter, project = compile_predicate(request.filter, columns), compile_key(request.columns, columns)
    if request.keys is None:
        return [project(row) for row in rows if meets_filter(row)]
    get_key, keys = compile_key(request.keys.columns, columns), frozenset(request.keys.values)
    return [project(row) for row in rows if get_key(row) in keys and meets_filter(row)]


def convert_label(text: str | None, column_type: ColumnType) -> str | int | None:
    """Convert the value of a label; an empty one is missing, and text is no whole number."""
    if not text or column_type is ColumnType.TEXT:
        return text or None
    return int(text) if INTEGER_PATTERN.fullmatch(text) else None


def convert_sample(value: float | None) -> float | None:
    """Convert the value of a sample; what is not finite is null."""
    return float(value) if value is not None and isfinite(value) else None
