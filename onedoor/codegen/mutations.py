"""Write the mutations that a source offers: a module that takes no part until a company lists what it holds."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from onedoor.codegen.models import CodegenOptions, DescribedInput, DescribedWrite
from onedoor.codegen.naming import add_article, split_words, to_attribute_name, to_camel_case, to_pascal_case
from onedoor.codegen.render import (
    ANNOTATED_NAME_PATTERN,
    ANNOTATION_NAMES,
    DECLARED_FOLDER,
    FACADE,
    IMPORT_MODULES,
    LINE_WIDTH,
    quote_string,
    render_attribute,
    render_call,
    render_from_imports,
    render_text_argument,
)
from onedoor.codegen.types import GeneratedField, GeneratedType, build_field
from onedoor.model.names import to_snake_case

OPTION_FIELDS = frozenset({"ifVersion", "reason", "idempotencyKey", "dryRun"})
"""Fields that every input has besides its own."""

VERBS: Mapping[str, str] = {
    "create": "Creates",
    "update": "Changes",
    "put": "Creates or replaces",
    "delete": "Deletes",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedMutation:
    """A mutation of one row of one type, with the fields of its input."""

    kind: str
    generated_type: GeneratedType
    fields: tuple[GeneratedField, ...]

    @property
    def words(self) -> tuple[str, ...]:
        return (self.kind, *self.generated_type.names.words)

    @property
    def input_name(self) -> str:
        return f"{to_pascal_case(self.words)}Input"

    @property
    def description(self) -> str:
        return f"{VERBS[self.kind]} {add_article(' '.join(self.generated_type.names.words))}."


def build_mutations_path(source: str) -> str:
    """Return the path of the module that offers the mutations of a source."""
    return f"{DECLARED_FOLDER}/{source}_mutations.py"


def render_mutations(generated_types: Sequence[GeneratedType], options: CodegenOptions) -> str:
    """Render the module of all mutations; empty where there are none."""
    mutations = list(_iterate_mutations(generated_types))
    if not mutations:
        return ""
    types = [*(mutation.input_name for mutation in mutations), "Mutation"]
    parts = [
        [f'"""Mutations that {options.source} offers; they take part where a module lists TYPES and MUTATIONS."""'],
        *_render_imports(mutations, options),
        *(["", *_render_input(mutation)] for mutation in mutations),
        ["", *_render_roots(mutations, options)],
        ["", *_render_types(types, options)],
        ["MUTATIONS = (", *(line for mutation in mutations for line in _render_declaration(mutation)), ")"],
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _iterate_mutations(generated_types: Iterable[GeneratedType]) -> Iterator[GeneratedMutation]:
    for generated_type in generated_types:
        for write in generated_type.table.writes if generated_type.table.key else ():
            fields = _build_input_fields(generated_type, write)
            if fields is not None:
                yield GeneratedMutation(kind=write.kind, generated_type=generated_type, fields=fields)


def _build_input_fields(generated_type: GeneratedType, write: DescribedWrite) -> tuple[GeneratedField, ...] | None:
    """Build the fields of an input; None where one that it must have can have no name."""
    names = " ".join(generated_type.names.words)
    fields = [] if write.kind == "create" else [_build_id_field(names)]
    for entry in write.inputs:
        field = _build_input_field(generated_type, entry)
        if field is not None:
            fields.append(field)
        elif entry.required:
            return None
    return tuple(fields)


def _build_id_field(noun: str) -> GeneratedField:
    return GeneratedField(words=("id",), annotation="strawberry.ID", description=f"The id of the {noun}.")


def _build_input_field(generated_type: GeneratedType, entry: DescribedInput) -> GeneratedField | None:
    """Build the field that sets a column, with the name under which the type shows it, or else the column's own."""
    column = next((column for column in generated_type.table.columns if column.name == entry.column), None)
    shown = next((field for field in generated_type.fields if field.column == entry.column), None)
    if column is None:
        return None
    field = shown or build_field(column, split_words(column.name), None)
    name = to_camel_case(field.words)
    if name in OPTION_FIELDS or (shown is None and to_snake_case(name) != column.name):
        return None
    annotation = field.annotation.removesuffix(" | None")
    return GeneratedField(
        words=field.words,
        annotation=annotation if entry.required else f"{annotation} | None",
        description=field.description,
        column=column.name,
    )


