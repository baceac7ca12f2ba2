"""Series as Prometheus gives them in, rows out: the labels, the window and step they were asked for, time and value."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from math import isfinite
from typing import Any

from engine.finish import key_of, predicate
from engine.words import Ask, Kind, Row, Value
from sources.patterns import INTEGER
from sources.prometheus.collection import Collection
from sources.prometheus.failures import undeclared
from sources.prometheus.questions import EPOCH, Question

WHOLE = re.compile(INTEGER)


def rows(series: Sequence[Any], question: Question, collection: Collection) -> list[Row]:
    """Every row that was given, in the order of the collection's columns. SourceFailed: two look alike."""
    seen = [tuple(_label(each["metric"], name, kind) for name, kind in collection.labels.items()) for each in series]
    if len(set(seen)) < len(seen):
        raise undeclared(collection.name)
    asked = (*((question.window,) if collection.windows else ()), *((question.step,) if collection.steps else ()))
    return [
        (*labels, *asked, at, _value(value))
        for labels, each in zip(seen, series, strict=True)
        for at, value in _points(each, question)
    ]


def kept(found: Sequence[Row], ask: Ask, collection: Collection) -> list[Row]:
    """Those that are meant, with the columns that are wanted."""
    columns = tuple(collection.columns)
    meets, wanted = predicate(ask.where, columns), key_of(ask.columns, columns)
    if ask.keys is None:
        return [wanted(row) for row in found if meets(row)]
    key, keys = key_of(ask.keys.columns, columns), frozenset(ask.keys.values)
    return [wanted(row) for row in found if key(row) in keys and meets(row)]


def _points(series: Mapping[str, Any], question: Question) -> Iterator[tuple[Value, str]]:
    """At an instant the time is the one that was asked, which Prometheus gives back in milliseconds."""
    if question.at is not None:
        yield question.at, series["value"][1]
        return
    for at, value in series["values"]:
        yield EPOCH + timedelta(milliseconds=round(at * 1000)), value


def _label(metric: Mapping[str, str], name: str, kind: Kind) -> Value:
    """An empty label is not there; one that is no whole number where it should be has no value."""
    found = metric.get(name) or None
    if found is None or kind is Kind.TEXT:
        return found
    return int(found) if WHOLE.fullmatch(found) else None


def _value(text: str) -> float | None:
    """What is not a number, or has no end, has no value."""
    found = float(text)
    return found if isfinite(found) else None
