"""Replay recorded documents under two policies: which fields change their decision, for whom, and how often.

A record holds a document with `$` in place of its literals, and variables with hashes in place of their leaves, so what
is replayed is a shape. Decisions depend on names, never on values, so the shape is enough, but for one thing: whether
`@skip` and `@include` let a selection in is not known. Here they always do.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from graphql import (
    DocumentNode,
    EnumValueNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLSchema,
    NameNode,
    OperationDefinitionNode,
    VariableDefinitionNode,
    VariableNode,
    VariableValues,
    Visitor,
    get_named_type,
    get_nullable_type,
    parse,
    type_from_ast,
    validate,
    value_from_ast_untyped,
    visit,
)
from graphql.validation import (
    FieldsOnCorrectTypeRule,
    KnownArgumentNamesRule,
    KnownFragmentNamesRule,
    KnownTypeNamesRule,
    NoFragmentCyclesRule,
    ScalarLeafsRule,
)

from auth.policy import AccessPolicy, GroupRequirement, SchemaCoordinate
from onedoor.errors import RequestRejected
from onedoor.model.catalog import Catalog
from onedoor.model.parameters import Parameter
from onedoor.model.row_rules import ALL_ROWS_TEXT, RowRuleTexts
from onedoor.query.authorize import authorize
from onedoor.query.selection import FieldCollector, SelectedField
from onedoor.query.simulation import FieldDecision, list_field_decisions

BLANK = re.compile(r"\$(?![_A-Za-z])")
"""What stands in a recorded document in place of a literal."""

BLANK_NAME = "onedoor__blank"

RULES = (
    FieldsOnCorrectTypeRule,
    KnownArgumentNamesRule,
    KnownFragmentNamesRule,
    KnownTypeNamesRule,
    NoFragmentCyclesRule,
    ScalarLeafsRule,
)
"""What a document must keep to so that its fields can be collected; of values nothing is known."""

OMITTED = "omitted"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedShape:
    """What of requests decides who may see what: the document, the operation, the shape of variables and the groups."""

    text: str
    operation: str | None
    operation_hash: str | None
    variables: bytes
    """JSON, every leaf of which is an empty text."""
    groups: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedShapes:
    """The shapes of recorded requests, each with how many there were and when the last came, in ISO 8601."""

    counts: Mapping[RecordedShape, int]
    last_times: Mapping[RecordedShape, str]
    skipped: int
    """Requests whose record does not say enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedDecision:
    """A field of a recorded document that one policy allows these groups and the other denies them."""

    shape: RecordedShape
    before: FieldDecision
    after: FieldDecision
    requests: int
    last_time: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayResult:
    """What came of a replay; `skipped` counts the requests that could not be replayed."""

    changes: tuple[ChangedDecision, ...]
    documents: int
    requests: int
    skipped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRule:
    """What must be met to see a coordinate, and to see the whole of its values, which is empty where none is masked."""

    requirements: frozenset[GroupRequirement]
    unmasked_requirements: frozenset[GroupRequirement]

    @property
    def value_requirements(self) -> frozenset[GroupRequirement]:
        return self.unmasked_requirements or self.requirements


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedRule:
    """A coordinate whose requirements differ: those to see it at all, or those to see its values unmasked."""

    coordinate: SchemaCoordinate
    before: AccessRule
    after: AccessRule

    @property
    def is_weakened(self) -> bool:
        """Whether somebody may see more by it than before."""
        return not (
            _implies(self.after.requirements, self.before.requirements)
            and _implies(self.after.value_requirements, self.before.value_requirements)
        )


def collect_shapes(records: Iterable[Mapping[str, Any]], since: str | None = None) -> RecordedShapes:
    """Collect the shapes of the documents in records that came at or after a time."""
    counts, last_times, skipped = Counter[RecordedShape](), dict[RecordedShape, str](), 0
    for record in records:
        if not record.get("text") or (since is not None and record["time"] < since):
            continue
        shape = _read_shape(record)
        if shape is None:
            skipped += 1
            continue
        counts[shape] += 1
        last_times[shape] = max(record["time"], last_times.get(shape, ""))
    return RecordedShapes(counts=counts, last_times=last_times, skipped=skipped)


