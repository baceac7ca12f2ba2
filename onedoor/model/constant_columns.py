"""A source and columns that are the same in all rows of a collection in, the source with those columns out.

Then a filter, an order, a key or a cursor may name where a row is kept, and a read that no row there can meet asks
nothing of the source.
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
"""By column, its value in every row."""

NO_CONSTANTS: ConstantValues = {}

CONSTANT_COLUMN = Column(type=ColumnType.TEXT, filters=frozenset(Op), sortable=True)

COUNT_FUNCTIONS = (AggregateFunction.COUNT, AggregateFunction.COUNT_DISTINCT)


def add_constant_columns(
    connectors: Mapping[str, Connector], mappings: Mapping[str, TypeMapping]
) -> Mapping[str, Connector]:
    """The sources, those of bindings with constants in their new dress; dressed once, however often this is called."""
    fixed: dict[str, dict[str, ConstantValues]] = {}
    for each in mappings.values():
        if each.constants and not isinstance(connectors.get(each.source), ConstantColumns):
            fixed.setdefault(each.source, {})[each.collection] = each.constants
    dressed = {name: ConstantColumns(connectors[name], of) for name, of in fixed.items() if name in connectors}
    return {**connectors, **dressed} if dressed else connectors


class ConstantColumns:
    """All else of the source, such as its files' content, is its own."""

    def __init__(self, connector: Connector, constants: Mapping[str, ConstantValues]) -> None:
        """`fixed` by collection."""
        self.connector = connector
        self.constants = constants
        self.capabilities_by_collection = {
            name: extend_capabilities(connector.capabilities(name), of) for name, of in constants.items()
        }

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connector, name)

    def capabilities(self, collection: str) -> Capabilities:
        return (
            self.capabilities_by_collection[collection]
            if collection in self.capabilities_by_collection
            else self.connector.capabilities(collection)
        )

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        fixed = self.constants.get(request.collection, NO_CONSTANTS)
        asked = self.narrow_request(request, fixed)
        if asked is None:
            if request.aggregates and not request.columns:
                yield [tuple(0 if each.function in COUNT_FUNCTIONS else None for each in request.aggregates)]
            return
        widen = compile_row_widening(request, asked, fixed)
        async with closing_batches(self.connector.scan(asked)) as batches:
            async for rows in batches:
                yield widen(rows)

    async def ping(self) -> None:
        await self.connector.ping()

    async def close(self) -> None:
        await self.connector.close()

    @property
    def statement_text(self) -> Callable[[ScanRequest], str]:
        """AttributeError where the source cannot say how it is asked; then this cannot, either."""
        said = self.connector.statement_text  # type: ignore[attr-defined]
        return lambda ask: said(self.narrow_request(ask, self.constants.get(ask.collection, NO_CONSTANTS)) or ask)

    def narrow_request(self, request: ScanRequest, constants: ConstantValues) -> ScanRequest | None:
        """What is left to ask; None where no row can meet it."""
        where, having, keys = (
            self.fold_constants(request.filter, constants),
            self.fold_constants(request.having, constants),
            narrow_keys(request.keys, constants),
        )
        if where == ALWAYS_FALSE or having == ALWAYS_FALSE or (keys is not None and not keys.values):
            return None
        columns = tuple(each for each in request.columns if each not in constants)
        return replace(
            request,
            columns=columns,
            keys=keys if keys is None or keys.columns else None,
            filter=where,
            having=having,
            aggregates=(*request.aggregates, COUNT_ROWS) if _needs_row_count(request, columns) else request.aggregates,
            sort=tuple(each for each in request.sort if each.column not in constants),
        )

    def fold_constants(self, where: Any, constants: ConstantValues) -> Any:
        """Return the filter without comparisons whose outcome is known; it may become ALWAYS_TRUE or ALWAYS_FALSE."""
        return fold_predicate(
            where,
            partial(self._fold_leaf, constants=constants),
            conjunction=partial(simplify_parts, And),
            disjunction=partial(simplify_parts, Or),
            negation=negate_predicate,
        )

    def _fold_leaf(self, where: Any, constants: ConstantValues) -> Any:
        match where:
            case Comparison() if where.column in constants:
                return ALWAYS_TRUE if matches_constants(where, constants) else ALWAYS_FALSE
            case InKeys():
                return build_key_predicate(narrow_keys(KeyFilter(where.columns, tuple(where.keys)), constants))
            case Exists():
                inner_constants = self.constants.get(where.collection, NO_CONSTANTS)
                return replace(where, filter=self.fold_constants(where.filter, inner_constants))
            case _:
                return where


