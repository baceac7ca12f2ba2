"""Described tables and a wish in, named types with their fields and links out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from engine.words import Kind
from introspect import said
from introspect.enums import Place, enums
from introspect.names import Words, camel, free, words
from introspect.shape import Enumeration, Field, Subject, Titled
from introspect.titles import titles
from introspect.ways import ways
from introspect.words import Column, Table, Taken, Wish

ANNOTATIONS: Mapping[Kind, str] = {
    Kind.TEXT: "str",
    Kind.INTEGER: "int",
    Kind.FLOAT: "float",
    Kind.DECIMAL: "Decimal",
    Kind.BOOLEAN: "bool",
    Kind.DATE: "date",
    Kind.TIME: "datetime",
    Kind.LIST: "list[str]",
}
ID, VALUE = "strawberry.ID", ("value",)
NO_FIELD = frozenset({"id", "and", "or", "not"})
"""The id is the key's, and a filter has the others as words of its own."""
NUMBERED = frozenset({"id", "key", "uuid", "guid", "no", "nr", "number", "rowid", "sk"})
"""How the name of a key ends that says no more than the id does."""


def subjects(tables: Iterable[Table], wish: Wish, taken: Taken) -> tuple[Subject, ...]:
    """Those that are wanted, in the order of their names."""
    chosen = wanted(tables, wish)
    titled = titles(chosen, wish, taken)
    values = enums(chosen, titled, wish, taken)
    return tuple(_subject(each, chosen, titled, values) for each in chosen)


def wanted(tables: Iterable[Table], wish: Wish) -> tuple[Table, ...]:
    """Without references that lead out of what is wanted, or compare what cannot be equal."""
    kept = [each for each in tables if each.columns and matches(each.name, wish.tables)]
    kinds = {each.name: {column.name: column.kind for column in each.columns} for each in kept}
    return tuple(
        replace(
            each,
            key=_key(each, wish),
            references=tuple(
                one
                for one in each.references
                if one.to in kinds
                and [kinds[each.name].get(name) for name in one.columns] == [kinds[one.to].get(n) for n in one.there]
                and set(one.columns) <= kinds[each.name].keys()
            ),
        )
        for each in sorted(kept, key=lambda each: each.name)
    )


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Any pattern that says so, and none that begins with `!`; of patterns that only leave out, the rest is meant."""
    out = [each[1:] for each in patterns if each.startswith("!")]
    kept = [each for each in patterns if not each.startswith("!")] or ["*"]
    return any(fnmatchcase(name, each) for each in kept) and not any(fnmatchcase(name, each) for each in out)


def _key(table: Table, wish: Wish) -> tuple[str, ...]:
    """None where a part of it is of a kind that no field shows."""
    key = wish.keys.get(table.name, table.key)
    return key if set(key) <= {each.name for each in table.columns} else ()


def _subject(
    table: Table, tables: Sequence[Table], titled: Mapping[str, Titled], values: Mapping[Place, Enumeration]
) -> Subject:
    title = titled[table.name]
    fields = tuple(_fields(table, title, values))
    links = ways(table, tables, titled, frozenset(camel(each.words) for each in fields))
    own = {values[place].type: values[place] for place in values if place[0] == table.name}
    types = {each.type: each.file for each in titled.values()}
    return Subject(
        table=table,
        title=title,
        key=table.key or tuple(each.name for each in table.columns if each.kind is not Kind.LIST),
        fields=fields,
        ways=links,
        enums=tuple(each for each in own.values() if each.file == title.file),
        files={each.to: types[each.to] for each in links} | {each.type: each.file for each in own.values()},
    )


def _fields(table: Table, title: Titled, values: Mapping[Place, Enumeration]) -> Iterable[Field]:
    """The id, and each column that is not said by the id or by a link."""
    if table.key:
        parts = tuple(_without_id(words(each), table) for each in table.key)
        yield Field(words=("id",), annotation=ID, description=said.of_key(title.words, parts))
    taken = set(NO_FIELD)
    for column in table.columns:
        if not _said_elsewhere(column, table):
            own = words(column.name)
            found = free(((own), (*own, *VALUE)), taken)
            taken.add(camel(found))
            yield _field(column, found, values.get((table.name, column.name)))


def _field(column: Column, found: Words, enum: Enumeration | None) -> Field:
    kind = "BigInt" if column.large and column.kind is Kind.INTEGER else ANNOTATIONS[column.kind]
    annotation = (enum.type if enum else kind) + (" | None" if column.nullable else "")
    described = said.sentence(column.comment) or said.of_value(words(column.name), annotation)
    return Field(words=found, annotation=annotation, description=described, column=column.name)


def _said_elsewhere(column: Column, table: Table) -> bool:
    if (column.name,) == table.key:
        return column.kind is Kind.INTEGER or words(column.name)[-1] in NUMBERED
    return any(
        each.columns == (column.name,) or (column.name in table.needs and column.name in each.columns)
        for each in table.references
    )


def _without_id(own: Words, table: Table) -> Words:
    """A part of a key that is a reference is called by what it refers to."""
    return own[:-1] if own[-1] in NUMBERED and len(own) > 1 and len(table.key) > 1 else own
