"""Add columns to a connector that have the same value in all rows of a collection.

So a filter, a sort, a key or a cursor can name where a row is kept, and a scan that no row there can meet does not
call the source.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from onedoor.model.mapping import TypeMapping
from onedoor.model.parameters import Parameter, substitute
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.connector import Connector
from onedoor.spi.operators import compile_predicate
from onedoor.spi.predicates import (
    ALWAYS_FALSE,
    ALWAYS_TRUE,
    And,
    Comparison,
    Exists,
    InKeys,
    Not,
    Op,
    Or,
    Row,
    fold_predicate,
)
from onedoor.spi.scan import COUNT_ROWS, AggregateFunction, KeyFilter, ScanRequest
from onedoor.spi.spill import closing_batches

ConstantValues = Mapping[str, str]
"""By column, the value that it has in every row."""

NO_CONSTANTS: ConstantValues = {}

CONSTANT_COLUMN = Column(type=ColumnType.TEXT, filters=frozenset(Op), sortable=True)

COUNT_FUNCTIONS = (AggregateFunction.COUNT, AggregateFunction.COUNT_DISTINCT)


def add_constant_columns(
    connectors: Mapping[str, Connector], mappings: Mapping[str, TypeMapping]
) -> Mapping[str, Connector]:
    """Return the connectors, with the constants of the mappings added where they are not yet."""
    constants: dict[str, dict[str, ConstantValues]] = {}
    for mapping in mappings.values():
        if mapping.constants and not isinstance(connectors.get(mapping.source), ConstantColumns):
            constants.setdefault(mapping.source, {})[mapping.collection] = mapping.constants
    extended = {
        name: ConstantColumns(connectors[name], by_collection)
        for name, by_collection in constants.items()
        if name in connectors
    }
    return {**connectors, **extended} if extended else connectors


class ConstantColumns:
    """A connector with constant columns, by collection; all else is that of the connector itself."""

    def __init__(self, connector: Connector, constants: Mapping[str, ConstantValues]) -> None:
        self.connector = connector
        self.constants = constants
        self.capabilities_by_collection = {
            name: extend_capabilities(connector.capabilities(name), values) for name, values in constants.items()
        }

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connector, name)

    def capabilities(self, collection: str) -> Capabilities:
        """Return those of the connector, and all there can be for the constant columns."""
        return (
            self.capabilities_by_collection[collection]
            if collection in self.capabilities_by_collection
            else self.connector.capabilities(collection)
        )

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        """Scan the connector for what is left of the request, and add the constants to the rows."""
        constants = self.constants.get(request.collection, NO_CONSTANTS)
        narrowed = self.narrow_request(request, constants)
        if narrowed is None:
            if request.aggregates and not request.columns:
                yield [tuple(0 if call.function in COUNT_FUNCTIONS else None for call in request.aggregates)]
            return
        widen = compile_row_widening(request, narrowed, constants)
        async with closing_batches(self.connector.scan(narrowed)) as batches:
            async for rows in batches:
                yield widen(rows)

    async def ping(self) -> None:
        """Ping the connector."""
        await self.connector.ping()

    async def close(self) -> None:
        """Close the connector."""
        await self.connector.close()

    @property
    def statement_text(self) -> Callable[[ScanRequest], str]:
        """Return the connector's own statements. Raises AttributeError where it has none, as `isinstance` expects."""
        statement_text = self.connector.statement_text  # type: ignore[attr-defined]
        return lambda request: statement_text(
            self.narrow_request(request, self.constants.get(request.collection, NO_CONSTANTS)) or request
        )

    def narrow_request(self, request: ScanRequest, constants: ConstantValues) -> ScanRequest | None:
        """Return the request without the constant columns; None where no row can meet it."""
        filter, having = (self.fold_constants(predicate, constants) for predicate in (request.filter, request.having))
        keys = narrow_keys(request.keys, constants)
        if filter == ALWAYS_FALSE or having == ALWAYS_FALSE or (keys is not None and not keys.values):
            return None
        columns = tuple(column for column in request.columns if column not in constants)
        return replace(
            request,
            columns=columns,
            keys=keys if keys is None or keys.columns else None,
            filter=filter,
            having=having,
            aggregates=(*request.aggregates, COUNT_ROWS) if _needs_row_count(request, columns) else request.aggregates,
            sort=tuple(sort_key for sort_key in request.sort if sort_key.column not in constants),
        )

    def fold_constants(self, predicate: Any, constants: ConstantValues) -> Any:
        """Return the filter without comparisons whose outcome is known; it may become ALWAYS_TRUE or ALWAYS_FALSE."""
        return fold_predicate(
            predicate,
            partial(self._fold_leaf, constants=constants),
            conjunction=partial(simplify_parts, And),
            disjunction=partial(simplify_parts, Or),
            negation=negate_predicate,
        )

    def _fold_leaf(self, leaf: Any, constants: ConstantValues) -> Any:
        match leaf:
            case Comparison() if leaf.column in constants:
                return ALWAYS_TRUE if matches_constants(leaf, constants) else ALWAYS_FALSE
            case InKeys():
                return build_key_predicate(narrow_keys(KeyFilter(leaf.columns, tuple(leaf.keys)), constants))
            case Exists():
                inner_constants = self.constants.get(leaf.collection, NO_CONSTANTS)
                return replace(leaf, filter=self.fold_constants(leaf.filter, inner_constants))
            case _:
                return leaf


