"""Operations that read in, the collections they make out: lists with their rows' paths, and rows that stand alone."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.words import Kind
from introspect.english import singular
from introspect.names import one, snake, words
from introspect.words import Column
from sources.rest.declared import SENT
from sources.rest.openapi.columns import Shown, columns, kind_of
from sources.rest.openapi.document import Document
from sources.rest.openapi.operations import Operation, Parameter
from sources.rest.openapi.paging import paging
from sources.rest.openapi.schemas import SCALARS, Known, known

ENVELOPES = ("data", "result", "results", "response", "items", "value", "values")
FEW = 8
"""An object with more than these many members is a row that holds a list, rather than a list with words about it."""
KEYS = frozenset({"id", "key", "uuid", "guid", "sha", "hash", "email", "login", "slug", "name", "number", "username"})
"""How a column ends that links may look for."""
IDS = ("id", "uuid", "guid", "key")
KEYS_A_CALL = 50


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What an operation answers, as rows: where they lie, what one is, and whether there is but one."""

    of: Operation
    at: str
    row: Known
    single: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """An operation that made no collection, and why."""

    path: str
    why: str


def collections(document: Document, chosen: Iterable[Operation]) -> tuple[list[Found], list[Left]]:
    """Every operation is in the one or the other, or is the path of a row of the one."""
    read, left = _read(document, chosen)
    lists = {each.of.shape: each for each in read if not each.single}
    folded: dict[tuple[str, ...], Rows] = {}
    found: list[Found] = []
    items = {each.of.shape: each for each in read if each.single and each.of.shape[-1:] == ("",)}
    for each in lists.values():
        made = _listed(document, each, items.get((*each.of.shape, "")))
        if made.item:
            folded[made.item] = items[made.item]
        found.append(made)
    for each in read:
        if each.single and each.of.shape not in folded:
            found.append(_alone(document, each))
    empty = [each for each in found if not each.shown and not each.of.text]
    left += [Left(path=each.of.written, why="its rows have no plain values") for each in empty]
    return _named([each for each in found if each not in empty]), left


def _read(document: Document, chosen: Iterable[Operation]) -> tuple[list[Rows], list[Left]]:
    read: list[Rows] = []
    left: list[Left] = []
    for each in chosen:
        why = _unreadable(each)
        rows = None if why else _rows(document, each)
        if rows is None:
            left.append(Left(path=each.written, why=why or "it answers with no list and no object"))
        else:
            read.append(rows)
    return read, left


def _unreadable(of: Operation) -> str:
    if of.answer is None and not of.text:
        return "it answers with no JSON and no text"
    if any(each.required and each.of.default is None for each in of.queries):
        return "it asks for a parameter that is no column"
    if any(part and ("{" in part) for part in of.shape):
        return "its path joins a parameter to other letters"
    if any(kind_of(each.of) not in SENT for each in of.places):
        return "a parameter of its path is written in several ways"
    return ""


def _rows(document: Document, of: Operation) -> Rows | None:
    if of.answer is None:
        return Rows(of=of, at="", row=Known(type="string", comment="The text"), single=True)
    if of.answer.type == "array":
        return _list(document, of, of.answer, "")
    if of.answer.type != "object" or not of.answer.properties:
        return None
    return _wrapped(document, of, of.answer, "") or _one(document, of)


def _list(document: Document, of: Operation, answer: Known, at: str) -> Rows | None:
    row = known(document, answer.items)
    good = row.type in SCALARS or (row.type == "object" and row.properties)
    return Rows(of=of, at=at, row=row, single=False) if good else None


def _wrapped(document: Document, of: Operation, answer: Known, at: str) -> Rows | None:
    """The list that an object with few words about it holds."""
    members = {name: known(document, each) for name, each in answer.properties.items() if "." not in name}
    arrays = {name: each for name, each in members.items() if each.type == "array"}
    if len(arrays) == 1:
        ((name, each),) = arrays.items()
        ends = of.shape[-1:] == ("",)
        same = bool(of.steps) and one(words(name))[-1:] == one(words(of.steps[-1]))[-1:]
        if not ends and len(members) <= FEW and (same or name in ENVELOPES or paging(document, of, answer)):
            return _list(document, of, each, f"{at}{name}")
    for name in ENVELOPES:
        if not at and name in members and members[name].type == "object":
            return _wrapped(document, of, members[name], f"{name}.")
    return None


