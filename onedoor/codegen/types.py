"""Turn described tables into named types with fields, relationships and enums."""

import keyword
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from onedoor.codegen import naming
from onedoor.codegen.models import CodegenOptions, DescribedColumn, DescribedReference, DescribedTable, ReservedNames
from onedoor.codegen.naming import (
    Words,
    choose_free_name,
    pluralize_last,
    singularize_last,
    split_words,
    to_camel_case,
    to_pascal_case,
    to_snake_case,
)
from onedoor.codegen.selection import select_tables
from onedoor.codegen.transliteration import is_transliterated
from onedoor.spi.capabilities import ColumnType


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeNames:
    """The names of a table's type, root fields and file."""

    words: Words
    type: str
    singular: Words
    plural: Words
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedEnum:
    """The enum of one or more columns; it stands in the file of the first table that uses it."""

    type: str
    values: tuple[str, ...]
    description: str
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedField:
    """A value of a row. `annotation` is Python source; `column` is empty for the id, which stands for the key."""

    words: Words
    annotation: str
    description: str
    column: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedRelationship:
    """A relationship: `cardinality` is `One` or `Many`."""

    words: Words
    cardinality: str
    target: str
    local: tuple[str, ...]
    remote: tuple[str, ...]
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedType:
    """One table with all its names. `files` has the file of each type and enum that it refers to."""

    table: DescribedTable
    names: TypeNames
    key: tuple[str, ...]
    fields: tuple[GeneratedField, ...]
    relationships: tuple[GeneratedRelationship, ...]
    enums: tuple[GeneratedEnum, ...]
    files: Mapping[str, str]


REFERENCE_SUFFIXES = frozenset({"id", "key", "uuid", "guid", "fk", "ref", "code", "no", "nr", "number", "sk"})
"""How the name of a column ends that refers to a row."""


def build_relationships(
    table: DescribedTable,
    tables: Sequence[DescribedTable],
    type_names_by_table: Mapping[str, TypeNames],
    taken: Set[str],
) -> tuple[GeneratedRelationship, ...]:
    """Build the relationships from a row, then those to it; no name twice, and none that a field has."""
    names = {*taken, "id", "and", "or", "not"}
    forward = tuple(_build_forward_relationships(table, type_names_by_table, names))
    names |= {to_camel_case(relationship.words) for relationship in forward}
    backward = _build_backward_relationships(table, tables, type_names_by_table, names)
    relationships = {to_camel_case(relationship.words): relationship for relationship in (*forward, *backward)}
    return tuple(relationships.values())


def _build_forward_relationships(
    table: DescribedTable, type_names_by_table: Mapping[str, TypeNames], taken: Set[str]
) -> Iterable[GeneratedRelationship]:
    names = {*taken}
    for reference in table.references:
        base = name_reference(reference, table, type_names_by_table[reference.to])
        called = choose_free_name((base, type_names_by_table[reference.to].words, (*base, "row")), names)
        names.add(to_camel_case(called))
        yield GeneratedRelationship(
            words=called,
            cardinality="One",
            target=type_names_by_table[reference.to].type,
            local=reference.columns,
            remote=reference.there,
            description=naming.add_original(
                _find_comment(reference, table)
                or naming.describe_reference(called, type_names_by_table[reference.to].words),
                " ".join(reference.columns),
            ),
        )


def name_reference(reference: DescribedReference, table: DescribedTable, target: TypeNames) -> Words:
    """Name a reference after its column without the `id`, or after the table it leads to."""
    if len(reference.columns) > 1 or reference.columns == table.key or set(reference.columns) & set(table.needs):
        return target.words
    own = split_words(reference.columns[0])
    if own[-1] in REFERENCE_SUFFIXES or own[-1] == split_words(reference.there[0])[-1]:
        own = own[:-1]
    if not own or own == ("".join((*target.words, "id")),):
        return target.words
    return own


def _build_backward_relationships(
    table: DescribedTable,
    tables: Sequence[DescribedTable],
    type_names_by_table: Mapping[str, TypeNames],
    taken: Set[str],
) -> Iterable[GeneratedRelationship]:
    names = {*taken}
    for other in tables:
        leading = [reference for reference in other.references if reference.to == table.name]
        for reference in leading:
            alone = reference.alone or reference.columns == other.key
            noun = type_names_by_table[other.name].words
            link = name_reference(reference, other, type_names_by_table[table.name])
            short, long = _name_backward(noun, link, alone)
            plain = (len(leading) == 1 and other is not table) or link == type_names_by_table[table.name].words
            brief = (
                (pluralize_last(split_words(other.name.rpartition(".")[2])),) if other.declared and not alone else ()
            )
            called = choose_free_name((*brief, short, long) if plain else (long,), names)
            names.add(to_camel_case(called))
            yield GeneratedRelationship(
                words=called,
                cardinality="One" if alone else "Many",
                target=type_names_by_table[other.name].type,
                local=reference.there,
                remote=reference.columns,
                description=naming.describe_back_reference(noun, link, called in (short, *brief), alone),
            )


