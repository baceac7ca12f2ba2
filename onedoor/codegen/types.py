"""Tables -> named types with relationships."""

import keyword
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

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
from onedoor.spi.capabilities import ColumnType


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeNames:
    """What a table is called as a type, as root fields and as a file."""

    words: Words
    type: str
    singular: Words
    plural: Words
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedEnum:
    """The values of one or more columns; it stands in the file of the first table that uses it."""

    type: str
    values: tuple[str, ...]
    description: str
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedField:
    """A value of a row. `annotation` is as Python reads it; `column` is empty for the id, which is the key's."""

    words: Words
    annotation: str
    description: str
    column: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedRelationship:
    """A link: `leads` is `One` or `Many`."""

    words: Words
    cardinality: str
    target: str
    local: tuple[str, ...]
    remote: tuple[str, ...]
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedType:
    """One table with all its names. `files` says where the types and enums are that it speaks of."""

    table: DescribedTable
    names: TypeNames
    key: tuple[str, ...]
    fields: tuple[GeneratedField, ...]
    relationships: tuple[GeneratedRelationship, ...]
    enums: tuple[GeneratedEnum, ...]
    files: Mapping[str, str]


REFERENCE_SUFFIXES = frozenset({"id", "key", "uuid", "guid", "fk", "ref", "code", "no", "nr", "number", "sk"})
"""How a column ends that names a row rather than holds something."""


def build_relationships(
    table: DescribedTable,
    tables: Sequence[DescribedTable],
    type_names_by_table: Mapping[str, TypeNames],
    taken: Set[str],
) -> tuple[GeneratedRelationship, ...]:
    """Where a row leads, then what leads to it; no name twice, and none that a field has."""
    found: dict[str, GeneratedRelationship] = {}
    names = {*taken, "id", "and", "or", "not"}
    for each in (
        *_build_forward_relationships(table, type_names_by_table, names),
        *_build_backward_relationships(table, tables, type_names_by_table, names),
    ):
        found[to_camel_case(each.words)] = each
    return tuple(found.values())


def _build_forward_relationships(
    table: DescribedTable, type_names_by_table: Mapping[str, TypeNames], names: set[str]
) -> Iterable[GeneratedRelationship]:
    for each in table.references:
        base = name_reference(each, table, type_names_by_table[each.to])
        called = choose_free_name((base, type_names_by_table[each.to].words, (*base, "row")), names)
        names.add(to_camel_case(called))
        yield GeneratedRelationship(
            words=called,
            cardinality="One",
            target=type_names_by_table[each.to].type,
            local=each.columns,
            remote=each.there,
            description=_find_comment(each, table)
            or naming.describe_reference(called, type_names_by_table[each.to].words),
        )


def name_reference(reference: DescribedReference, table: DescribedTable, target: TypeNames) -> Words:
    """What a reference is called after: its column without its `id`, or the row it leads to."""
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
    names: set[str],
) -> Iterable[GeneratedRelationship]:
    for other in tables:
        leading = [each for each in other.references if each.to == table.name]
        for each in leading:
            alone = each.alone or each.columns == other.key
            noun = type_names_by_table[other.name].words
            link = name_reference(each, other, type_names_by_table[table.name])
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
                local=each.there,
                remote=each.columns,
                description=naming.describe_back_reference(noun, link, called in (short, *brief), alone),
            )


def _name_backward(noun: Words, link: Words, alone: bool) -> tuple[Words, Words]:
    """Without and with the link it is the other side of."""
    if link == ("parent",) and not alone:
        return pluralize_last(noun), ("children",)
    short = noun if alone else pluralize_last(noun)
    return short, (*short, "by", *link)


def _find_comment(reference: DescribedReference, table: DescribedTable) -> str:
    """What is said of the column, where the reference is all that it says."""
    if len(reference.columns) > 1 or reference.columns == table.key:
        return ""
    return next((naming.to_sentence(each.comment) for each in table.columns if (each.name,) == reference.columns), "")


RESERVED_TYPES = frozenset(
    {
        "Query", "Mutation", "Subscription", "Int", "Float", "String", "Boolean", "ID", "BigInt", "Decimal", "Date",
        "DateTime", "PageInfo", "Direction", "GroupBy", "TimeGroupBy", "DateGroupBy", "Many", "One", "ById", "Computed",
        "StrEnum", "Key", "Me", "Request", "RequestOutcome", "Job", "JobLine", "JobFile", "JobState", "JobLineKind",
        "ChangeVerb", "ChangeState", "ExportFormat", "FileUpload",
    }
)  # fmt: skip
"""Types the schema has of itself, and what a file of schema/ calls by these names."""

