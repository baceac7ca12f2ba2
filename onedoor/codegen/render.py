"""Types -> Python and TOML source."""

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from onedoor.codegen.models import CodegenOptions
from onedoor.codegen.naming import describe_type, name_enum_members, pluralize_last, to_attribute_name, to_camel_case
from onedoor.codegen.types import GeneratedEnum, GeneratedField, GeneratedRelationship, GeneratedType
from onedoor.model.names import to_snake_case

LINE_WIDTH = 120


def quote_string(value: str) -> str:
    """In the quotes that need fewer escapes; double ones where both need as many."""
    plain = repr(f"'{value}" if '"' in value else value)
    if '"' not in value:
        return '"' + repr(f'"{value}')[2:-1] + '"' if "'" not in value else '"' + repr(value + "'")[1:-2] + '"'
    if "'" not in value:
        return repr(value)
    escaped = plain[3:-1].replace("\\'", "'")
    fewer = value.count("'") < value.count('"')
    return "'" + escaped.replace("'", "\\'") + "'" if fewer else '"' + escaped.replace('"', '\\"') + '"'


def render_text_argument(name: str, value: str, indent: int) -> list[str]:
    """A keyword argument on a line of its own; a long text stands in parts, between parentheses."""
    line = f"{' ' * indent}{name}={quote_string(value)},"
    if len(line) <= LINE_WIDTH:
        return [line]
    room = LINE_WIDTH - indent - 6
    slack = len(quote_string(value)) - 2 - len(value)
    wrapper = textwrap.TextWrapper(room - slack, break_on_hyphens=False, drop_whitespace=False)
    parts = [value] if len(value) + slack <= room else wrapper.wrap(value)
    inner = [f"{' ' * (indent + 4)}{quote_string(each)}" for each in parts]
    return [f"{' ' * indent}{name}=(", *inner, f"{' ' * indent}),"]


def render_call(start: str, arguments: Sequence[str], indent: int, end: str = ")") -> list[str]:
    """On one line where it fits, or else an argument a line."""
    line = f"{' ' * indent}{start}{', '.join(arguments)}{end}"
    if len(line) <= LINE_WIDTH and not any("\n" in each for each in arguments):
        return [line]
    inner = [f"{' ' * (indent + 4)}{each}," for each in arguments]
    return [f"{' ' * indent}{start}", *inner, f"{' ' * indent}{end}"]


def render_tuple(values: Iterable[str]) -> str:
    parts = [quote_string(each) for each in values]
    return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"


def render_columns(values: Sequence[str]) -> str:
    """One column as it is, several as a tuple."""
    return quote_string(values[0]) if len(values) == 1 else render_tuple(values)


def render_dict_argument(name: str, values: Mapping[str, Sequence[str]], indent: int) -> list[str]:
    """A keyword argument that is a dict of texts, or of calls and their arguments; on one line where it fits."""
    parts = [render_dict_entry(key, value, indent + 4) for key, value in values.items()]
    return render_call(f"{name}={{", parts, indent, "},") if parts else []


def render_dict_entry(key: str, value: Sequence[str], indent: int) -> str:
    """A line, or, where that is too long, an argument a line."""
    name, *arguments = value
    if not arguments:
        return f"{quote_string(key)}: {name}"
    line = f"{quote_string(key)}: {name}({', '.join(arguments)})"
    if len(line) + indent + 1 <= LINE_WIDTH:
        return line
    inner = [f"{' ' * (indent + 4)}{each}," for each in arguments]
    return "\n".join([f"{quote_string(key)}: {name}(", *inner, f"{' ' * indent})"])


IMPORT_MODULES: Mapping[str, str] = {
    "date": "datetime",
    "datetime": "datetime",
    "Decimal": "decimal",
    "StrEnum": "enum",
}

DECLARED_FOLDER = "schema/introspected"
"""Where it stands what a source has, where its settings say so."""

FACADE = "onedoor.schema"
"""The module that schema files import what they are written with."""

ANNOTATION_NAMES = ("BigInt", "ById", "Many", "One")


def render_files(generated_types: Sequence[GeneratedType], options: CodegenOptions) -> dict[str, str]:
    """By path."""
    found: dict[str, str] = {}
    for each in generated_types:
        found[f"schema/{each.names.file}.py"] = render_schema_file(each, options)
        found[f"resolvers/{each.names.file}.py"] = render_resolver_file(each, options)
    sections = [each.table.declared for each in generated_types if each.table.declared]
    if sections:
        found[f"{DECLARED_FOLDER}/{options.source}.toml"] = "\n".join(sections)
    return found


