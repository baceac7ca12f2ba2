"""Compile the `where` argument of a field into a predicate over the rows of its type."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.model.catalog import Catalog
from onedoor.model.constant_columns import may_match
from onedoor.model.mapping import Relationship, TypeMapping
from onedoor.model.names import (
    MalformedId,
    NoSuchId,
    build_id_parser,
    get_capabilities,
    list_member_mappings,
    map_field_to_columns,
    resolve_target_type,
)
from onedoor.model.parameters import Parameter, convert_value, encode
from onedoor.query.planner.nodes import PlannedPredicate, SemiJoinFilter
from onedoor.query.planner.type_scans import build_visible_exists
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.predicates import (
    ALWAYS_TRUE,
    And,
    Comparison,
    InKeys,
    Not,
    Op,
    Or,
    Row,
    iterate_leaves,
    transform_predicate,
)
from onedoor.spi.text_types import InvalidText, TextType

TYPED_OPS = frozenset({Op.EQ, Op.NE, Op.IN, Op.NOT_IN, Op.LT, Op.LTE, Op.GT, Op.GTE})
"""The operators that compare values of a column's type."""

CONNECTIVE_ARGUMENTS: Mapping[str, type[And] | type[Or]] = {"and": And, "or": Or}

IdParser = Callable[[str], Row]


def parse_filter(catalog: Catalog, type_name: str, argument: Mapping[str, Any] | None) -> PlannedPredicate:
    """Return the predicate that holds when every member of the argument does.

    Raises RequestRejected for a null or an empty operand, which would mean all rows.
    """
    if argument is None:
        return ALWAYS_TRUE
    mapping = catalog.mappings[type_name]
    return And(tuple(_parse_filter_member(catalog, mapping, name, value) for name, value in argument.items()))


def iterate_filter_parameters(
    catalog: Catalog, type_name: str, argument: Mapping[str, Any] | None
) -> Iterator[Parameter]:
    """Yield the parameters of a filter, as what they are compared with: also those that decide nothing in the end.

    The predicate leaves out what cannot match, and what is hidden from whoever asks.
    """
    mapping = catalog.mappings[type_name]
    for name, value in (argument or {}).items():
        if name in CONNECTIVE_ARGUMENTS or name == "not":
            for part in [value] if name == "not" else value:
                yield from iterate_filter_parameters(catalog, type_name, part)
        elif name in mapping.relationships:
            _, is_list = resolve_target_type(catalog, type_name, name)
            for target in list_member_mappings(catalog, mapping.relationships[name].to):
                for inner in value.values() if is_list else [value]:
                    yield from iterate_filter_parameters(catalog, target.type, inner)
        else:
            yield from iterate_parameters(_parse_filter_member(catalog, mapping, name, value))


def iterate_parameters(predicate: PlannedPredicate) -> Iterator[Parameter]:
    """Yield the parameters of comparisons and keys."""
    for leaf in iterate_leaves(predicate):
        if isinstance(leaf, Comparison | InKeys):
            operand = leaf.value if isinstance(leaf, Comparison) else leaf.keys
            operands = operand if isinstance(operand, list | tuple) else (operand,)
            yield from (part for part in operands if isinstance(part, Parameter))


def _parse_filter_member(catalog: Catalog, mapping: TypeMapping, name: str, value: Any) -> PlannedPredicate:
    if value is None:
        raise build_bad_input_error(f"`{name}` in a filter of `{mapping.type}` is null: leave it out, or ask `isNull`")
    if name in CONNECTIVE_ARGUMENTS:
        return CONNECTIVE_ARGUMENTS[name](tuple(parse_filter(catalog, mapping.type, part) for part in value))
    if name == "not":
        return Not(parse_filter(catalog, mapping.type, value))
    if name in mapping.relationships:
        return _parse_relationship_filter(catalog, mapping, name, value)
    return And(
        tuple(
            _build_comparison(catalog, mapping, name, Op(op), operand)
            for op, operand in _parse_operators(mapping, name, value)
        )
    )


