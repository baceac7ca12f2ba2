"""The schema of a row in, its columns out: what a row says of itself, and what names the things it speaks of."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from engine.words import Kind
from introspect.names import snake, words
from introspect.words import Column
from sources.rest.openapi.document import Document
from sources.rest.openapi.schemas import SCALARS, Known, known

DEEP = 2
NAMING = frozenset({"id", "login", "name", "email", "key", "slug", "number", "username", "full_name", "title", "sha"})
"""What is shown of a thing that has a schema of its own: enough to know which one it is."""
TEXTS = {"date-time": Kind.TIME, "date": Kind.DATE, "decimal": Kind.DECIMAL}
PLAIN = {"integer": Kind.INTEGER, "number": Kind.FLOAT, "boolean": Kind.BOOLEAN}
NUMBERED = ("id", "timestamp", "bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A column, and where it lies in a row, by dots."""

    column: Column
    at: str


def columns(document: Document, row: Known) -> tuple[Shown, ...]:
    """None twice: of two of one name the first. A row that is no object is its only column."""
    if row.type in SCALARS:
        return (Shown(column=_column("value", replace(row, nullable=False)), at=""),)
    found: dict[str, Shown] = {}
    for each in _columns(document, row, (), nullable=False):
        found.setdefault(each.column.name, each)
    return tuple(found.values())


def _columns(document: Document, of: Known, place: tuple[str, ...], *, nullable: bool) -> Iterator[Shown]:
    for name, schema in of.properties.items():
        if not isinstance(schema, Mapping) or schema.get("writeOnly") is True or "." in name or not name:
            continue
        each = known(document, schema)
        absent = nullable or each.nullable or name not in of.required
        called = snake(tuple(word for step in (*place, name) for word in words(step)))
        at = ".".join((*place, name))
        if each.type == "object" and len(place) < DEEP:
            yield from _columns(document, _naming(each), (*place, name), nullable=absent)
        elif each.type in SCALARS:
            yield Shown(column=_column(called, replace(each, nullable=absent)), at=at)
        elif each.type == "array" and known(document, each.items).type in ("string", "integer"):
            yield Shown(column=Column(name=called, kind=Kind.LIST, nullable=absent, comment=plain(each.comment)), at=at)


def _naming(of: Known) -> Known:
    if not of.name:
        return of
    return replace(of, properties={name: each for name, each in of.properties.items() if name in NAMING})


def _column(name: str, of: Known) -> Column:
    kind = kind_of(of)
    return Column(
        name=name,
        kind=kind,
        nullable=of.nullable,
        large=kind is Kind.INTEGER and (of.format == "int64" or (not of.format and name.endswith(NUMBERED))),
        comment=plain(of.comment),
        values=of.values if kind is Kind.TEXT else (),
        enum=of.name if kind is Kind.TEXT and of.values else "",
    )


def kind_of(of: Known) -> Kind:
    return TEXTS.get(of.format, Kind.TEXT) if of.type == "string" else PLAIN.get(of.type, Kind.TEXT)


def plain(comment: str) -> str:
    """Without the marks of a page of text, and no essay."""
    return comment.replace("`", "").replace("**", "") if len(comment) <= 300 else ""