def render_schema_file(generated_type: GeneratedType, options: CodegenOptions) -> str:
    parts = [
        [f'"""{_render_headline(generated_type, f"a {_name_table_kind(generated_type)} of {options.source}")}"""'],
        *_render_imports(generated_type, options),
        *(["", *_render_enum(each)] for each in generated_type.enums),
        ["", *_render_type(generated_type, options)],
        *([["", *_render_query(generated_type)]] if _list_root_annotations(generated_type) else []),
    ]
    return "\n\n".join("\n".join(each) for each in parts) + "\n"


def render_resolver_file(generated_type: GeneratedType, options: CodegenOptions) -> str:
    told = f"the {_name_table_kind(generated_type)} {generated_type.table.name} of {options.source}"
    words = "Relationship, TypeMapping" if generated_type.relationships else "TypeMapping"
    lines = [
        f'"""{_render_headline(generated_type, told)}"""', "", f"from onedoor.mapping import {words}", "", "MAPPINGS = (",
        *_render_mapping(generated_type, options), ")",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _list_root_annotations(generated_type: GeneratedType) -> tuple[str, ...]:
    """The words that its fields at the root are written with."""
    return (*(["ById"] if generated_type.table.key else []), *([] if generated_type.table.needs else ["Many"]))


def _name_table_kind(generated_type: GeneratedType) -> str:
    if generated_type.table.declared:
        return "collection"
    return "view" if generated_type.table.view else "table"


def _render_headline(generated_type: GeneratedType, description: str) -> str:
    line = f"{' '.join(pluralize_last(generated_type.names.words)).capitalize()}: {description}."
    return line.replace("\\", "/").replace('"', "'")[: LINE_WIDTH - 6]


def _render_imports(generated_type: GeneratedType, options: CodegenOptions) -> list[list[str]]:
    """Three blocks: Python's, Strawberry's, ours; and what only a type checker reads."""
    spoken = {part for each in generated_type.fields for part in each.annotation.split(" | ")}
    spoken |= {"StrEnum"} if generated_type.enums else set()
    spoken |= {each.cardinality for each in generated_type.relationships} | {*_list_root_annotations(generated_type)}
    enums = {name for name in spoken if name in generated_type.files}
    ours = {each.target for each in generated_type.relationships} - {generated_type.names.type}
    python = _render_from_imports({name: IMPORT_MODULES[name] for name in spoken if name in IMPORT_MODULES})
    checked = _render_from_imports({name: f"schema.{generated_type.files[name]}" for name in ours})
    own = {
        name: f"schema.{generated_type.files[name]}"
        for name in enums
        if generated_type.files[name] != generated_type.names.file
    }
    words = [*(name for name in ANNOTATION_NAMES if name in spoken), *(["allow"] if options.allow else []), "owned"]
    own |= dict.fromkeys(words, FACADE)
    lines = _render_from_imports(own)
    blocks = [
        [*python, *(["from typing import TYPE_CHECKING"] if checked else [])],
        ["import strawberry"],
        sorted(lines, key=lambda each: each.split()[1]),
        ["if TYPE_CHECKING:", *(f"    {each}" for each in checked)] if checked else [],
    ]
    return [each for each in blocks if each]


def _render_from_imports(places: Mapping[str, str]) -> list[str]:
    return [
        f"from {module} import {', '.join(sorted(name for name, at in places.items() if at == module))}"
        for module in sorted(set(places.values()))
    ]


def _render_enum(enum: GeneratedEnum) -> list[str]:
    return [
        *render_call("@strawberry.enum(", [f"description={quote_string(enum.description)}"], 0),
        f"class {enum.type}(StrEnum):",
        *(f"    {name} = {quote_string(value)}" for name, value in name_enum_members(enum.values)),
    ]


def _render_type(generated_type: GeneratedType, options: CodegenOptions) -> list[str]:
    rules = [f"allow({', '.join(map(quote_string, options.allow))})"] if options.allow else []
    rules.append(f"owned({quote_string(options.owner or options.source)})")
    return [
        "@strawberry.type(",
        *render_text_argument("description", describe_type(generated_type.table, generated_type.names.words), 4),
        *render_call("directives=[", rules, 4, "],"),
        ")",
        f"class {generated_type.names.type}:",
        *(line for each in generated_type.fields for line in _render_field(each)),
        *(line for each in generated_type.relationships for line in _render_relationship(each)),
    ]


def _render_field(field: GeneratedField) -> list[str]:
    return _render_attribute(
        to_attribute_name(field.words), to_camel_case(field.words), field.annotation, field.description
    )


def _render_relationship(relationship: GeneratedRelationship) -> list[str]:
    return _render_attribute(
        to_attribute_name(relationship.words),
        to_camel_case(relationship.words),
        f'{relationship.cardinality}["{relationship.target}"]',
        relationship.description,
    )


def _render_attribute(attribute: str, name: str, annotation: str, description: str) -> list[str]:
    """The field's own name is said where Strawberry would make another of the attribute."""
    said = [f"name={quote_string(name)}"] if attribute.endswith("_") else []
    start = f"    {attribute}: {annotation} = strawberry.field("
    line = f"{start}{', '.join([*said, f'description={quote_string(description)}'])})"
    if len(line) <= LINE_WIDTH:
        return [line]
    return [
        start,
        *(f"        {each}," for each in said),
        *render_text_argument("description", description, 8),
        "    )",
    ]


def _render_query(generated_type: GeneratedType) -> list[str]:
    title = generated_type.names
    noun = " ".join(title.words)
    lots = " ".join(pluralize_last(title.words))
    one = _render_attribute(
        to_attribute_name(title.singular),
        to_camel_case(title.singular),
        f'ById["{title.type}"]',
        f"The {noun} with this id.",
    )
    all_of = _render_attribute(
        to_attribute_name(title.plural), to_camel_case(title.plural), f'Many["{title.type}"]', f"All {lots}."
    )
    return [
        "@strawberry.type",
        "class Query:",
        *(one if "ById" in _list_root_annotations(generated_type) else []),
        *(all_of if "Many" in _list_root_annotations(generated_type) else []),
    ]


def _render_mapping(generated_type: GeneratedType, options: CodegenOptions) -> list[str]:
    columns = {to_camel_case(each.words): each.column for each in generated_type.fields if each.column}
    odd = {name: (quote_string(column),) for name, column in columns.items() if to_snake_case(name) != column}
    links = {to_camel_case(each.words): _render_relationship_call(each) for each in generated_type.relationships}
    note = (
        []
        if generated_type.table.key
        else ["        # nothing identifies a row: all columns together stand in for a key"]
    )
    return [
        "    TypeMapping(",
        f"        type={quote_string(generated_type.names.type)},",
        f"        source={quote_string(options.source)},",
        f"        collection={quote_string(generated_type.table.name)},",
        *note,
        *([] if generated_type.key == ("id",) else _render_key(generated_type.key)),
        *render_dict_argument("columns", odd, 8),
        *render_dict_argument("relationships", links, 8),
        "    ),",
    ]


def _render_key(key: tuple[str, ...]) -> list[str]:
    line = f"        key={render_tuple(key)},"
    return [line] if len(line) <= LINE_WIDTH else render_call("key=(", [quote_string(each) for each in key], 8, "),")


def _render_relationship_call(relationship: GeneratedRelationship) -> tuple[str, ...]:
    return (
        "Relationship",
        f"to={quote_string(relationship.target)}",
        f"local={render_columns(relationship.local)}",
        f"remote={render_columns(relationship.remote)}",
    )


def render_sections(name: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """Lines. Tables of tables of tables, such as `collections`, get a section for each."""
    parts = {each: value for each, value in settings.items() if _has_nested_tables(value)}
    yield f"[{name}]"
    yield from (line for each, value in settings.items() if each not in parts for line in _render_setting(each, value))
    for each, value in parts.items():
        for inner, told in value.items():
            yield ""
            yield from render_sections(f"{name}.{each}.{inner}", told)


def _has_nested_tables(value: Any) -> bool:
    """A table of tables, one of which holds a table in turn."""
    tables = value.values() if isinstance(value, Mapping) else ()
    inner = [one for each in tables if isinstance(each, Mapping) for one in each.values()]
    return any(isinstance(each, Mapping) for each in inner)


def _render_setting(name: str, value: Any) -> Iterator[str]:
    line = f"{name} = {render_inline(value)}"
    if len(line) <= LINE_WIDTH or not isinstance(value, Mapping):
        yield line
        return
    for each, inner in value.items():
        yield from _render_setting(f"{name}.{each}", inner)


def render_inline(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{name} = {render_inline(each)}' for name, each in value.items())} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(render_inline, value))}]"
    return json.dumps(value, ensure_ascii=False)