def _name_backward(noun: Words, link: Words, alone: bool) -> tuple[Words, Words]:
    """Name the other side of a reference, without and with the reference's own name."""
    if link == ("parent",) and not alone:
        return pluralize_last(noun), ("children",)
    short = noun if alone else pluralize_last(noun)
    return short, (*short, "by", *link)


def _find_comment(reference: DescribedReference, table: DescribedTable) -> str:
    """Return the comment on the reference's column, if it has one of its own."""
    if len(reference.columns) > 1 or reference.columns == table.key:
        return ""
    return next(
        (naming.to_sentence(column.comment) for column in table.columns if (column.name,) == reference.columns), ""
    )


RESERVED_TYPES = frozenset(
    {
        "Query", "Mutation", "Subscription", "Int", "Float", "String", "Boolean", "ID", "BigInt", "Decimal", "Date",
        "DateTime", "PageInfo", "Direction", "GroupBy", "TimeGroupBy", "DateGroupBy", "Many", "One", "ById", "Computed",
        "StrEnum", "Key", "Me", "MyMembership", "Request", "RequestOutcome", "Job", "JobLine", "JobFile", "JobState",
        "JobLineKind", "ChangeVerb", "ChangeState", "UserAccount", "GroupMembership", "MembershipSource", "ApiKey",
        "IssuedApiKey", "AdministrativeChange", "UserImport", "UserImportLine", "ImportOutcome", "ExportFormat",
        "FileUpload", "Json", "JSON", "Access", "Group", "GroupSensitivity", "Simulation", "SimulatedField",
        "PolicyDiff", "RuleChange", "DecisionChange",
    }
)  # fmt: skip
"""Types that every schema has, and names that a file in schema/ imports."""

RESERVED_ROOT_FIELDS = frozenset(
    {
        "me", "request", "requests", "job", "jobs", "userAccount", "userAccounts", "groupMemberships", "apiKeys",
        "administrativeChanges", "group", "groups", "access", "myAccess", "simulate", "policyDiff",
    }
)  # fmt: skip
"""The root fields of the built-in types."""

GENERATED_SUFFIXES = (
    "Connection", "Edge", "Where", "ListWhere", "Order", "AggregateOrder", "CountDistinctOrder", "SumOrder",
    "AverageOrder", "MinimumOrder", "MaximumOrder", "CountDistinct", "CountDistinctHaving", "Sum", "SumHaving",
    "Average", "AverageHaving", "Minimum", "MinimumHaving", "Maximum", "MaximumHaving", "Aggregate", "Having",
    "GroupBy", "GroupKey", "Group", "GroupOrder", "Filter",
)  # fmt: skip
"""The suffixes of the types that the schema derives from a type."""


def name_tables(
    tables: Iterable[DescribedTable], options: CodegenOptions, reserved: ReservedNames
) -> dict[str, TypeNames]:
    """Name the types by table; a name in use gets the name of the database schema, or the source, as a prefix."""
    types = expand_type_names(RESERVED_TYPES | reserved.types)
    roots, files = {*RESERVED_ROOT_FIELDS, *reserved.root_fields}, set(reserved.files)
    names_by_table: dict[str, TypeNames] = {}
    for table in sorted(tables, key=lambda table: (len(table.name), table.name)):
        candidates = (build_type_names(candidate) for candidate in list_type_name_candidates(table, options))
        names = next(names for names in candidates if are_names_free(names, types, roots, files))
        names_by_table[table.name] = names
        types |= expand_type_names({names.type})
        roots |= {to_camel_case(names.singular), to_camel_case(names.plural)}
        files.add(names.file)
    return names_by_table


def list_type_name_candidates(table: DescribedTable, options: CodegenOptions) -> Iterable[Words]:
    place, _, last = table.name.rpartition(".")
    short = last.removeprefix(options.strip) or last
    own = singularize_last(split_words(short))
    yield own
    yield from iter_names_with_parents(place, own) if table.declared else ()
    if place:
        yield (*split_words(place), *own)
    yield (*split_words(options.source), *own)
    yield from ((*split_words(options.source), *own, str(number)) for number in range(2, 1000))