def _parse_operators(mapping: TypeMapping, name: str, value: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
    """Return each operator, or each quantifier of a list, with its operand."""
    if not value:
        raise build_bad_input_error(
            f"the filter of `{mapping.type}.{name}` says nothing, give an operator such as `eq`"
        )
    for op, operand in value.items():
        if is_null_operand(operand):
            raise build_bad_input_error(
                f"`{op}` in the filter of `{mapping.type}.{name}` is null: leave it out, or ask `isNull`"
            )
    return list(value.items())


def is_null_operand(operand: Any) -> bool:
    """Whether an operand is null, or a list with a null among its values."""
    return operand is None or (isinstance(operand, list) and any(value is None for value in operand))


def build_bad_input_error(message: str) -> RequestRejected:
    return RequestRejected(GraphQLErrorInfo(code=ErrorCode.BAD_USER_INPUT, message=message))


def _parse_relationship_filter(
    catalog: Catalog, mapping: TypeMapping, name: str, value: Mapping[str, Any]
) -> PlannedPredicate:
    _, is_list = resolve_target_type(catalog, mapping.type, name)
    relationship = mapping.relationships[name]
    if not is_list:
        return _build_some_filter(catalog, mapping, relationship, value)
    return And(
        tuple(
            QUANTIFIERS[quantifier](catalog, mapping, relationship, inner)
            for quantifier, inner in _parse_operators(mapping, name, value)
        )
    )


def _build_some_filter(
    catalog: Catalog, mapping: TypeMapping, relationship: Relationship, argument: Mapping[str, Any]
) -> PlannedPredicate:
    """Return the predicate that holds when some related row meets the filter."""
    return _build_related_filter(catalog, mapping, relationship, lambda name: parse_filter(catalog, name, argument))


def _build_none_filter(
    catalog: Catalog, mapping: TypeMapping, relationship: Relationship, argument: Mapping[str, Any]
) -> PlannedPredicate:
    """Return the predicate that holds when no related row meets the filter."""
    return Not(_build_some_filter(catalog, mapping, relationship, argument))


def _build_every_filter(
    catalog: Catalog, mapping: TypeMapping, relationship: Relationship, argument: Mapping[str, Any]
) -> PlannedPredicate:
    """Return the predicate that holds when no related row fails the filter."""
    return Not(
        _build_related_filter(catalog, mapping, relationship, lambda name: Not(parse_filter(catalog, name, argument)))
    )


QUANTIFIERS: Mapping[str, Callable[[Catalog, TypeMapping, Relationship, Mapping[str, Any]], PlannedPredicate]] = {
    "some": _build_some_filter,
    "none": _build_none_filter,
    "every": _build_every_filter,
}


def _build_related_filter(
    catalog: Catalog,
    mapping: TypeMapping,
    relationship: Relationship,
    build_inner_filter: Callable[[str], PlannedPredicate],
) -> PlannedPredicate:
    """Return the predicate that holds when some related row meets the inner filter, which is built for its type.

    An interface contributes an alternative for each concrete type whose rows could meet it.
    """
    alternatives = []
    for target in list_member_mappings(catalog, relationship.to):
        inner_filter = build_inner_filter(target.type)
        if may_match(inner_filter, target.constants, None) is not False:
            alternatives.append(build_visible_exists(catalog, mapping, relationship, target, inner_filter))
    return alternatives[0] if len(alternatives) == 1 else Or(tuple(alternatives))


def share_semi_joins(predicates: Sequence[PlannedPredicate]) -> list[PlannedPredicate]:
    """Replace semi-joins that mean the same by one, so that their keys are read once for all predicates."""
    known: list[SemiJoinFilter] = []

    def share(leaf: PlannedPredicate) -> PlannedPredicate:
        if not isinstance(leaf, SemiJoinFilter):
            return leaf
        meaning = (leaf.outer_columns, leaf.inner_scan)
        shared = next((other for other in known if (other.outer_columns, other.inner_scan) == meaning), leaf)
        known.append(shared)
        return shared

    return [transform_predicate(predicate, share) for predicate in predicates]


def _build_comparison(catalog: Catalog, mapping: TypeMapping, field: str, op: Op, operand: Any) -> PlannedPredicate:
    columns = map_field_to_columns(mapping, field)
    output: Any = catalog.schema.type_map[mapping.type]
    if str(output.fields[field].type).rstrip("!") == "ID":
        return _build_id_comparison(catalog, mapping, columns, op, operand)
    return Comparison(columns[0], op, convert_operand(op, operand, get_text_type(catalog, mapping, columns[0])))


def get_text_type(catalog: Catalog, mapping: TypeMapping, column: str) -> TextType | None:
    return get_capabilities(catalog, mapping).columns[column].text_type


@dataclass(frozen=True, slots=True)
class OperandParser:
    """Parse the texts that a column is compared with, where they mean more than their code points."""

    text_type: TextType

    def __call__(self, operand: Any) -> Any:
        """Raise RequestRejected for a text that is not of the type."""
        if isinstance(operand, list | tuple):
            return tuple(map(self, operand))
        try:
            return self.text_type.parse(encode(operand))
        except InvalidText as error:
            raise build_bad_input_error(str(error)) from None


def convert_operand(op: Op, operand: Any, text_type: TextType | None) -> Any:
    """Convert the operand of a comparison; a list in a variable becomes a tuple once its value is known."""
    if text_type is not None and op in TYPED_OPS:
        return convert_value(operand, OperandParser(text_type))
    return convert_value(operand, tuple) if op in (Op.IN, Op.NOT_IN) and not isinstance(operand, list) else operand


def _build_id_comparison(
    catalog: Catalog, mapping: TypeMapping, columns: tuple[str, ...], op: Op, operand: Any
) -> PlannedPredicate:
    """Compare ids as key values; a text that cannot be an id equals no row."""
    capabilities = get_capabilities(catalog, mapping)
    if len(columns) == 1 and capabilities.columns[columns[0]].type is ColumnType.TEXT:
        return Comparison(columns[0], op, convert_operand(op, operand, capabilities.columns[columns[0]].text_type))
    if op is Op.IS_NULL:
        return Comparison(columns[0], op, operand)
    if op in (Op.NE, Op.NOT_IN):
        opposite = _build_id_comparison(catalog, mapping, columns, Op.EQ if op is Op.NE else Op.IN, operand)
        return And((Comparison(columns[0], Op.IS_NULL, False), Not(opposite)))
    parse = build_id_parser(capabilities, columns)
    if op is Op.EQ:
        return And(
            tuple(
                Comparison(column, Op.IN, _select_key_part(operand, parse, index))
                for index, column in enumerate(columns)
            )
        )
    if isinstance(operand, list):
        return Or(tuple(_build_id_comparison(catalog, mapping, columns, Op.EQ, value) for value in operand))
    return InKeys(columns, convert_value(operand, lambda texts: _parse_valid_ids(parse, texts)))


def _select_key_part(operand: Any, parse: IdParser, index: int) -> Any:
    """Return one part of an id as a tuple of one value, or of none when the text cannot be an id."""
    return convert_value(operand, lambda text: tuple(key[index] for key in _parse_valid_ids(parse, (text,))))


def _parse_valid_ids(parse: IdParser, texts: Sequence[str]) -> frozenset[Row]:
    """Return the keys of the texts that can be ids. Raises RequestRejected for one that is not of its type."""
    keys = set()
    for text in texts:
        try:
            keys.add(parse(text))
        except MalformedId as error:
            raise build_bad_input_error(str(error)) from None
        except NoSuchId:
            continue
    return frozenset(keys)