def _read_shape(record: Mapping[str, Any]) -> RecordedShape | None:
    variables = record.get("variables") or {}
    is_omitted = variables.keys() == {OMITTED} and str(variables[OMITTED]).startswith("more than")
    if record.get("operation_hash") is None or is_omitted:
        return None
    return RecordedShape(
        text=record["text"],
        operation=record.get("operation"),
        operation_hash=record["operation_hash"],
        variables=orjson.dumps(_blank_leaves(variables), option=orjson.OPT_SORT_KEYS),
        groups=frozenset(record.get("groups") or ()),
    )


def _blank_leaves(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _blank_leaves(member) for name, member in value.items()}
    if isinstance(value, list):
        return list({orjson.dumps(blank): blank for blank in map(_blank_leaves, value)}.values())
    return None if value is None else ""


def replay(
    catalog: Catalog, before: AccessPolicy, after: AccessPolicy, shapes: RecordedShapes, *, view: GraphQLSchema
) -> ReplayResult:
    """Decide each recorded document under both policies, for the groups its requests were sent with.

    What is not valid in `view`, the schema that whoever asks may know, is skipped.
    """
    changes, skipped, hashes = list[ChangedDecision](), shapes.skipped, set[str | None]()
    for shape, count in shapes.counts.items():
        try:
            fields = collect_recorded_fields(catalog, shape, view)
        except (RequestRejected, GraphQLError, LookupError):
            skipped += count
            continue
        hashes.add(shape.operation_hash)
        changes += [
            ChangedDecision(shape=shape, before=old, after=new, requests=count, last_time=shapes.last_times[shape])
            for old, new in _find_changed_decisions(catalog.schema, before, after, fields, groups=shape.groups)
        ]
    requests = sum(shapes.counts.values()) + shapes.skipped - skipped
    return ReplayResult(changes=tuple(changes), documents=len(hashes), requests=requests, skipped=skipped)


def _find_changed_decisions(
    schema: GraphQLSchema,
    before: AccessPolicy,
    after: AccessPolicy,
    fields: Sequence[SelectedField],
    *,
    groups: frozenset[str],
) -> Iterator[tuple[FieldDecision, FieldDecision]]:
    """Yield the decisions that differ, of fields that are decided under both: below a denied one nothing is."""
    old, new = (
        {
            (decision.path, decision.coordinate): decision
            for decision in list_field_decisions(schema, fields, authorize(schema, policy, fields, groups))
        }
        for policy in (before, after)
    )
    for key in old:
        if key in new and old[key].decision.allowed != new[key].decision.allowed:
            yield old[key], new[key]


def collect_recorded_fields(catalog: Catalog, shape: RecordedShape, view: GraphQLSchema) -> Sequence[SelectedField]:
    """Collect the fields that a recorded document selects.

    Raises GraphQLError, RequestRejected or LookupError where the document does not fit the schema or the view.
    """
    schema = catalog.schema
    blanks = BlankReader()
    document: DocumentNode = visit(parse(BLANK.sub(BLANK_NAME, shape.text), no_location=True), blanks)
    for error in validate(view, document, RULES, max_errors=1):
        raise error
    operation = _find_operation(document, shape.operation)
    root = schema.get_root_type(operation.operation)
    if root is None:
        raise LookupError(operation.operation)
    values = {BLANK_NAME: Parameter((BLANK_NAME,)), **blanks.defaults}
    for name, value in orjson.loads(shape.variables).items():
        values[name] = _parameterize_variable(schema, operation, name, value)
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    collector = InclusiveCollector(schema, fragments, VariableValues({}, values), catalog.limits)
    return collector.select_fields(root, [operation.selection_set])


def _find_operation(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode) and (name is None or (node.name and node.name.value == name)):
            return node
    raise LookupError(name)


def _parameterize_variable(schema: GraphQLSchema, operation: OperationDefinitionNode, name: str, value: Any) -> Any:
    """Return a variable with parameters for its leaves. Raises LookupError where it is of another shape."""
    declared = {node.variable.name.value: node.type for node in operation.variable_definitions or ()}
    if name not in declared:
        return None
    input_type: Any = type_from_ast(schema, declared[name])
    return _parameterize_shape(value, input_type, (name,))


