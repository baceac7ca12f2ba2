"""Have PostgreSQL compare columns of its own types by their own operators, and so by their indexes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import cast, func

from onedoor.connectors.sql.dialects.postgresql import NamedSqlType
from onedoor.connectors.sql.scope import Expression
from onedoor.connectors.sql.tables import NativeType, SqlColumn
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.text_types import (
    JSON_TEXT,
    MAC_ADDRESS,
    MAC_ADDRESS_64,
    NETWORK_ADDRESS,
    PADDED_TEXT,
    UUID,
    build_enum_type,
    spell_json,
    spell_network_address,
)

COLUMN_COMPARISONS_SQL = """
    WITH RECURSIVE base AS (
        SELECT oid AS declared, oid AS type FROM pg_type WHERE typtype <> 'd'
        UNION ALL SELECT t.oid, b.type FROM pg_type t JOIN base b ON b.declared = t.typbasetype WHERE t.typtype = 'd'
    )
    SELECT n.nspname::text, c.relname::text, a.attname::text, t.typname::text, format_type(t.oid, NULL),
        ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder),
        coalesce(l.collisdeterministic, true),
        coalesce(l.collnamespace = 'pg_catalog'::regnamespace AND CASE l.collname
            WHEN 'default' THEN d.provider = 'b' OR d.provider = 'c' AND d.locale IN ('C', 'POSIX')
            ELSE l.collname IN ('C', 'POSIX', 'ucs_basic', 'pg_c_utf8') END, false)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN base b ON b.declared = a.atttypid JOIN pg_type t ON t.oid = b.type
    LEFT JOIN pg_collation l ON l.oid = a.attcollation
    CROSS JOIN (
        SELECT coalesce(to_jsonb(x) ->> 'datlocprovider', 'c') AS provider, x.datcollate AS locale
        FROM pg_database x WHERE x.datname = current_database()
    ) AS d
    WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND a.attnum > 0 AND NOT a.attisdropped
        AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
"""
"""The types of columns, domains counting as the types beneath them, and what their collations mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnComparison:
    """What a column has from its type and its collation, as COLUMN_COMPARISONS_SQL gives it."""

    type: str
    qualified_type: str
    """As it is written in a statement."""
    enum_values: Sequence[str]
    is_deterministic: bool
    """Whether the collation tells all texts apart."""
    is_code_point_order: bool


def index_column_comparisons(rows: Sequence[Sequence[object]]) -> Mapping[tuple[str, str, str], ColumnComparison]:
    """Return the rows of COLUMN_COMPARISONS_SQL by schema, table and column."""
    names = ("type", "qualified_type", "enum_values", "is_deterministic", "is_code_point_order")
    return {
        (str(schema), str(table), str(column)): ColumnComparison(**dict(zip(names, values, strict=True)))  # type: ignore[arg-type]
        for schema, table, column, *values in rows
    }


def compare_natively(column: SqlColumn, comparison: ColumnComparison | None) -> SqlColumn:
    """Let the column be compared by its type's own operators, where these mean what its values mean."""
    if comparison is None or column.type is not ColumnType.TEXT:
        return column
    if comparison.enum_values:
        return _compare_as_enum(column, comparison)
    specialize = SPECIALIZED_TYPES.get(comparison.type)
    return specialize(column, comparison) if specialize else column


def _compare_as_enum(column: SqlColumn, comparison: ColumnComparison) -> SqlColumn:
    text_type = build_enum_type(comparison.type, comparison.enum_values)
    native = NativeType(name=comparison.qualified_type, order=True)
    return replace(column, native_type=native, text_type=text_type, decode=text_type.spell)


def _compare_as_uuid(column: SqlColumn, _: ColumnComparison) -> SqlColumn:
    return replace(column, native_type=NativeType(name="uuid", order=True), text_type=UUID)


def _compare_as_network_address(column: SqlColumn, _: ColumnComparison) -> SqlColumn:
    return replace(
        column,
        native_type=NativeType(name="inet", order=True),
        text_type=NETWORK_ADDRESS,
        decode=spell_network_address,
        read_as_text=False,
        read_expression=_abbreviate_address,
    )


def _abbreviate_address(column: Expression) -> Expression:
    address: Expression = func.abbrev(cast(column, NamedSqlType("inet")))
    return address


def _compare_as_mac_address(column: SqlColumn, _: ColumnComparison) -> SqlColumn:
    return replace(column, native_type=NativeType(name="macaddr", order=True), text_type=MAC_ADDRESS)


def _compare_as_long_mac_address(column: SqlColumn, _: ColumnComparison) -> SqlColumn:
    return replace(column, native_type=NativeType(name="macaddr8", order=True), text_type=MAC_ADDRESS_64)


def _compare_as_padded_text(column: SqlColumn, comparison: ColumnComparison) -> SqlColumn:
    native = NativeType(name="bpchar", equality=comparison.is_deterministic, order=comparison.is_code_point_order)
    read_expression = None if comparison.is_deterministic else _collate_by_code_point
    return replace(column, native_type=native, text_type=PADDED_TEXT, read_expression=read_expression)


def _compare_as_caseless_text(column: SqlColumn, comparison: ColumnComparison) -> SqlColumn:
    """Find a text among those that differ from it in case alone, which an index gives."""
    return replace(column, native_type=NativeType(name=comparison.qualified_type, equality=False))


def _compare_as_name(column: SqlColumn, _: ColumnComparison) -> SqlColumn:
    return replace(column, native_type=NativeType(name="text", order=True))


def _compare_as_json(column: SqlColumn, _: ColumnComparison) -> SqlColumn:
    return replace(column, native_type=NativeType(name="jsonb"), text_type=JSON_TEXT, decode=spell_json)


def _leave_json_to_engine(column: SqlColumn, _: ColumnComparison) -> SqlColumn:
    """Have the engine compare `json`, for which PostgreSQL has no equality."""
    return replace(column, incomparable=True, text_type=JSON_TEXT, decode=spell_json)


def _compare_in_collation(column: SqlColumn, comparison: ColumnComparison) -> SqlColumn:
    if comparison.is_deterministic:
        return replace(column, in_code_point_order=comparison.is_code_point_order)
    return replace(
        column,
        native_type=NativeType(name="text", equality=False),
        read_expression=_collate_by_code_point,
    )


def _collate_by_code_point(text: Expression) -> Expression:
    return text.collate("C")


SPECIALIZED_TYPES: Mapping[str, Callable[[SqlColumn, ColumnComparison], SqlColumn]] = {
    "uuid": _compare_as_uuid,
    "inet": _compare_as_network_address,
    "cidr": _compare_as_network_address,
    "macaddr": _compare_as_mac_address,
    "macaddr8": _compare_as_long_mac_address,
    "bpchar": _compare_as_padded_text,
    "citext": _compare_as_caseless_text,
    "name": _compare_as_name,
    "jsonb": _compare_as_json,
    "json": _leave_json_to_engine,
    "text": _compare_in_collation,
    "varchar": _compare_in_collation,
}
"""By the name of a type, what its columns are compared by."""