def _render_imports(mutations: Sequence[GeneratedMutation], options: CodegenOptions) -> list[list[str]]:
    annotations = [field.annotation for mutation in mutations for field in mutation.fields]
    used = {name for annotation in annotations for name in ANNOTATED_NAME_PATTERN.findall(annotation)}
    files = {name: file for mutation in mutations for name, file in mutation.generated_type.files.items()}
    python = render_from_imports({name: IMPORT_MODULES[name] for name in used if name in IMPORT_MODULES})
    own = {name: f"schema.{files[name]}" for name in used if name in files}
    words = ["Changed", "SchemaPart", "owned", "with_input", *(["allow"] if options.allow else [])]
    own |= dict.fromkeys([*words, *(name for name in ANNOTATION_NAMES if name in used)], FACADE)
    own |= dict.fromkeys(["ChangeKind", "RowMutation"], "onedoor.mutations")
    types = {mutation.generated_type.names.type: mutation.generated_type.names.file for mutation in mutations}
    checked = render_from_imports({name: f"schema.{file}" for name, file in types.items()})
    return [
        [*python, "from typing import TYPE_CHECKING"],
        ["import strawberry"],
        sorted(render_from_imports(own), key=lambda line: line.split()[1]),
        ["if TYPE_CHECKING:", *(textwrap.indent(line, "    ") for line in checked)],
    ]


def _render_input(mutation: GeneratedMutation) -> list[str]:
    noun = " ".join(mutation.generated_type.names.words)
    descriptions = {
        "create": f"The values of a new {noun}.",
        "update": f"The values to change in {add_article(noun)}; those not given stay as they are.",
        "put": f"The values of {add_article(noun)}; those not given do not stay as they are.",
        "delete": f"The {noun} to delete.",
    }
    return [
        *render_call("@strawberry.input(", [f"description={quote_string(descriptions[mutation.kind])}"], 0),
        f"class {mutation.input_name}:",
        *(
            line
            for field in mutation.fields
            for line in render_attribute(
                to_attribute_name(field.words), to_camel_case(field.words), field.annotation, field.description
            )
        ),
    ]


def _render_roots(mutations: Sequence[GeneratedMutation], options: CodegenOptions) -> list[str]:
    lines = ["@strawberry.type", "class Mutation:"]
    rules = [f"allow({', '.join(map(quote_string, options.allow))})"] if options.allow else []
    rules.append(f"owned({quote_string(options.owner or options.source)})")
    for mutation in mutations:
        lines += [
            f'    {to_attribute_name(mutation.words)}: Changed["{mutation.generated_type.names.type}"] ='
            " strawberry.field(",
            *render_text_argument("description", mutation.description, 8),
            *render_call("directives=[", rules, 8, "],"),
            f"        metadata=with_input({mutation.input_name}),",
            "    )",
        ]
    return lines


def _render_types(types: Sequence[str], options: CodegenOptions) -> list[str]:
    name = quote_string(f"mutations of {options.source}")
    line = f"TYPES = SchemaPart({name}, ({', '.join(types)}))"
    if len(line) <= LINE_WIDTH:
        return [line]
    return ["TYPES = SchemaPart(", f"    {name},", *render_call("(", types, 4, "),"), ")"]


def _render_declaration(mutation: GeneratedMutation) -> list[str]:
    arguments = [
        f"field={quote_string(to_camel_case(mutation.words))}",
        f"type={quote_string(mutation.generated_type.names.type)}",
        f"kind=ChangeKind.{mutation.kind.upper()}",
    ]
    return render_call("RowMutation(", arguments, 4, "),")
