"""Ask everything there is to ask of a table, and name every answer that contradicts what is shown."""

import json
from collections import Counter
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Protocol

from tests.properties.foreign import expect
from tests.properties.foreign.columns import ANYTHING, BAD, ColumnType
from tests.properties.foreign.expect import Row
from tests.properties.foreign.shape import Field, Shape
from tests.properties.foreign.tables import Table

PAGE_SIZES = (1, 2)


@dataclass(frozen=True, slots=True)
class Failure:
    """An error of an answer."""

    code: str
    message: str
    path: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """Data and errors of a reply."""

    data: Any
    errors: Sequence[Failure]


class Ask(Protocol):
    """Asks the product."""

    def __call__(self, text: str, variables: dict[str, Any] | None = None) -> Awaitable[Answer]: ...


class Contradiction(Exception):
    """An answer is wrong, or contradicts another; the text says which and how."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A table and what is shown of it."""

    ask: Ask
    table: Table
    shape: Shape
    rows: Sequence[Row]
    """In the order of their keys, each with its number `n`; what cannot be shown is null."""

    @property
    def has_lost_rows(self) -> bool:
        """Whether rows have a key that cannot be shown, so that no cursor tells them apart."""
        return any(row["id"] is None for row in self.rows)

    @property
    def fields(self) -> Iterator[Field]:
        sql_types = {name: type.sql for name, type in zip(self.table.columns, self.table.types, strict=True)}
        return (
            replace(self.shape.fields[name], sql=sql_types.get(name, ""))
            for name in ("id", *self.table.columns)
            if name in self.shape.fields
        )

    async def fetch(self, selection: str) -> Any:
        """Fetch what a query selects of the table; errors of single cells are no contradiction here."""
        answer = await self.ask(f"{{ {self.shape.many}{selection} }}")
        for error in answer.errors:
            if error.code != "SOURCE_INVALID":
                raise Contradiction(f"{selection}: {error.code}: {error.message}")
        if answer.data is None or answer.data[self.shape.many] is None:
            raise Contradiction(f"{selection}: nothing was served: {[error.message for error in answer.errors]}")
        return answer.data[self.shape.many]


async def open_probe(ask: Ask, table: Table, kept: Sequence[int], shape: Shape) -> Probe:
    """Read the whole table column by column, and hold each cell to what its literal is to be shown as.

    A row is null in its list where its key, or another value that is never null, cannot be shown.
    """
    numbers = [int(row["n"]) for row in await _read_rows(ask, shape, "")]
    if sorted(numbers) != sorted(kept):
        raise Contradiction(f"the list has the rows {numbers}, right are {kept}")
    rows: list[dict[str, Any]] = [{"n": number} for number in numbers]
    for name in (name for name in ("id", *table.columns) if name in shape.fields):
        for row, shown in zip(rows, await _read_rows(ask, shape, name), strict=True):
            if shown is not None and int(shown["n"]) != row["n"]:
                raise Contradiction(f"with {name} the rows come in another order")
            row[name] = None if shown is None else shown[name]
    for row in rows:
        for name, (literal, right) in zip(table.columns, table.rows[row["n"]], strict=True):
            if name in row and not _is_right(row[name], right):
                raise Contradiction(f"{name} {literal} is shown {row[name]!r}, right is {right!r}")
    return Probe(ask, table, shape, rows)


async def _read_rows(ask: Ask, shape: Shape, selection: str) -> Sequence[Any]:
    """Return the rows with their numbers; each null, and nothing else, has an error of its own."""
    answer = await ask(f"{{ {shape.many}(first: 100) {{ nodes {{ n {selection} }} totalCount }} }}")
    served = answer.data and answer.data[shape.many] and answer.data[shape.many]["nodes"]
    if served is None or any(error.code != "SOURCE_INVALID" for error in answer.errors):
        raise Contradiction(f"the list of {selection} is not served: {answer.errors}")
    bad_places = {error.path[2] for error in answer.errors if len(error.path) == 4}
    null_places = {place for place, row in enumerate(served) if row is None or (selection and row[selection] is None)}
    lost_places = {place for place, row in enumerate(served) if row is None}
    if not lost_places <= bad_places <= null_places:
        raise Contradiction(f"{selection} has errors at {bad_places}, nulls at {null_places}, lost rows {lost_places}")
    return list(served)