def iter_names_with_parents(place: str, own: Words) -> Iterable[Words]:
    """Yield the name after one parent, then two: a status below deployments is a deployment status."""
    for parent in reversed(place.split(".") if place else []):
        own = (*singularize_last(split_words(parent)), *own)
        yield own


def build_type_names(words: Words) -> TypeNames:
    lots = pluralize_last(words)
    file = to_snake_case(words)
    return TypeNames(
        words=words,
        type=to_pascal_case(words),
        singular=words,
        plural=("all", *lots) if to_camel_case(lots) == to_camel_case(words) else lots,
        file=f"{file}_" if keyword.iskeyword(file) else file,
    )


def are_names_free(type_names: TypeNames, types: set[str], roots: set[str], files: set[str]) -> bool:
    return (
        not has_name_clash(type_names.type, types)
        and not {to_camel_case(type_names.singular), to_camel_case(type_names.plural)} & roots
        and type_names.file not in files
    )


def has_name_clash(name: str, types: Set[str]) -> bool:
    """Say whether this name, or one derived from it, is among `types`, which hold the derived names too."""
    return not types.isdisjoint(expand_type_names({name}))


def expand_type_names(names: Iterable[str]) -> set[str]:
    """Return the names, and all that are derived from them."""
    return {f"{name}{suffix}" for name in names for suffix in ("", *GENERATED_SUFFIXES)}


ColumnPath = tuple[str, str]
"""A table and its column."""


def build_enums(
    tables: Iterable[DescribedTable],
    type_names_by_table: Mapping[str, TypeNames],
    options: CodegenOptions,
    reserved: ReservedNames,
) -> dict[ColumnPath, GeneratedEnum]:
    """Build the enums by column: columns of one named enum share it, values from a check are the column's own."""
    types = expand_type_names(
        {*RESERVED_TYPES, *reserved.types, *(names.type for names in type_names_by_table.values())}
    )
    shared: dict[tuple[str, tuple[str, ...]], GeneratedEnum] = {}
    enums: dict[ColumnPath, GeneratedEnum] = {}
    for table in tables:
        for column in (each for each in table.columns if each.values and (each.items or each.kind) is ColumnType.TEXT):
            place = (table.name, column.name)
            known = shared.get((column.enum, column.values)) if column.enum else None
            enums[place] = known or build_enum(column, type_names_by_table[table.name], options, types)
            types |= expand_type_names({enums[place].type})
            if column.enum:
                shared[column.enum, column.values] = enums[place]
    return enums


def build_enum(
    column: DescribedColumn, type_names: TypeNames, options: CodegenOptions, types: set[str]
) -> GeneratedEnum:
    own = split_words(column.name)
    called = next(
        candidate
        for candidate in list_enum_name_candidates(column, type_names, options)
        if not has_name_clash(to_pascal_case(candidate), types)
    )
    return GeneratedEnum(
        type=to_pascal_case(called),
        values=column.values,
        description=naming.describe_enum(own, type_names.words, column.values),
        file=type_names.file,
    )


def list_enum_name_candidates(
    column: DescribedColumn, type_names: TypeNames, options: CodegenOptions
) -> Iterable[Words]:
    own = split_words(column.name)
    if column.enum:
        yield split_words(column.enum.rpartition(".")[2])
    whole = (
        own
        if own[: len(type_names.words)] == type_names.words and own != type_names.words
        else (*type_names.words, *own)
    )
    yield whole
    yield (*split_words(options.source), *whole)
    yield from ((*whole, str(number)) for number in range(2, 1000))


ANNOTATION_BY_TYPE: Mapping[ColumnType, str] = {
    ColumnType.TEXT: "str",
    ColumnType.INTEGER: "int",
    ColumnType.FLOAT: "float",
    ColumnType.DECIMAL: "Decimal",
    ColumnType.BOOLEAN: "bool",
    ColumnType.DATE: "date",
    ColumnType.TIME: "datetime",
    ColumnType.LIST: "list[str]",
}

ID_ANNOTATION, VALUE_SUFFIX = "strawberry.ID", ("value",)

RESERVED_FIELDS = frozenset({"id", "and", "or", "not"})
"""Field names in use: `id` stands for the key, and a filter has the others."""

