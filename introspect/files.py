"""A named type in, the text of its file in schema/ and of that in resolvers/ out."""

from collections.abc import Mapping, Sequence

from engine.names import snake
from introspect.names import attribute, camel, many, members
from introspect.said import of_type
from introspect.shape import Enumeration, Field, Subject, Way
from introspect.text import WIDTH, call, columns_text, mapping, named_text, quoted, tupled
from introspect.words import Wish

FROM: Mapping[str, str] = {"date": "datetime", "datetime": "datetime", "Decimal": "decimal", "StrEnum": "enum"}
DECLARED = "schema/introspected"
"""Where it stands what a source has, where its settings say so."""
ARGUMENTS = ("BigInt", "ById", "Many", "One")


def files(subjects: Sequence[Subject], wish: Wish) -> dict[str, str]:
    """By path."""
    found: dict[str, str] = {}
    for each in subjects:
        found[f"schema/{each.title.file}.py"] = schema_text(each, wish)
        found[f"resolvers/{each.title.file}.py"] = resolver_text(each, wish)
    sections = [each.table.declared for each in subjects if each.table.declared]
    if sections:
        found[f"{DECLARED}/{wish.source}.toml"] = "\n".join(sections)
    return found


def schema_text(subject: Subject, wish: Wish) -> str:
    parts = [
        [f'"""{_headline(subject, f"a {_sort(subject)} of {wish.source}")}"""'],
        *_imports(subject, wish),
        *(["", *_enum(each)] for each in subject.enums),
        ["", *_type(subject, wish)],
        *([["", *_query(subject)]] if _roots(subject) else []),
    ]
    return "\n\n".join("\n".join(each) for each in parts) + "\n"


def resolver_text(subject: Subject, wish: Wish) -> str:
    told = f"the {_sort(subject)} {subject.table.name} of {wish.source}"
    words = "Binding, Link" if subject.ways else "Binding"
    lines = [
        f'"""{_headline(subject, told)}"""', "", f"from engine.binding import {words}", "", "BINDINGS = (",
        *_binding(subject, wish), ")",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _roots(subject: Subject) -> tuple[str, ...]:
    """The words that its fields at the root are written with."""
    return (*(["ById"] if subject.table.key else []), *([] if subject.table.needs else ["Many"]))


def _sort(subject: Subject) -> str:
    if subject.table.declared:
        return "collection"
    return "view" if subject.table.view else "table"


def _headline(subject: Subject, told: str) -> str:
    line = f"{' '.join(many(subject.title.words)).capitalize()}: {told}."
    return line.replace("\\", "/").replace('"', "'")[: WIDTH - 6]


def _imports(subject: Subject, wish: Wish) -> list[list[str]]:
    """Three blocks: Python's, Strawberry's, ours; and what only a type checker reads."""
    spoken = {part for each in subject.fields for part in each.annotation.split(" | ")}
    spoken |= {"StrEnum"} if subject.enums else set()
    spoken |= {each.leads for each in subject.ways} | {*_roots(subject)}
    enums = {name for name in spoken if name in subject.files}
    ours = {each.to for each in subject.ways} - {subject.title.type}
    python = _from({name: FROM[name] for name in spoken if name in FROM})
    checked = _from({name: f"schema.{subject.files[name]}" for name in ours})
    own = {name: f"schema.{subject.files[name]}" for name in enums if subject.files[name] != subject.title.file}
    own |= {name: "schema.arguments" for name in ARGUMENTS if name in spoken}
    lines = [*_from(own), f"from schema.directives import {'allow, ' if wish.allow else ''}owned"]
    blocks = [
        [*python, *(["from typing import TYPE_CHECKING"] if checked else [])],
        ["import strawberry"],
        sorted(lines, key=lambda each: each.split()[1]),
        ["if TYPE_CHECKING:", *(f"    {each}" for each in checked)] if checked else [],
    ]
    return [each for each in blocks if each]


def _from(places: Mapping[str, str]) -> list[str]:
    return [
        f"from {module} import {', '.join(sorted(name for name, at in places.items() if at == module))}"
        for module in sorted(set(places.values()))
    ]


def _enum(enum: Enumeration) -> list[str]:
    return [
        *call("@strawberry.enum(", [f"description={quoted(enum.description)}"], 0),
        f"class {enum.type}(StrEnum):",
        *(f"    {name} = {quoted(value)}" for name, value in members(enum.values)),
    ]


def _type(subject: Subject, wish: Wish) -> list[str]:
    rules = [f"allow({', '.join(map(quoted, wish.allow))})"] if wish.allow else []
    rules.append(f"owned({quoted(wish.owner or wish.source)})")
    return [
        "@strawberry.type(",
        *named_text("description", of_type(subject.table, subject.title.words), 4),
        *call("directives=[", rules, 4, "],"),
        ")",
        f"class {subject.title.type}:",
        *(line for each in subject.fields for line in _field(each)),
        *(line for each in subject.ways for line in _way(each)),
    ]


def _field(field: Field) -> list[str]:
    return _line(attribute(field.words), camel(field.words), field.annotation, field.description)


def _way(way: Way) -> list[str]:
    return _line(attribute(way.words), camel(way.words), f'{way.leads}["{way.to}"]', way.description)


def _line(attribute: str, name: str, annotation: str, description: str) -> list[str]:
    """The field's own name is said where Strawberry would make another of the attribute."""
    said = [f"name={quoted(name)}"] if attribute.endswith("_") else []
    start = f"    {attribute}: {annotation} = strawberry.field("
    line = f"{start}{', '.join([*said, f'description={quoted(description)}'])})"
    if len(line) <= WIDTH:
        return [line]
    return [start, *(f"        {each}," for each in said), *named_text("description", description, 8), "    )"]


def _query(subject: Subject) -> list[str]:
    title = subject.title
    noun = " ".join(title.words)
    lots = " ".join(many(title.words))
    one = _line(attribute(title.one), camel(title.one), f'ById["{title.type}"]', f"The {noun} with this id.")
    all_of = _line(attribute(title.many), camel(title.many), f'Many["{title.type}"]', f"All {lots}.")
    return [
        "@strawberry.type",
        "class Query:",
        *(one if "ById" in _roots(subject) else []),
        *(all_of if "Many" in _roots(subject) else []),
    ]


def _binding(subject: Subject, wish: Wish) -> list[str]:
    columns = {camel(each.words): each.column for each in subject.fields if each.column}
    odd = {name: (quoted(column),) for name, column in columns.items() if snake(name) != column}
    links = {camel(each.words): _link(each) for each in subject.ways}
    note = [] if subject.table.key else ["        # nothing identifies a row: all columns together stand in for a key"]
    return [
        "    Binding(",
        f"        type={quoted(subject.title.type)},",
        f"        source={quoted(wish.source)},",
        f"        collection={quoted(subject.table.name)},",
        *note,
        *([] if subject.key == ("id",) else _key(subject.key)),
        *mapping("columns", odd, 8),
        *mapping("links", links, 8),
        "    ),",
    ]


def _key(key: tuple[str, ...]) -> list[str]:
    line = f"        key={tupled(key)},"
    return [line] if len(line) <= WIDTH else call("key=(", [quoted(each) for each in key], 8, "),")


def _link(way: Way) -> tuple[str, ...]:
    return "Link", f"to={quoted(way.to)}", f"here={columns_text(way.here)}", f"there={columns_text(way.there)}"
