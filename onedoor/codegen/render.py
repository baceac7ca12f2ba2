"""Render generated types as the Python and TOML files of a company."""

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from onedoor.codegen.models import CodegenOptions
from onedoor.codegen.naming import describe_type, name_enum_members, pluralize_last, to_attribute_name, to_camel_case
from onedoor.codegen.types import GeneratedEnum, GeneratedField, GeneratedRelationship, GeneratedType
from onedoor.model.names import to_snake_case

LINE_WIDTH = 120


def quote_string(value: str) -> str:
    """Quote a string with the quotes that need fewer escapes, or with double ones if both need as many."""
    plain = repr(f"'{value}" if '"' in value else value)
    if '"' not in value:
        return '"' + repr(f'"{value}')[2:-1] + '"' if "'" not in value else '"' + repr(value + "'")[1:-2] + '"'
    if "'" not in value:
        return repr(value)
    escaped = plain[3:-1].replace("\\'", "'")
    fewer = value.count("'") < value.count('"')
    return "'" + escaped.replace("'", "\\'") + "'" if fewer else '"' + escaped.replace('"', '\\"') + '"'


def render_text_argument(name: str, value: str, indent: int) -> list[str]:
    """Render a keyword argument on a line of its own, a long text in parts between parentheses."""
    line = f"{' ' * indent}{name}={quote_string(value)},"
    if len(line) <= LINE_WIDTH:
        return [line]
    room = LINE_WIDTH - indent - 6
    slack = len(quote_string(value)) - 2 - len(value)
    wrapper = textwrap.TextWrapper(room - slack, break_on_hyphens=False, drop_whitespace=False)
    parts = [value] if len(value) + slack <= room else wrapper.wrap(value)
    inner = [f"{' ' * (indent + 4)}{quote_string(part)}" for part in parts]
    return [f"{' ' * indent}{name}=(", *inner, f"{' ' * indent}),"]


def render_call(start: str, arguments: Sequence[str], indent: int, end: str = ")") -> list[str]:
    """Render a call on one line if it fits, or else with an argument on each line."""
    line = f"{' ' * indent}{start}{', '.join(arguments)}{end}"
    if len(line) <= LINE_WIDTH and not any("\n" in argument for argument in arguments):
        return [line]
    inner = [f"{' ' * (indent + 4)}{argument}," for argument in arguments]
    return [f"{' ' * indent}{start}", *inner, f"{' ' * indent}{end}"]


def render_tuple(values: Iterable[str]) -> str:
    parts = [quote_string(value) for value in values]
    return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"


def render_columns(values: Sequence[str]) -> str:
    """Render one column as a string, several as a tuple."""
    return quote_string(values[0]) if len(values) == 1 else render_tuple(values)


def render_dict_argument(name: str, values: Mapping[str, Sequence[str]], indent: int) -> list[str]:
    """Render a keyword argument that is a dict of texts, or of calls and their arguments, on one line if it fits."""
    parts = [render_dict_entry(key, value, indent + 4) for key, value in values.items()]
    return render_call(f"{name}={{", parts, indent, "},") if parts else []


def render_dict_entry(key: str, value: Sequence[str], indent: int) -> str:
    """Render one entry of a dict on one line if it fits, or else with an argument on each line."""
    name, *arguments = value
    if not arguments:
        return f"{quote_string(key)}: {name}"
    line = f"{quote_string(key)}: {name}({', '.join(arguments)})"
    if len(line) + indent + 1 <= LINE_WIDTH:
        return line
    inner = [f"{' ' * (indent + 4)}{argument}," for argument in arguments]
    return "\n".join([f"{quote_string(key)}: {name}(", *inner, f"{' ' * indent})"])


IMPORT_MODULES: Mapping[str, str] = {
    "date": "datetime",
    "datetime": "datetime",
    "Decimal": "decimal",
    "StrEnum": "enum",
}

DECLARED_FOLDER = "schema/introspected"
"""The folder of the files that declare the collections of a source."""

FACADE = "onedoor.schema"
"""The module that schema files import from."""

ANNOTATION_NAMES = ("BigInt", "ById", "Json", "Many", "One")

ANNOTATED_NAME_PATTERN = re.compile(r"\w+")