RESERVED_ROOT_FIELDS = frozenset({"me", "request", "requests", "job", "jobs"})
"""Fields that the product has at the root."""

GENERATED_SUFFIXES = (
    "Connection", "Edge", "Where", "ListWhere", "Order", "AggregateOrder", "CountDistinctOrder", "SumOrder",
    "AverageOrder", "MinimumOrder", "MaximumOrder", "CountDistinct", "CountDistinctHaving", "Sum", "SumHaving",
    "Average", "AverageHaving", "Minimum", "MinimumHaving", "Maximum", "MaximumHaving", "Aggregate", "Having",
    "GroupBy", "GroupKey", "Group", "GroupOrder", "Filter",
)  # fmt: skip
"""What the schema puts behind a type's name to make others."""


def name_tables(
    tables: Iterable[DescribedTable], options: CodegenOptions, reserved: ReservedNames
) -> dict[str, TypeNames]:
    """By table. A name somebody has is made another's by the schema's name before it, or the source's."""
    types = expand_type_names(RESERVED_TYPES | reserved.types)
    roots, files = {*RESERVED_ROOT_FIELDS, *reserved.root_fields}, set(reserved.files)
    found: dict[str, TypeNames] = {}
    for table in sorted(tables, key=lambda each: (len(each.name), each.name)):
        tried = (build_type_names(each) for each in list_type_name_candidates(table, options))
        found[table.name] = next(each for each in tried if are_names_free(each, types, roots, files))
        kept = found[table.name]
        types |= expand_type_names({kept.type})
        roots |= {to_camel_case(kept.singular), to_camel_case(kept.plural)}
        files.add(kept.file)
    return found


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
    """After what it stands under, and what that stands under: a status of deployments is a deployment status."""
    for each in reversed(place.split(".") if place else []):
        own = (*singularize_last(split_words(each)), *own)
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
    """Whether this name, or one made of it, is among `types`, which hold what is made of each."""
    return not types.isdisjoint(expand_type_names({name}))


def expand_type_names(names: Iterable[str]) -> set[str]:
    """Names, and all that is made of them."""
    return {f"{name}{each}" for name in names for each in ("", *GENERATED_SUFFIXES)}


ColumnPath = tuple[str, str]
"""A table and its column."""


def build_enums(
    tables: Iterable[DescribedTable],
    type_names_by_table: Mapping[str, TypeNames],
    options: CodegenOptions,
    reserved: ReservedNames,
) -> dict[ColumnPath, GeneratedEnum]:
    """By column. Columns of one named enum share it; values that a check lists are their column's own."""
    types = expand_type_names({*RESERVED_TYPES, *reserved.types, *(each.type for each in type_names_by_table.values())})
    shared: dict[tuple[str, tuple[str, ...]], GeneratedEnum] = {}
    found: dict[ColumnPath, GeneratedEnum] = {}
    for table in tables:
        for column in (each for each in table.columns if each.values and each.kind is ColumnType.TEXT):
            place = (table.name, column.name)
            known = shared.get((column.enum, column.values)) if column.enum else None
            found[place] = known or build_enum(column, type_names_by_table[table.name], options, types)
            types |= expand_type_names({found[place].type})
            if column.enum:
                shared[column.enum, column.values] = found[place]
    return found


