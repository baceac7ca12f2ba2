"""Operations that read in, the collections they make out: lists with their rows' paths, and rows that stand alone."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.words import Kind
from introspect.english import singular
from introspect.names import one, snake, words
from introspect.words import Column
from sources.rest.openapi.asked import column_of, filters, found_by, key_of, never_null
from sources.rest.openapi.columns import Shown, columns, kind_of
from sources.rest.openapi.document import Document
from sources.rest.openapi.operations import Operation, Parameter
from sources.rest.openapi.paging import paging
from sources.rest.openapi.rows import Left, Rows, read


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A column that stands in the path, and the parameter it stands there for."""

    column: Column
    parameter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A collection. `shown` are the columns of its rows, without those given; `key` is the column its rows have alone.

    `shape` is that of its path, and `item` that of the path of one of its rows.
    """

    name: str
    of: Operation
    rows: str
    shown: tuple[Shown, ...]
    given: tuple[Given, ...]
    single: bool = False
    key: str = ""
    keys: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    filters: Mapping[str, str] = field(default_factory=dict)
    paging: Mapping[str, Any] | None = None
    comment: str = ""
    shape: tuple[str, ...]
    item: tuple[str, ...] = ()


def collections(document: Document, chosen: Iterable[Operation]) -> tuple[list[Found], list[Left]]:
    """Every operation is in the one or the other, or is the path of a row of the one."""
    answers, left = read(document, chosen)
    lists = {each.of.shape: each for each in answers if not each.single}
    folded: dict[tuple[str, ...], Rows] = {}
    found: list[Found] = []
    items = {each.of.shape: each for each in answers if each.single and each.of.shape[-1:] == ("",)}
    for each in lists.values():
        made = _listed(document, each, items.get((*each.of.shape, "")))
        if made.item:
            folded[made.item] = items[made.item]
        found.append(made)
    for each in answers:
        if each.single and each.of.shape not in folded:
            found.append(_alone(document, each))
    empty = [each for each in found if not each.shown and not each.of.text]
    left += [Left(path=each.of.written, why="its rows have no plain values") for each in empty]
    return _named([each for each in found if each not in empty]), left


def _listed(document: Document, rows: Rows, item: Rows | None) -> Found:
    """A list; where one of its rows has a path of its own, that is how it is found by its key."""
    shown = columns(document, rows.row)
    given = _given(rows.of, shown, apart=True)
    key = key_of(shown)
    keys: dict[str, Mapping[str, Any]] = {}
    shape: tuple[str, ...] = ()
    if item is not None and (column := column_of(item.of.places[-1], rows.of, shown)):
        theirs = {each.column.name: each for each in columns(document, item.row)}
        both = tuple(each for each in shown if each.column.name in theirs)
        if column in theirs and len(both) * 2 >= len(shown):
            shown, key, shape = never_null(both, column), column, item.of.shape
            path = renamed(item.of.path, (*given, _as(item.of.places[-1], column)))
            keys = {column: {"path": path, **({"rows": item.at} if item.at else {})}}
    if key and key not in keys and given:
        keys = {key: {}}
    assert rows.of.answer is not None
    return Found(
        name=".".join(rows.of.steps) or "root", of=rows.of, rows=rows.at, shown=shown, given=given, key=key,
        keys={**found_by(rows.of, shown, keys), **keys}, filters=filters(rows.of, shown),
        paging=paging(document, rows.of, rows.of.answer), shape=rows.of.shape, item=shape, comment=rows.row.comment,
    )  # fmt: skip


def _alone(document: Document, rows: Rows) -> Found:
    """What answers with one row: found by all that stands in its path, which is what identifies it."""
    shown = columns(document, rows.row)
    ends = rows.of.shape[-1:] == ("",)
    given = _given(rows.of, shown, apart=not ends)
    names = {each.column.name for each in given}
    if rows.of.text:
        shown = tuple(replace(each, column=replace(each.column, name="text")) for each in shown)
    return Found(
        name=".".join(rows.of.steps) or "root", of=rows.of, rows=rows.at, given=given, single=True,
        shown=tuple(each for each in shown if each.column.name not in names), shape=rows.of.shape,
        item=rows.of.shape if given else (), comment=rows.row.comment,
    )  # fmt: skip


def _given(of: Operation, shown: Sequence[Shown], *, apart: bool) -> tuple[Given, ...]:
    """`apart`: a parameter is not what a column of the row is, though they have one name."""
    taken = {each.column.name for each in shown} if apart else set()
    found = []
    for place, each in enumerate(of.places):
        own = words(each.name)
        above = (singular(of.steps[min(place, len(of.steps) - 1)]),) if of.steps and len(own) == 1 else ("given",)
        name = next(
            one
            for one in (snake(own), snake((*above, *own)), *(snake((*own, str(n))) for n in range(2, 1000)))
            if one not in taken
        )
        taken.add(name)
        kind = kind_of(each.of)
        large = kind is Kind.INTEGER and each.of.format != "int32"
        column = Column(name=name, kind=kind, nullable=False, large=large, comment=_short(each.comment))
        found.append(Given(column=column, parameter=each.name))
    return tuple(found)


def _as(parameter: Parameter, column: str) -> Given:
    return Given(column=Column(name=column, kind=Kind.TEXT, nullable=False), parameter=parameter.name)


def _short(comment: str) -> str:
    line = comment.strip().partition("\n")[0].partition(". ")[0].replace("`", "")
    return line if len(line) < 100 else ""


def renamed(path: str, given: Iterable[Given]) -> str:
    """A path with the names of columns for those of parameters."""
    for each in given:
        path = path.replace(f"{{{each.parameter}}}", f"{{ {each.column.name} }}")
    return path.replace("{ ", "{").replace(" }", "}")


def _named(found: Sequence[Found]) -> list[Found]:
    """No name twice: the shorter path keeps it, another says what it is found by."""
    taken: set[str] = set()
    named = []
    for each in sorted(found, key=lambda one: (len(one.shape), one.single, one.of.path)):
        name = next(one for one in _names(each) if one not in taken)
        taken.add(name)
        named.append(replace(each, name=name))
    return named


def _names(of: Found) -> Iterator[str]:
    yield of.name
    head, _, last = of.name.rpartition(".")
    dot = f"{head}." if head else ""
    by = [each.column.name for each in of.given]
    noun = snake(one(words(last))) if of.single else last
    if by:
        yield f"{dot}{noun}_by_{by[-1]}"
        yield f"{dot}{noun}_by_{'_'.join(by)}"
    yield from (f"{dot}{last}_{number}" for number in range(2, 10_000))