def render_files(generated_types: Sequence[GeneratedType], options: CodegenOptions) -> dict[str, str]:
    """Render all files, by path."""
    texts: dict[str, str] = {}
    for generated_type in generated_types:
        texts[f"schema/{generated_type.names.file}.py"] = render_schema_file(generated_type, options)
        texts[f"resolvers/{generated_type.names.file}.py"] = render_resolver_file(generated_type, options)
    sections = [generated_type.table.declared for generated_type in generated_types if generated_type.table.declared]
    if sections:
        texts[f"{DECLARED_FOLDER}/{options.source}.toml"] = "\n".join(sections)
    return texts


def render_schema_file(generated_type: GeneratedType, options: CodegenOptions) -> str:
    parts = [
        [f'"""{_render_headline(generated_type, f"a {_name_table_kind(generated_type)} of {options.source}")}"""'],
        *_render_imports(generated_type, options),
        *(["", *_render_enum(enum)] for enum in generated_type.enums),
        ["", *_render_type(generated_type, options)],
        *([["", *_render_query(generated_type)]] if _list_root_annotations(generated_type) else []),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def render_resolver_file(generated_type: GeneratedType, options: CodegenOptions) -> str:
    description = f"the {_name_table_kind(generated_type)} {generated_type.table.name} of {options.source}"
    imported = "Relationship, TypeMapping" if generated_type.relationships else "TypeMapping"
    lines = [
        f'"""{_render_headline(generated_type, description)}"""',
        "",
        f"from onedoor.mapping import {imported}",
        "",
        "MAPPINGS = (",
        *_render_mapping(generated_type, options),
        ")",
    ]
    return "\n".join(lines) + "\n"


def _list_root_annotations(generated_type: GeneratedType) -> tuple[str, ...]:
    """List the annotations of the type's root fields."""
    return (*(["ById"] if generated_type.table.key else []), *([] if generated_type.table.needs else ["Many"]))


def _name_table_kind(generated_type: GeneratedType) -> str:
    if generated_type.table.declared:
        return "collection"
    return "view" if generated_type.table.view else "table"


def _render_headline(generated_type: GeneratedType, description: str) -> str:
    line = f"{' '.join(pluralize_last(generated_type.names.words)).capitalize()}: {description}."
    return line.replace("\\", "/").replace('"', "'")[: LINE_WIDTH - 6]


def _render_imports(generated_type: GeneratedType, options: CodegenOptions) -> list[list[str]]:
    """Render the blocks of imports: Python's, Strawberry's, ours, and those for a type checker alone."""
    used = {name for field in generated_type.fields for name in ANNOTATED_NAME_PATTERN.findall(field.annotation)}
    used |= {"StrEnum"} if generated_type.enums else set()
    used |= {relationship.cardinality for relationship in generated_type.relationships} | {
        *_list_root_annotations(generated_type)
    }
    enums = {name for name in used if name in generated_type.files}
    related = {relationship.target for relationship in generated_type.relationships} - {generated_type.names.type}
    python = render_from_imports({name: IMPORT_MODULES[name] for name in used if name in IMPORT_MODULES})
    checked = render_from_imports({name: f"schema.{generated_type.files[name]}" for name in related})
    own = {
        name: f"schema.{generated_type.files[name]}"
        for name in enums
        if generated_type.files[name] != generated_type.names.file
    }
    words = [*(name for name in ANNOTATION_NAMES if name in used), *(["allow"] if options.allow else []), "owned"]
    own |= dict.fromkeys(words, FACADE)
    lines = render_from_imports(own)
    blocks = [
        [*python, *(["from typing import TYPE_CHECKING"] if checked else [])],
        ["import strawberry"],
        sorted(lines, key=lambda line: line.split()[1]),
        ["if TYPE_CHECKING:", *(textwrap.indent(line, "    ") for line in checked)] if checked else [],
    ]
    return [block for block in blocks if block]


def render_from_imports(places: Mapping[str, str]) -> list[str]:
    lines = []
    for module in sorted(set(places.values())):
        names = sorted(name for name, at in places.items() if at == module)
        line = f"from {module} import {', '.join(names)}"
        wrapped = "\n".join([f"from {module} import (", *(f"    {name}," for name in names), ")"])
        lines.append(line if len(line) <= LINE_WIDTH else wrapped)
    return lines


def _render_enum(enum: GeneratedEnum) -> list[str]:
    line = f"@strawberry.enum(description={quote_string(enum.description)})"
    described = ["@strawberry.enum(", *render_text_argument("description", enum.description, 4), ")"]
    return [
        *([line] if len(line) <= LINE_WIDTH else described),
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
        *(line for field in generated_type.fields for line in _render_field(field)),
        *(line for relationship in generated_type.relationships for line in _render_relationship(relationship)),
    ]


def _render_field(field: GeneratedField) -> list[str]:
    return render_attribute(
        to_attribute_name(field.words), to_camel_case(field.words), field.annotation, field.description
    )


def _render_relationship(relationship: GeneratedRelationship) -> list[str]:
    return render_attribute(
        to_attribute_name(relationship.words),
        to_camel_case(relationship.words),
        f'{relationship.cardinality}["{relationship.target}"]',
        relationship.description,
    )


def render_attribute(attribute: str, name: str, annotation: str, description: str) -> list[str]:
    """Render an attribute, with `name=` if Strawberry would derive another name from it."""
    named = [f"name={quote_string(name)}"] if attribute.endswith("_") else []
    start = f"    {attribute}: {annotation} = strawberry.field("
    line = f"{start}{', '.join([*named, f'description={quote_string(description)}'])})"
    if len(line) <= LINE_WIDTH:
        return [line]
    return [
        start,
        *(f"        {argument}," for argument in named),
        *render_text_argument("description", description, 8),
        "    )",
    ]


def _render_query(generated_type: GeneratedType) -> list[str]:
    title = generated_type.names
    noun = " ".join(title.words)
    plural = " ".join(pluralize_last(title.words))
    by_id = render_attribute(
        to_attribute_name(title.singular),
        to_camel_case(title.singular),
        f'ById["{title.type}"]',
        f"The {noun} with this id.",
    )
    many = render_attribute(
        to_attribute_name(title.plural), to_camel_case(title.plural), f'Many["{title.type}"]', f"All {plural}."
    )
    return [
        "@strawberry.type",
        "class Query:",
        *(by_id if "ById" in _list_root_annotations(generated_type) else []),
        *(many if "Many" in _list_root_annotations(generated_type) else []),
    ]


def _render_mapping(generated_type: GeneratedType, options: CodegenOptions) -> list[str]:
    columns = {to_camel_case(field.words): field.column for field in generated_type.fields if field.column}
    renamed = {name: (quote_string(column),) for name, column in columns.items() if to_snake_case(name) != column}
    links = {
        to_camel_case(relationship.words): _render_relationship_call(relationship)
        for relationship in generated_type.relationships
    }
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
        *render_dict_argument("columns", renamed, 8),
        *render_dict_argument("relationships", links, 8),
        "    ),",
    ]