def extend_capabilities(capabilities: Capabilities, constants: ConstantValues) -> Capabilities:
    """Add constant columns to capabilities, with everything that can be done with a known value."""
    key_columns = frozenset((*constants, *columns) for columns in capabilities.key_columns)
    return replace(
        capabilities,
        columns={**capabilities.columns, **dict.fromkeys(constants, CONSTANT_COLUMN)},
        key_columns=capabilities.key_columns | key_columns,
    )


def matches_constants(comparison: Comparison, constants: ConstantValues) -> bool:
    """Whether constant columns meet a comparison of one of them."""
    return compile_predicate(comparison, tuple(constants))(tuple(constants.values()))


def negate_predicate(part: Any) -> Any:
    """Return the complement, simplified where it is known."""
    if part == ALWAYS_TRUE:
        return ALWAYS_FALSE
    return ALWAYS_TRUE if part == ALWAYS_FALSE else Not(part)


def simplify_parts(connective: type[And] | type[Or], parts: Sequence[Any]) -> Any:
    """Combine parts, leaving out those that change nothing; one that decides the whole stands for it."""
    neutral, deciding = (ALWAYS_TRUE, ALWAYS_FALSE) if connective is And else (ALWAYS_FALSE, ALWAYS_TRUE)
    if deciding in parts:
        return deciding
    remaining = [part for part in parts if part != neutral]
    return remaining[0] if len(remaining) == 1 else connective(tuple(remaining))


def build_key_predicate(key_filter: KeyFilter | None) -> Any:
    """Return the predicate that rows of these keys meet."""
    if key_filter is None or not key_filter.values:
        return ALWAYS_FALSE
    return InKeys(key_filter.columns, frozenset(key_filter.values)) if key_filter.columns else ALWAYS_TRUE


def narrow_keys(key_filter: KeyFilter | None, constants: ConstantValues) -> KeyFilter | None:
    """Return the keys that rows with these constants can have, without the constant columns."""
    if key_filter is None or not any(column in constants for column in key_filter.columns):
        return key_filter
    known = [(index, constants[column]) for index, column in enumerate(key_filter.columns) if column in constants]
    rest = [index for index, column in enumerate(key_filter.columns) if column not in constants]
    possible_keys = (key for key in key_filter.values if all(key[index] == value for index, value in known))
    return KeyFilter(
        tuple(key_filter.columns[index] for index in rest),
        tuple(tuple(key[index] for index in rest) for key in possible_keys),
    )


def compile_row_widening(
    request: ScanRequest, narrowed: ScanRequest, constants: ConstantValues
) -> Callable[[Sequence[Row]], Sequence[Row]]:
    """Compile a function from rows of the narrowed request to rows of the request."""
    if narrowed.columns == request.columns:
        return lambda rows: rows
    aggregate_names = [aggregate.name for aggregate in request.aggregates]
    names, narrowed_names = (*request.columns, *aggregate_names), (*narrowed.columns, *aggregate_names)
    count_index = narrowed_names.index(COUNT_ROWS.name) if COUNT_ROWS in request.aggregates else -1
    drops_empty_group = bool(request.aggregates and not narrowed.columns)
    places = [
        (narrowed_names.index(name), None) if name in narrowed_names else (None, constants[name]) for name in names
    ]
    return lambda rows: [
        tuple(value if index is None else row[index] for index, value in places)
        for row in rows
        if not drops_empty_group or row[count_index]
    ]


def _needs_row_count(request: ScanRequest, columns: Sequence[str]) -> bool:
    """Whether rows must be counted: grouped by nothing there is a row even of no rows, which is no group here."""
    return bool(request.aggregates and request.columns and not columns and COUNT_ROWS not in request.aggregates)


def may_match(predicate: Any, constants: ConstantValues, variables: Mapping[str, Any] | None) -> bool | None:
    """Decide whether rows with these constants meet a planned filter; None when the rest of the row decides.

    Without `variables`, their values are unknown too.
    """
    return fold_predicate(
        predicate,
        partial(_may_match_leaf, constants=constants, variables=variables),
        conjunction=_and_three_valued,
        disjunction=_or_three_valued,
        negation=_not_three_valued,
    )


def _may_match_leaf(predicate: Any, constants: ConstantValues, variables: Mapping[str, Any] | None) -> bool | None:
    match predicate:
        case Comparison(column=column) if column in constants and _is_known(predicate.value, variables):
            value = substitute(predicate.value, variables or {})
            value = tuple(value) if isinstance(value, list) else value
            return matches_constants(Comparison(column, predicate.op, value), constants)
        case InKeys() if _is_known(predicate.keys, variables):
            keys = KeyFilter(predicate.columns, tuple(substitute(predicate.keys, variables or {})))
            return KNOWN_TRUTHS.get(build_key_predicate(narrow_keys(keys, constants)))
        case _:
            return None


KNOWN_TRUTHS: Mapping[Any, bool] = {ALWAYS_TRUE: True, ALWAYS_FALSE: False}


def _is_known(value: Any, variables: Mapping[str, Any] | None) -> bool:
    return variables is not None or not _has_parameter(value)


def _has_parameter(value: Any) -> bool:
    """Whether any of a value comes from a variable."""
    return isinstance(value, Parameter) or (isinstance(value, list | tuple) and any(map(_has_parameter, value)))


def _and_three_valued(parts: Sequence[bool | None]) -> bool | None:
    if False in parts:
        return False
    return None if None in parts else True


def _or_three_valued(parts: Sequence[bool | None]) -> bool | None:
    if True in parts:
        return True
    return None if None in parts else False


def _not_three_valued(part: bool | None) -> bool | None:
    return None if part is None else not part