def _parameterize_shape(value: Any, input_type: GraphQLInputType, path: tuple[str, ...]) -> Any:
    nullable: Any = get_nullable_type(input_type)
    if value is None or not isinstance(get_named_type(nullable), GraphQLInputObjectType):
        return None if value is None else Parameter(path)
    if isinstance(nullable, GraphQLList):
        items = value if isinstance(value, list) else [value]
        return [_parameterize_shape(item, nullable.of_type, path) for item in items]
    if not isinstance(value, dict):
        raise LookupError(path)
    fields = nullable.fields
    return {name: _parameterize_shape(inner, fields[name].type, (*path, name)) for name, inner in value.items()}


class InclusiveCollector(FieldCollector):
    """Collects fields whatever `@skip` and `@include` say."""

    def is_included(self, node: Any) -> bool:
        return True


class BlankReader(Visitor):
    """Makes a variable of each blank, and takes the defaults of variables out of their definitions."""

    def __init__(self) -> None:
        super().__init__()
        self.defaults: dict[str, Any] = {}
        """By variable, what it is where it is not given."""

    def enter_variable_definition(self, node: VariableDefinitionNode, *_: object) -> VariableDefinitionNode | None:
        if node.default_value is None:
            return None
        self.defaults[node.variable.name.value] = value_from_ast_untyped(node.default_value)
        return VariableDefinitionNode(variable=node.variable, type=node.type, directives=node.directives)

    def leave_enum_value(self, node: EnumValueNode, *_: object) -> VariableNode | None:
        return VariableNode(name=NameNode(value=BLANK_NAME)) if node.value == BLANK_NAME else None


def find_changed_rules(
    before: AccessPolicy, after: AccessPolicy, coordinates: Iterable[SchemaCoordinate]
) -> Sequence[ChangedRule]:
    """Find the coordinates whose requirements differ, whatever order they stand in; those that are weakened first."""
    pairs = ((coordinate, _get_rule(before, coordinate), _get_rule(after, coordinate)) for coordinate in coordinates)
    changed = [
        ChangedRule(coordinate=coordinate, before=old, after=new) for coordinate, old, new in pairs if old != new
    ]
    return sorted(changed, key=lambda rule: not rule.is_weakened)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedRowRules:
    """A type whose rules for rows differ, in words by group; a type without any shows all rows to everybody."""

    type: str
    before: Mapping[str, str]
    after: Mapping[str, str]

    @property
    def is_weakened(self) -> bool:
        """Whether somebody may see more rows: of two texts that differ nobody knows, so it is taken for true."""
        if not self.before or not self.after:
            return not self.after
        return any(self.before.get(group) not in (ALL_ROWS_TEXT, rows) for group, rows in self.after.items())


def find_changed_row_rules(before: RowRuleTexts, after: RowRuleTexts) -> Sequence[ChangedRowRules]:
    """Find the types whose rules for rows differ, by name; those that are weakened first."""
    changed = [
        ChangedRowRules(type=name, before=before.get(name, {}), after=after.get(name, {}))
        for name in sorted(before.keys() | after.keys())
        if before.get(name, {}) != after.get(name, {})
    ]
    return sorted(changed, key=lambda rules: not rules.is_weakened)


def format_row_rules(rules: Mapping[str, str]) -> tuple[str, ...]:
    """Write the rules for rows of a type, a line for each group."""
    return tuple(f"{group}: {rows}" for group, rows in sorted(rules.items()))


def _get_rule(policy: AccessPolicy, coordinate: SchemaCoordinate) -> AccessRule:
    return AccessRule(
        requirements=frozenset(policy.requirements.get(coordinate, ())),
        unmasked_requirements=frozenset(policy.unmasked_requirements.get(coordinate, ())),
    )


def _implies(requirements: Collection[GroupRequirement], others: Collection[GroupRequirement]) -> bool:
    """Whether whoever meets the one meets the others; nobody meets what has no requirement, which is denied."""
    if not requirements or not others:
        return not requirements
    return all(any(requirement <= other for requirement in requirements) for other in others)