def _render_key(key: tuple[str, ...]) -> list[str]:
    line = f"        key={render_tuple(key)},"
    return (
        [line] if len(line) <= LINE_WIDTH else render_call("key=(", [quote_string(column) for column in key], 8, "),")
    )


def _render_relationship_call(relationship: GeneratedRelationship) -> tuple[str, ...]:
    return (
        "Relationship",
        f"to={quote_string(relationship.target)}",
        f"local={render_columns(relationship.local)}",
        f"remote={render_columns(relationship.remote)}",
    )


def render_sections(name: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a TOML section; tables of tables of tables, such as `collections`, get a section each."""
    parts = {key: value for key, value in settings.items() if _has_nested_tables(value)}
    yield f"[{name}]"
    yield from (line for key, value in settings.items() if key not in parts for line in _render_setting(key, value))
    for key, value in parts.items():
        for inner, table in value.items():
            yield ""
            yield from render_sections(f"{name}.{key}.{inner}", table)


def _has_nested_tables(value: Any) -> bool:
    """Say whether a value is a table of tables, one of which holds a table in turn."""
    tables = value.values() if isinstance(value, Mapping) else ()
    values = (inner for table in tables if isinstance(table, Mapping) for inner in table.values())
    return any(isinstance(inner, Mapping) for inner in values)


def _render_setting(name: str, value: Any) -> Iterator[str]:
    line = f"{name} = {render_inline(value)}"
    if len(line) <= LINE_WIDTH or not isinstance(value, Mapping):
        yield line
        return
    for key, inner in value.items():
        yield from _render_setting(f"{name}.{key}", inner)


def render_inline(value: Any) -> str:
    """Render a TOML value on one line."""
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{name} = {render_inline(inner)}' for name, inner in value.items())} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(render_inline, value))}]"
    return json.dumps(value, ensure_ascii=False)