def _is_right(value: Any, shown: Any) -> bool:
    if shown is ANYTHING:
        return True
    if shown is BAD:
        return value is None
    if isinstance(shown, Decimal):
        return value is not None and Decimal(str(value)) == shown
    return bool(value == shown)


def list_numbers(nodes: Sequence[Any]) -> list[int]:
    """List the numbers of the rows that are shown."""
    return [int(row["n"]) for row in nodes if row is not None]


async def check_filters(probe: Probe, field: Field) -> int:
    """Ask by each operator for each value that is shown, and return how many questions that were."""
    asked = 0
    for operator, operand in expect.draw_filters(field, probe.rows):
        where = f"{{{field.name}: {{{operator}: {write(field, operand)}}}}}"
        found = await probe.fetch(f"(first: 100, where: {where}) {{ totalCount nodes {{ n }} }}")
        right = sorted(row["n"] for row in probe.rows if expect.matches(field, operator, operand, row))
        numbers = sorted(list_numbers(found["nodes"]))
        if numbers != right or found["totalCount"] != len(right):
            raise Contradiction(f"where {where} finds {numbers} ({found['totalCount']}), right are {right}")
        asked += 1
    return asked


async def check_pages(probe: Probe, field: Field | None) -> int:
    """Page through the table both ways by every order of the field; None: by no order."""
    asked = 0
    for direction in ("ASC", "DESC") if field else ("",):
        order = f"orderBy: [{{{field.name}: {direction}}}]" if field else ""
        for size in PAGE_SIZES:
            forwards = await _walk(probe, order, size, "first", "after")
            asked += 1
            if probe.has_lost_rows:
                if len({*forwards}) < len(forwards):
                    raise Contradiction(f"{order} by {size}: {forwards} has rows twice")
                continue
            backwards = await _walk(probe, order, size, "last", "before")
            if forwards != backwards[::-1]:
                raise Contradiction(f"{order} by {size}: forwards {forwards}, backwards {backwards}")
            if sorted(forwards) != sorted(row["n"] for row in probe.rows):
                raise Contradiction(f"{order} by {size}: {forwards} are not all rows once")
            asked += 1
            if field and expect.is_ordered_by_value(field):
                shown = {row["n"]: row[field.name] for row in probe.rows}
                values = [None if shown[n] is None else expect.read(field, shown[n]) for n in forwards]
                right = expect.sort(probe.rows, field, descending=direction == "DESC")
                if values != right:
                    raise Contradiction(f"{order}: {values}, right is {right}")
    return asked


async def _walk(probe: Probe, order: str, size: int, count: str, cursor: str) -> list[int]:
    """Return the numbers of the rows page by page; no page more than there are rows."""
    numbers: list[int] = []
    place, flag = ("endCursor", "hasNextPage") if count == "first" else ("startCursor", "hasPreviousPage")
    at = None
    for _ in range(len(probe.rows) + 2):
        start = f", {cursor}: {json.dumps(at)}" if at else ""
        page = await probe.fetch(f"({order} {count}: {size}{start}) {{ nodes {{ n }} pageInfo {{ {flag} {place} }} }}")
        found = list_numbers(page["nodes"])
        numbers += found if count == "first" else found[::-1]
        at = page["pageInfo"][place]
        if not page["pageInfo"][flag] or (at is None and probe.has_lost_rows):
            return numbers
    raise Contradiction(f"{order} {count} {size} does not end: {numbers}")