def build_enum(
    column: DescribedColumn, type_names: TypeNames, options: CodegenOptions, types: set[str]
) -> GeneratedEnum:
    own = split_words(column.name)
    called = next(
        each
        for each in list_enum_name_candidates(column, type_names, options)
        if not has_name_clash(to_pascal_case(each), types)
    )
    return GeneratedEnum(
        type=to_pascal_case(called),
        values=column.values,
        description=naming.describe_enum(own, type_names.words),
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
"""The id is the key's, and a filter has the others as words of its own."""

KEY_SUFFIXES = frozenset({"id", "key", "uuid", "guid", "no", "nr", "number", "rowid", "sk"})
"""How the name of a key ends that says no more than the id does."""


def build_generated_types(
    tables: Iterable[DescribedTable], options: CodegenOptions, reserved: ReservedNames
) -> tuple[GeneratedType, ...]:
    """Those that are wanted, in the order of their names."""
    chosen = select_tables(tables, options)
    titled = name_tables(chosen, options, reserved)
    values = build_enums(chosen, titled, options, reserved)
    return tuple(_build_generated_type(each, chosen, titled, values) for each in chosen)


def select_tables(tables: Iterable[DescribedTable], options: CodegenOptions) -> tuple[DescribedTable, ...]:
    """Without references that lead out of what is wanted, or compare what cannot be equal."""
    kept = [each for each in tables if each.columns and matches_patterns(each.name, options.tables)]
    kinds = {each.name: {column.name: column.kind for column in each.columns} for each in kept}
    return tuple(
        replace(
            each,
            key=_select_key(each, options),
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


def matches_patterns(name: str, patterns: Sequence[str]) -> bool:
    """Any pattern that says so, and none that begins with `!`; of patterns that only leave out, the rest is meant."""
    out = [each[1:] for each in patterns if each.startswith("!")]
    kept = [each for each in patterns if not each.startswith("!")] or ["*"]
    return any(fnmatchcase(name, each) for each in kept) and not any(fnmatchcase(name, each) for each in out)


def _select_key(table: DescribedTable, options: CodegenOptions) -> tuple[str, ...]:
    """None where a part of it is of a kind that no field shows."""
    key = options.keys.get(table.name, table.key)
    return key if set(key) <= {each.name for each in table.columns} else ()


def _build_generated_type(
    table: DescribedTable,
    tables: Sequence[DescribedTable],
    type_names_by_table: Mapping[str, TypeNames],
    enums_by_column: Mapping[ColumnPath, GeneratedEnum],
) -> GeneratedType:
    title = type_names_by_table[table.name]
    fields = tuple(_build_fields(table, title, enums_by_column))
    links = build_relationships(
        table, tables, type_names_by_table, frozenset(to_camel_case(each.words) for each in fields)
    )
    own = {enums_by_column[place].type: enums_by_column[place] for place in enums_by_column if place[0] == table.name}
    types = {each.type: each.file for each in type_names_by_table.values()}
    return GeneratedType(
        table=table,
        names=title,
        key=table.key or tuple(each.name for each in table.columns if each.kind is not ColumnType.LIST),
        fields=fields,
        relationships=links,
        enums=tuple(each for each in own.values() if each.file == title.file),
        files={each.target: types[each.target] for each in links} | {each.type: each.file for each in own.values()},
    )


def _build_fields(
    table: DescribedTable, type_names: TypeNames, enums_by_column: Mapping[ColumnPath, GeneratedEnum]
) -> Iterable[GeneratedField]:
    """The id, and each column that is not said by the id or by a link."""
    if table.key:
        parts = tuple(_drop_key_suffix(split_words(each), table) for each in table.key)
        yield GeneratedField(
            words=("id",), annotation=ID_ANNOTATION, description=naming.describe_key(type_names.words, parts)
        )
    taken = set(RESERVED_FIELDS)
    for column in table.columns:
        if not _is_shown_elsewhere(column, table):
            own = split_words(column.name)
            found = choose_free_name(((own), (*own, *VALUE_SUFFIX)), taken)
            taken.add(to_camel_case(found))
            yield _build_field(column, found, enums_by_column.get((table.name, column.name)))


def _build_field(column: DescribedColumn, found: Words, enum: GeneratedEnum | None) -> GeneratedField:
    kind = "BigInt" if column.large and column.kind is ColumnType.INTEGER else ANNOTATION_BY_TYPE[column.kind]
    annotation = (enum.type if enum else kind) + (" | None" if column.nullable else "")
    described = naming.to_sentence(column.comment) or naming.describe_value(split_words(column.name), annotation)
    return GeneratedField(words=found, annotation=annotation, description=described, column=column.name)


def _is_shown_elsewhere(column: DescribedColumn, table: DescribedTable) -> bool:
    if (column.name,) == table.key:
        return column.kind is ColumnType.INTEGER or split_words(column.name)[-1] in KEY_SUFFIXES
    return any(
        each.columns == (column.name,) or (column.name in table.needs and column.name in each.columns)
        for each in table.references
    )


def _drop_key_suffix(own: Words, table: DescribedTable) -> Words:
    """A part of a key that is a reference is called by what it refers to."""
    return own[:-1] if own[-1] in KEY_SUFFIXES and len(own) > 1 and len(table.key) > 1 else own
