"""Operations that read in, what they answer as rows out: where these lie, and whether there is but one."""

from collections.abc import Iterable
from dataclasses import dataclass

from introspect.names import one, words
from sources.rest.openapi.columns import kind_of
from sources.rest.openapi.document import Document
from sources.rest.openapi.operations import Operation
from sources.rest.openapi.paging import paging
from sources.rest.openapi.schemas import SCALARS, Known, known
from sources.rest.readers import SENT

ENVELOPES = ("data", "result", "results", "response", "items", "value", "values")
FEW = 8
"""An object with more than these many members is a row that holds a list, rather than a list with words about it."""


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


def read(document: Document, chosen: Iterable[Operation]) -> tuple[list[Rows], list[Left]]:
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
