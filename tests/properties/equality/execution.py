"""Run a query and compare its result with that of the naive evaluation."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import orjson

from onedoor.query.context import ExecutionResult
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import SpillTable
from onedoor.spi.predicates import ALWAYS_TRUE
from onedoor.spi.scan import ScanRequest
from onedoor.spi.spill import OpenSpillTable
from tests.acme import ask
from tests.properties.equality.draw import Question
from tests.properties.equality.model import MODEL, ROOTS, SINGLES
from tests.properties.equality.naive import data
from tests.properties.equality.question import Field, Place, build_document
from tests.properties.equality.world import engine
from tests.query.pushdown.strict import Strict

Ask = Callable[..., Awaitable[ExecutionResult]]
"""Asks a text, with `variables`, and returns what it came to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was to be answered, turn by turn, and how the first that differs does: before a colon, in what manner."""

    expected: Sequence[Mapping[str, Any]]
    difference: str | None
    steps: Sequence[str]
    """What the sources were asked to do, each as often as they were."""
    outgrown: int
    """How many tables of the spill database it took."""


async def outcome(of: Question, scratch: OpenSpillTable) -> Outcome:
    tables: list[SpillTable] = []

    def opened(kinds: Mapping[str, ColumnType]) -> SpillTable:
        tables.append(scratch(kinds))
        return tables[-1]

    at = engine(of.world, opened)
    expected = [data(of.world, fields) for fields in of.turns]
    results = [await differing(partial(ask, at), fields, item) for fields, item in zip(of.turns, expected, strict=True)]
    asks = [ask for source in at.catalog.connectors.values() if isinstance(source, Strict) for ask in source.requests]
    return Outcome(
        expected=expected,
        difference=next(filter(None, results), None),
        steps=[name for item in asks for name in steps(item)],
        outgrown=len(tables),
    )


async def differing(ask: Ask, fields: Sequence[Field], expected: Mapping[str, Any]) -> str | None:
    """Count every exception as a difference, so that it is reported with its query."""
    try:
        text, variables = build_document(await placed(ask, fields, "Query"))
        return difference(await ask(text, variables=variables), expected)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def steps(of: ScanRequest) -> Iterator[str]:
    done = {
        "reads": True,
        "keys": of.keys,
        "joins": of.joins,
        "filters": of.filter != ALWAYS_TRUE,
        "keys in filters": "InKeys(" in repr(of.filter),
        "orders": of.sort and not of.aggregates,
        "limits": of.limit is not None and not of.aggregates,
        "groups": of.aggregates and of.columns,
        "cut groups": of.time_buckets,
        "arranged groups": of.aggregates and (of.sort or of.having != ALWAYS_TRUE),
    }
    return (name for name, is_done in done.items() if is_done)


def difference(answer: ExecutionResult, expected: Mapping[str, Any]) -> str | None:
    if answer.errors:
        messages = "; ".join(f"{error.message} at {error.path}" for error in answer.errors)
        return f"{' '.join(sorted({error.code for error in answer.errors}))}: {messages}"
    result, wanted = (orjson.dumps(item).decode() for item in (answer.data, expected))
    return None if result == wanted else f"data: {result}\n  expected {wanted}"


async def placed(ask: Ask, fields: Sequence[Field], kind: str) -> list[Field]:
    """The fields, with the cursors of the places they name, as the product tells them."""
    return [await placing(ask, field, kind) for field in fields]


async def placing(ask: Ask, field: Field, kind: str) -> Field:
    given = dict(field.arguments)
    for name, value in field.arguments.items():
        if isinstance(value, Place):
            given[name] = replace(value, cursor=await cursor(ask, field, kind, value.id))
    return replace(field, arguments=given, below=await placed(ask, field.below, below(field, kind)))


def below(field: Field, kind: str) -> str:
    """The type whose fields stand below; what only leads on to rows keeps theirs."""
    links = MODEL[kind].links if kind in MODEL else {}
    return links[field.name].to if field.name in links else {**ROOTS, **SINGLES}.get(field.name, kind)


async def cursor(ask: Ask, field: Field, kind: str, wanted: str) -> str:
    """Of the row with this id, in this list of whatever parent has it."""
    arguments = {name: argument for name, argument in field.arguments.items() if name in ("where", "orderBy")}
    page = [Field(name="edges", below=[Field(name="cursor"), Field(name="node", below=[Field(name="id")])])]
    fields = [Field(name=field.name, arguments={**arguments, "first": 1000}, below=page)]
    if kind != "Query":
        fields = [Field(name=MODEL[kind].all, arguments={"first": 1000}, below=[Field(name="nodes", below=fields)])]
    answer = await ask(build_document(fields)[0])
    results = {edge["node"]["id"]: edge["cursor"] for edge in edges(answer.data)}
    if wanted not in results:
        raise LookupError(f"no cursor of `{wanted}` in {answer.data}, {answer.errors}")
    return str(results[wanted])


def edges(data: Any) -> Iterator[Any]:
    """All edges, wherever they stand."""
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    for item in inner:
        if isinstance(item, dict) and "cursor" in item:
            yield item
        else:
            yield from edges(item)