async def check_groups(probe: Probe, field: Field) -> int:
    """Count the rows of each value, and take each aggregate that the field has."""
    asked = 0
    if "VALUE" in field.group_units:
        found = await probe.fetch(
            f" {{ groups(by: [{{{field.name}: VALUE}}]) {{ key {{ {field.name} }} aggregate {{ count }} }} }}"
        )
        counts = [(group["key"][field.name], group["aggregate"]["count"]) for group in found["groups"]]
        read = [(None if value is None else expect.read(field, value), count) for value, count in counts]
        right = expect.count_groups(field, probe.rows)
        if Counter(dict(read)) != right or len(read) != len(right):
            raise Contradiction(f"groups by {field.name} are {read}, right is {dict(right)}")
        asked += 1
    for function in sorted(field.functions & {"countDistinct", "min", "max"}):
        found = await probe.fetch(f" {{ aggregate {{ {function} {{ {field.name} }} }} }}")
        value = found["aggregate"][function][field.name]
        read_value = value if value is None or function == "countDistinct" else expect.read(field, value)
        if read_value != (right_value := expect.aggregate(function, field, probe.rows)):
            raise Contradiction(f"{function} of {field.name} is {read_value!r}, right is {right_value!r}")
        asked += 1
    for function in sorted(field.functions & {"sum", "avg"}):
        await probe.fetch(f" {{ aggregate {{ {function} {{ {field.name} }} }} }}")
        asked += 1
    for unit in sorted(field.group_units - {"VALUE"}):
        found = await probe.fetch(
            f" {{ groups(by: [{{{field.name}: {unit}}}]) {{ key {{ {field.name} }} aggregate {{ count }} }} }}"
        )
        if sum(group["aggregate"]["count"] for group in found["groups"]) != len(probe.rows):
            raise Contradiction(f"groups by the {unit} of {field.name} are not of all rows: {found}")
        asked += 1
    return asked


async def check_ids(probe: Probe) -> int:
    """Read each row by the id that is shown of it, and by other spellings of it."""
    asked = 0
    for row in (row for row in probe.rows if row["id"] is not None):
        for id in list_spellings(probe.table.types[0], row["id"]):
            answer = await probe.ask(f"{{ {probe.shape.one}(id: {json.dumps(id)}) {{ n }} }}")
            found = answer.data and answer.data[probe.shape.one]
            same = [other["n"] for other in probe.rows if other["id"] == row["id"]]
            if not found or int(found["n"]) not in same:
                raise Contradiction(f"the row of id {id} is {found}, right is one of {same}: {answer.errors}")
            asked += 1
    return asked


async def check_spellings(probe: Probe, field: Field, type: ColumnType) -> int:
    """Ask for equality to each spelling of each value that is shown."""
    asked = 0
    if "eq" not in field.operators:
        return asked
    for value in {str(value): value for row in probe.rows if (value := row[field.name]) is not None}.values():
        right = sorted(row["n"] for row in probe.rows if row[field.name] == value)
        for spelling in [*list_spellings(type, value)][1:]:
            where = f"{{{field.name}: {{eq: {json.dumps(spelling)}}}}}"
            found = await probe.fetch(f"(first: 100, where: {where}) {{ nodes {{ n }} }}")
            if sorted(list_numbers(found["nodes"])) != right:
                raise Contradiction(f"where {where} finds {found['nodes']}, right are {right}")
            asked += 1
    return asked


def list_spellings(type: ColumnType, value: Any) -> Iterator[Any]:
    """Yield the value and what else its type takes for the same."""
    yield value
    if type.sql == "uuid":
        yield from (value.upper(), value.replace("-", ""), f"{{{value}}}")
    if type.sql == "jsonb":
        yield f" {value} "


def write(field: Field, value: Any) -> str:
    """Write a value as GraphQL has it."""
    if isinstance(value, list):
        return f"[{', '.join(write(field, item) for item in value)}]"
    return value if field.enum_values and isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def summarise(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