def extend_capabilities(capabilities: Capabilities, constants: ConstantValues) -> Capabilities:
    """That of the source, and all there is of the columns that it does not have."""
    named = frozenset((*constants, *each) for each in capabilities.key_columns)
    return replace(
        capabilities,
        columns={**capabilities.columns, **dict.fromkeys(constants, CONSTANT_COLUMN)},
        key_columns=capabilities.key_columns | named,
    )


def matches_constants(comparison: Comparison, constants: ConstantValues) -> bool:
    return compile_predicate(comparison, tuple(constants))(tuple(constants.values()))


def negate_predicate(part: Any) -> Any:
    if part == ALWAYS_TRUE:
        return ALWAYS_FALSE
    return ALWAYS_TRUE if part == ALWAYS_FALSE else Not(part)


def simplify_parts(connective: type[And] | type[Or], parts: Sequence[Any]) -> Any:
    """Without parts that change nothing; one that decides all stands for all."""
    idle, deciding = (ALWAYS_TRUE, ALWAYS_FALSE) if connective is And else (ALWAYS_FALSE, ALWAYS_TRUE)
    if deciding in parts:
        return deciding
    left = [each for each in parts if each != idle]
    return left[0] if len(left) == 1 else connective(tuple(left))


def build_key_predicate(key_filter: KeyFilter | None) -> Any:
    if key_filter is None or not key_filter.values:
        return ALWAYS_FALSE
    return InKeys(key_filter.columns, frozenset(key_filter.values)) if key_filter.columns else ALWAYS_TRUE


def narrow_keys(key_filter: KeyFilter | None, constants: ConstantValues) -> KeyFilter | None:
    """The keys that rows can have, without what is known of them."""
    if key_filter is None or not any(each in constants for each in key_filter.columns):
        return key_filter
    known = [(at, constants[each]) for at, each in enumerate(key_filter.columns) if each in constants]
    left = [at for at, each in enumerate(key_filter.columns) if each not in constants]
    values = (key for key in key_filter.values if all(key[at] == value for at, value in known))
    return KeyFilter(
        tuple(key_filter.columns[at] for at in left), tuple(tuple(key[at] for at in left) for key in values)
    )


def compile_row_widening(
    request: ScanRequest, narrowed: ScanRequest, constants: ConstantValues
) -> Callable[[Sequence[Row]], Sequence[Row]]:
    """From rows as they come to rows as they are wanted."""
    if narrowed.columns == request.columns:
        return lambda rows: rows
    wanted = (*request.columns, *(each.name for each in request.aggregates))
    come = (*narrowed.columns, *(each.name for each in request.aggregates))
    counted = come.index(COUNT_ROWS.name) if COUNT_ROWS in request.aggregates else -1
    told_apart = bool(request.aggregates and not narrowed.columns)
    places = [(come.index(each), None) if each in come else (None, constants[each]) for each in wanted]
    return lambda rows: [
        tuple(value if at is None else row[at] for at, value in places)
        for row in rows
        if not told_apart or row[counted]
    ]


def _needs_row_count(request: ScanRequest, columns: Sequence[str]) -> bool:
    """Grouped by nothing there is a row even of no rows, which is none of ours."""
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
    """Whether a variable says any of it."""
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