def _one(document: Document, of: Operation) -> Rows:
    """The object itself, or the one that an envelope holds."""
    assert of.answer is not None
    for name in ENVELOPES[:2]:
        inner = known(document, of.answer.properties.get(name))
        if inner.type == "object" and inner.properties and len(of.answer.properties) <= FEW:
            return Rows(of=of, at=name, row=inner, single=True)
    return Rows(of=of, at="", row=of.answer, single=True)


def _listed(document: Document, rows: Rows, item: Rows | None) -> Found:
    """A list; where one of its rows has a path of its own, that is how it is found by its key."""
    shown = columns(document, rows.row)
    given = _given(rows.of, shown, apart=True)
    key = _key(shown)
    keys: dict[str, Mapping[str, Any]] = {}
    shape: tuple[str, ...] = ()
    if item is not None and (column := _column_of(item.of.places[-1], rows.of, shown)):
        theirs = {each.column.name: each for each in columns(document, item.row)}
        both = tuple(each for each in shown if each.column.name in theirs)
        if column in theirs and len(both) * 2 >= len(shown):
            shown, key, shape = _never_null(both, column), column, item.of.shape
            path = renamed(item.of.path, (*given, _as(item.of.places[-1], column)))
            keys = {column: {"path": path, **({"rows": item.at} if item.at else {})}}
    if key and key not in keys and given:
        keys = {key: {}}
    assert rows.of.answer is not None
    return Found(
        name=".".join(rows.of.steps) or "root", of=rows.of, rows=rows.at, shown=shown, given=given, key=key,
        keys={**_found_by(rows.of, shown, keys), **keys}, filters=_filters(rows.of, shown),
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


def _key(shown: Sequence[Shown]) -> str:
    """What is called an id and is always there identifies a row."""
    names = {each.column.name for each in shown if not each.column.nullable and each.column.kind in SENT and each.at}
    return next((each for each in IDS if each in names), "")


def _column_of(parameter: Parameter, of: Operation, shown: Sequence[Shown]) -> str:
    """The column that the last parameter of a row's path asks for."""
    kinds = {each.column.name: each.column.kind for each in shown}
    own, noun = words(parameter.name), one(words(of.steps[-1]) if of.steps else ("row",))
    tried = [snake(own)]
    tried += [snake(own[start:]) for start in range(1, len(own)) if set(own[:start]) <= {*noun, *_nouns(of)}]
    tried += ["id"] if own[-1] == "id" else []
    return next((each for each in tried if kinds.get(each) is kind_of(parameter.of)), "")


def _nouns(of: Operation) -> set[str]:
    return {singular(word) for step in of.steps[-2:] for word in words(step)}


def _never_null(shown: Sequence[Shown], key: str) -> tuple[Shown, ...]:
    return tuple(
        replace(each, column=replace(each.column, nullable=False)) if each.column.name == key else each
        for each in shown
    )


def _filters(of: Operation, shown: Sequence[Shown]) -> dict[str, str]:
    """Parameters that have a column's name and kind ask for equality; whether that is so, nothing can say but a try."""
    kinds = {each.column.name: each.column.kind for each in shown if each.at}
    found = {}
    for each in of.queries:
        name = snake(words(each.name))
        if each.of.type in SCALARS and kinds.get(name) is kind_of(each.of) and kinds[name] in SENT:
            found[name] = each.name
    return found


def _found_by(of: Operation, shown: Sequence[Shown], taken: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Parameters that take several values of a column, or one of a column that links may look for."""
    kinds = {each.column.name: each.column.kind for each in shown if each.at}
    found: dict[str, Mapping[str, Any]] = {}
    for each in of.queries:
        own = words(each.name)
        name = next((one for one in (snake(own), snake((*own[:-1], singular(own[-1])))) if one in kinds), "")
        if not name or name in taken or kinds[name] not in SENT:
            continue
        if each.of.type == "array":
            most = min(each.of.most or KEYS_A_CALL, KEYS_A_CALL)
            found[name] = {"parameter": each.name, "most": most, **({"separator": ","} if each.joined else {})}
        elif own[-1] in KEYS and kind_of(each.of) is kinds[name]:
            found[name] = {"parameter": each.name}
    return found


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