KEY_SUFFIXES = frozenset({"id", "key", "uuid", "guid", "no", "nr", "number", "rowid", "sk"})
"""How the name of a key ends that says no more than `id`."""


def build_generated_types(
    tables: Iterable[DescribedTable], options: CodegenOptions, reserved: ReservedNames
) -> tuple[GeneratedType, ...]:
    """Build the types that the options select, in the order of their names."""
    chosen = select_tables(tables, options)
    names = name_tables(chosen, options, reserved)
    enums = build_enums(chosen, names, options, reserved)
    return tuple(_build_generated_type(table, chosen, names, enums) for table in chosen)


def report_transliterations(types: Iterable[GeneratedType]) -> Iterator[str]:
    """Yield a line for each type that is written in another script than its names in the source."""
    for generated_type in types:
        table = generated_type.table
        fields = {field.column: to_camel_case(field.words) for field in generated_type.fields}
        links = {" ".join(link.local): to_camel_case(link.words) for link in generated_type.relationships}
        names = {table.name: generated_type.names.type, **links, **fields}
        listed = [f"{name} as `{written}`" for name, written in names.items() if is_transliterated(name)]
        if listed:
            yield f"`{table.name}`, written in Latin letters: {', '.join(listed)}"


def _build_generated_type(
    table: DescribedTable,
    tables: Sequence[DescribedTable],
    type_names_by_table: Mapping[str, TypeNames],
    enums_by_column: Mapping[ColumnPath, GeneratedEnum],
) -> GeneratedType:
    names = type_names_by_table[table.name]
    fields = tuple(_build_fields(table, names, enums_by_column))
    links = build_relationships(
        table, tables, type_names_by_table, frozenset(to_camel_case(field.words) for field in fields)
    )
    own = {enums_by_column[place].type: enums_by_column[place] for place in enums_by_column if place[0] == table.name}
    types = {other.type: other.file for other in type_names_by_table.values()}
    return GeneratedType(
        table=table,
        names=names,
        key=table.key or tuple(column.name for column in table.columns if column.kind is not ColumnType.LIST),
        fields=fields,
        relationships=links,
        enums=tuple(enum for enum in own.values() if enum.file == names.file),
        files={link.target: types[link.target] for link in links} | {enum.type: enum.file for enum in own.values()},
    )


def _build_fields(
    table: DescribedTable, type_names: TypeNames, enums_by_column: Mapping[ColumnPath, GeneratedEnum]
) -> Iterable[GeneratedField]:
    """Yield the id, and each column that neither the id nor a relationship shows."""
    if table.key:
        parts = tuple(_drop_key_suffix(split_words(column_name), table) for column_name in table.key)
        yield GeneratedField(
            words=("id",), annotation=ID_ANNOTATION, description=naming.describe_key(type_names.words, parts)
        )
    taken = set(RESERVED_FIELDS)
    for column in table.columns:
        if not _is_shown_elsewhere(column, table):
            own = split_words(column.name)
            words = choose_free_name((own, (*own, *VALUE_SUFFIX)), taken)
            taken.add(to_camel_case(words))
            yield build_field(column, words, enums_by_column.get((table.name, column.name)))


def build_field(column: DescribedColumn, words: Words, enum: GeneratedEnum | None) -> GeneratedField:
    annotation = _annotate_column(column, enum) + (" | None" if column.nullable else "")
    described = naming.to_sentence(column.comment) or naming.describe_value(split_words(column.name), annotation)
    return GeneratedField(
        words=words,
        annotation=annotation,
        description=naming.add_original(described, column.name),
        column=column.name,
    )


def _annotate_column(column: DescribedColumn, enum: GeneratedEnum | None) -> str:
    if column.json:
        return "Json"
    kind = column.items or column.kind
    item = enum.type if enum else "BigInt" if column.large else ANNOTATION_BY_TYPE[kind]
    return f"list[{item} | None]" if column.items else item


def _is_shown_elsewhere(column: DescribedColumn, table: DescribedTable) -> bool:
    if (column.name,) == table.key:
        return column.kind is ColumnType.INTEGER or split_words(column.name)[-1] in KEY_SUFFIXES
    return any(
        reference.columns == (column.name,) or (column.name in table.needs and column.name in reference.columns)
        for reference in table.references
    )


def _drop_key_suffix(own: Words, table: DescribedTable) -> Words:
    """Drop the suffix of a part of a longer key, which is then called after what it refers to."""
    return own[:-1] if own[-1] in KEY_SUFFIXES and len(own) > 1 and len(table.key) > 1 else own
