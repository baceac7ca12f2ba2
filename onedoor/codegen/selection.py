"""Select the tables and columns that are written, and report what is left out and why."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from onedoor.codegen.models import (
    CodegenOptions,
    DescribedReference,
    DescribedTable,
    Withheld,
    WithheldColumn,
)
from onedoor.spi.capabilities import ColumnType


def select_tables(tables: Iterable[DescribedTable], options: CodegenOptions) -> tuple[DescribedTable, ...]:
    """Select tables and columns; drop references that lead elsewhere or compare columns of different types."""
    selected = _select_columns(tables, options)
    kinds = _map_column_kinds(selected)
    return tuple(
        replace(
            table,
            key=_select_key(table, options),
            references=tuple(
                reference
                for reference in table.references
                if reference.to in kinds and _has_same_types(reference, kinds[table.name], kinds[reference.to])
            ),
            omitted={},
            withheld={},
            aside="",
        )
        for table in sorted(selected, key=lambda table: table.name)
    )


def _select_columns(tables: Iterable[DescribedTable], options: CodegenOptions) -> Sequence[DescribedTable]:
    """Drop the columns that are left out, and the tables that then have none."""
    chosen = [_drop_withheld(table, options) for table in tables if is_table_chosen(table, options)]
    return [table for table in chosen if table.columns]


def _map_column_kinds(tables: Iterable[DescribedTable]) -> Mapping[str, Mapping[str, ColumnType]]:
    return {table.name: {column.name: column.kind for column in table.columns} for table in tables}


def is_table_chosen(table: DescribedTable, options: CodegenOptions) -> bool:
    if table.aside:
        return table.name in options.tables
    return matches_patterns(table.name, options.tables)


def _drop_withheld(table: DescribedTable, options: CodegenOptions) -> DescribedTable:
    if not table.withheld:
        return table
    withheld = _find_withheld(table, options)
    return replace(table, columns=tuple(column for column in table.columns if column.name not in withheld))


def _find_withheld(table: DescribedTable, options: CodegenOptions) -> Mapping[str, WithheldColumn]:
    """Return the columns that no option asks for."""
    return {
        name: column
        for name, column in table.withheld.items()
        if not (options.binary if column.reason is Withheld.BINARY else f"{table.name}.{name}" in options.only)
    }


def _has_same_types(
    reference: DescribedReference, own: Mapping[str, ColumnType], theirs: Mapping[str, ColumnType]
) -> bool:
    return set(reference.columns) <= own.keys() and [own[name] for name in reference.columns] == [
        theirs.get(name) for name in reference.there
    ]


def matches_patterns(name: str, patterns: Sequence[str]) -> bool:
    """Match any pattern and none that begins with `!`; if all begin so, whatever they do not match."""
    excluded = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    included = [pattern for pattern in patterns if not pattern.startswith("!")] or ["*"]
    return any(fnmatchcase(name, pattern) for pattern in included) and not any(
        fnmatchcase(name, pattern) for pattern in excluded
    )


def _select_key(table: DescribedTable, options: CodegenOptions) -> tuple[str, ...]:
    """Return the key, or none if a part of it is not written."""
    key = options.keys.get(table.name, table.key)
    return key if set(key) <= {column.name for column in table.columns} else ()


def report_omissions(tables: Sequence[DescribedTable], options: CodegenOptions) -> Iterator[str]:
    """Yield a line for each table of which something is left out, then one for each reason to leave out tables.

    What `--tables` leaves out is not reported: whoever gave it knows.
    """
    kinds = _map_column_kinds(_select_columns(tables, options))
    tables_by_reason: dict[str, list[str]] = defaultdict(list)
    for table in tables:
        if is_table_chosen(table, options):
            omissions = [*_list_omitted_columns(table, options), *_list_omitted_keys(table, options, kinds)]
            if omissions:
                yield f"`{table.name}`, left out: {', '.join(omissions)}"
        elif table.aside and matches_patterns(table.name, options.tables):
            tables_by_reason[table.aside].append(table.name)
    for reason, names in tables_by_reason.items():
        listed = ", ".join(f"`{name}`" for name in sorted(names))
        yield f"left out: {listed} ({reason}; `--tables` and a full name adds it)"


def _list_omitted_columns(table: DescribedTable, options: CodegenOptions) -> Iterator[str]:
    yield from (f"{name} ({declared_type})" for name, declared_type in table.omitted.items())
    for name, column in _find_withheld(table, options).items():
        if column.reason is Withheld.BINARY:
            yield f"{name} ({column.declared_type}; `--binary` adds it)"
        else:
            advice = f"`--only '{table.name}.{name}'` adds it"
            yield f"{name} ({column.declared_type}, which looks like a secret; {advice})"


def _list_omitted_keys(
    table: DescribedTable, options: CodegenOptions, kinds: Mapping[str, Mapping[str, ColumnType]]
) -> Iterator[str]:
    """Yield what goes with a column that is left out, or that differs from the one it refers to."""
    own = kinds.get(table.name, {})
    if own and table.key and not _select_key(_drop_withheld(table, options), options):
        yield f"the id (its key is {' and '.join(table.key)})"
    for reference in table.references:
        if own and reference.to in kinds and not _has_same_types(reference, own, kinds[reference.to]):
            yield f"the relationship by {' and '.join(reference.columns)} (`{reference.to}` has it in another type)"
