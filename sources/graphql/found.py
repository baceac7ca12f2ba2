"""A service's schema in, the collections it has out: the fields of the root that list rows without being asked more."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
    is_required_argument,
)

from engine.words import Kind
from introspect.names import snake, words
from sources.rest.collection import At

KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("Int", "BigInt", "BigInteger", "Long", "Int64", "bigint"), Kind.INTEGER),
    **dict.fromkeys(("Float", "Double"), Kind.FLOAT),
    **dict.fromkeys(("Decimal", "BigDecimal", "Money", "numeric"), Kind.DECIMAL),
    "Boolean": Kind.BOOLEAN,
    **dict.fromkeys(("Date", "LocalDate", "ISO8601Date", "Day", "date"), Kind.DATE),
    **dict.fromkeys(
        ("DateTime", "Timestamp", "Instant", "ISO8601DateTime", "OffsetDateTime", "Time", "timestamptz"), Kind.TIME
    ),
}
"""By scalar, as services commonly name them; any other is read as text."""
NO_VALUES = frozenset({"JSON", "JSONObject", "Json", "Any", "Map", "Object", "Upload", "Void"})
"""Scalars that can hold objects."""
IDS = ("id", "uuid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A column: where it lies, and the field that is its value; `to` is the type whose row it names."""

    at: At
    kind: Kind
    field: GraphQLField
    nullable: bool
    to: str | None = None

    @property
    def values(self) -> tuple[str, ...]:
        named = get_named_type(self.field.type)
        return tuple(named.values) if isinstance(named, GraphQLEnumType) else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A collection: `of` is the type of its rows, `key` the column that identifies one."""

    name: str
    root: str
    field: GraphQLField
    rows: At
    paged: bool
    of: GraphQLObjectType
    columns: Mapping[str, Shown]
    key: str | None


def found(schema: GraphQLSchema) -> dict[str, Found]:
    """By name. Of several fields that list rows of one type, the first."""
    listed: dict[str, tuple[str, GraphQLField]] = {}
    for name, field in (schema.query_type.fields if schema.query_type else {}).items():
        of, _ = rows_of(field)
        if of is not None and not field.deprecation_reason and not _asks(field):
            listed.setdefault(of.name, (name, field))
    made = (_found(root, field, frozenset(listed)) for root, field in listed.values())
    return {each.name: each for each in made if each.columns}


def rows_of(field: GraphQLField) -> tuple[GraphQLObjectType | None, At]:
    """The type of the rows a field lists, and where they lie: right there, in `nodes`, or in `edges.node`."""
    bare = get_nullable_type(field.type)
    if isinstance(bare, GraphQLList):
        return _object(bare), ()
    if not isinstance(bare, GraphQLObjectType):
        return None, ()
    for rows in (("nodes",), ("edges", "node")):
        of: Any = bare
        for step in rows:
            inner = of.fields.get(step) if isinstance(of, GraphQLObjectType) else None
            of = get_named_type(inner.type) if inner else None
        if isinstance(of, GraphQLObjectType) and isinstance(get_nullable_type(bare.fields[rows[0]].type), GraphQLList):
            return of, rows
    return None, ()


def _found(root: str, field: GraphQLField, listed: frozenset[str]) -> Found:
    of, rows = rows_of(field)
    assert of is not None
    columns = dict(_columns(of, listed))
    return Found(
        name=snake(words(of.name)),
        root=root,
        field=field,
        rows=rows,
        paged=_paged(field),
        of=of,
        columns=columns,
        key=next((each for each in IDS if each in columns and not columns[each].nullable), None),
    )


def _paged(field: GraphQLField) -> bool:
    page: Any = get_named_type(field.type)
    info: Any = get_named_type(page.fields["pageInfo"].type) if "pageInfo" in page.fields else None
    return {"first", "after"} <= field.args.keys() and {"hasNextPage", "endCursor"} <= getattr(
        info, "fields", {}
    ).keys()


def _columns(of: GraphQLObjectType, listed: frozenset[str]) -> Iterator[tuple[str, Shown]]:
    """Values of the row itself, of objects in it, and the ids of the rows it names."""
    for name, field in _plain(of):
        kind = _kind(field)
        inner = get_nullable_type(field.type)
        if kind is not None:
            nullable = not isinstance(field.type, GraphQLNonNull)
            yield _called(name), Shown(at=(name,), kind=kind, field=field, nullable=nullable)
        elif isinstance(inner, GraphQLObjectType):
            yield from _inside(name, field, inner, listed)


def _inside(
    name: str, field: GraphQLField, inner: GraphQLObjectType, listed: frozenset[str]
) -> Iterator[tuple[str, Shown]]:
    named = inner.name in listed
    for part, below in _plain(inner):
        kind = _kind(below)
        if kind is not None and (not named or part in IDS):
            nullable = not (isinstance(field.type, GraphQLNonNull) and isinstance(below.type, GraphQLNonNull))
            to = inner.name if named else None
            yield _called(name, part), Shown(at=(name, part), kind=kind, field=below, nullable=nullable, to=to)
            if named:
                return


def _plain(of: GraphQLObjectType) -> Iterator[tuple[str, GraphQLField]]:
    for name, field in of.fields.items():
        if not field.deprecation_reason and not _asks(field):
            yield name, field


def _called(*names: str) -> str:
    return snake(tuple(word for name in names for word in words(name)))


def _kind(field: GraphQLField) -> Kind | None:
    """None: it is no value that a column can hold."""
    bare, named = get_nullable_type(field.type), get_named_type(field.type)
    if isinstance(named, GraphQLScalarType):
        kind = None if named.name in NO_VALUES else KINDS.get(named.name, Kind.TEXT)
    else:
        kind = Kind.TEXT if isinstance(named, GraphQLEnumType) else None
    if not isinstance(bare, GraphQLList):
        return kind
    whole = isinstance(get_nullable_type(bare.of_type), GraphQLList)
    return Kind.LIST if kind is Kind.TEXT and not whole else None


def _object(of: GraphQLList[Any]) -> GraphQLObjectType | None:
    inner = get_nullable_type(of.of_type)
    return inner if isinstance(inner, GraphQLObjectType) else None


def _asks(field: GraphQLField) -> bool:
    """Whether it cannot be asked without an argument."""
    return any(map(is_required_argument, field.args.values()))


def large(shown: Shown) -> bool:
    """Whole numbers past 32 bits."""
    return shown.kind is Kind.INTEGER and get_named_type(shown.field.type).name != "Int"
