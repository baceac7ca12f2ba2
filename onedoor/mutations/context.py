"""Compile declared mutations into sagas and check at the start that each of them can be applied."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

from onedoor.errors import ConfigurationError, ConnectorError, ErrorCode
from onedoor.model.catalog import Catalog
from onedoor.model.mapping import TypeMapping
from onedoor.mutations import mapping
from onedoor.mutations.declarations import MutationDeclaration, RowMutation, Saga, Step, always_applies
from onedoor.mutations.ledger import Ledger
from onedoor.query.context import QueryEngine
from onedoor.runtime.resilience import ResilientConnector, get_write_capabilities

UNFENCED_SECONDS = 60.0

GIVE_UP_SECONDS = 86_400.0

RETRY_ADVICE = "it is on record and will be settled, ask again with the same `idempotencyKey`"

PublishChange: TypeAlias = Callable[[str, str, str], None]
"""Takes a type, the row's id and the change's id once the change is committed. Must not block."""


class NumberedStep(NamedTuple):
    """A step and its place in its saga, counted from 1."""

    number: int
    step: Step


@dataclass(frozen=True, slots=True, kw_only=True)
class MutationContext:
    """Everything that a mutation needs to be applied, recorded and recovered."""

    catalog: Catalog
    connectors: Mapping[str, ResilientConnector]
    sagas: Mapping[str, Saga]
    """By root field of `Mutation`."""
    ledger: Ledger
    redaction_key: bytes = field(repr=False)
    """Keys the hashes that audit records hold in place of values."""
    engine: QueryEngine | None = None
    """Tells the rows that a person sees; it may be missing where no type has rules for rows."""
    publish: PublishChange = lambda _, __, ___: None
    unfenced_seconds: float = UNFENCED_SECONDS
    """How long a source without fences may still apply a change after it answered that it had not."""
    give_up_seconds: float = GIVE_UP_SECONDS
    """How long recovery asks a source that does not answer before it records the outcome as unknown."""
    tasks: set[asyncio.Task[object]] = field(default_factory=set)
    """The mutations under way in this process."""


class MutationError(ConnectorError):
    """A mutation that failed after it began. `audit_facts` are as in `ActionResult`: what stands all the same."""

    def __init__(self, reason: str, code: ErrorCode, audit_facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason, code)
        self.audit_facts = audit_facts or {}


def build_mutation_context(
    engine: QueryEngine, declarations: Sequence[MutationDeclaration], **options: Any
) -> MutationContext:
    """Build the context with `options` as its other fields.

    Raises ConfigurationError where a declared mutation cannot be applied.
    """
    return MutationContext(
        engine=engine,
        catalog=engine.catalog,
        connectors=engine.connectors,
        sagas=compile_sagas(engine.catalog, engine.connectors, declarations),
        **options,
    )


def compile_sagas(
    catalog: Catalog, connectors: Mapping[str, ResilientConnector], declarations: Sequence[MutationDeclaration]
) -> Mapping[str, Saga]:
    """Return the saga of each declared mutation. Raises ConfigurationError where one cannot be applied."""
    sagas: dict[str, Saga] = {}
    for declaration in declarations:
        if declaration.type not in catalog.mappings:
            raise ConfigurationError(
                f"`{declaration.field}` changes `{declaration.type}`, which has no mapping: give it one in resolvers/"
            )
        saga = (
            mapping.compile_row_mutation(catalog, declaration) if isinstance(declaration, RowMutation) else declaration
        )
        problems = chain(
            find_saga_problems(catalog, connectors, saga), _find_input_problems(catalog, connectors, declaration)
        )
        for problem in problems:
            raise ConfigurationError(problem)
        sagas[declaration.field] = saga
    return sagas


def find_saga_problems(catalog: Catalog, connectors: Mapping[str, ResilientConnector], saga: Saga) -> Iterator[str]:
    names, earlier = [step.name for step in saga.steps], set[str]()
    for step in saga.steps:
        place = f"step `{step.name}` of `{saga.field}`"
        capabilities = (
            get_write_capabilities(connectors[step.source], step.collection) if step.source in connectors else None
        )
        if capabilities is None or step.kind not in capabilities.settable_columns:
            yield f"{place}: `{step.source}` does not {step.kind} in `{step.collection}`"
        if names.count(step.name) > 1 or not earlier.issuperset(step.depends_on):
            yield f"{place}: a name belongs to one step, and what a step depends on comes before it, always"
        if step.condition is always_applies:
            earlier.add(step.name)
    if find_leading_step(catalog, saga) is None:
        yield f"`{saga.field}` has no step that changes `{saga.type}`"


def _find_input_problems(
    catalog: Catalog, connectors: Mapping[str, ResilientConnector], declaration: MutationDeclaration
) -> Iterator[str]:
    if isinstance(declaration, RowMutation):
        type_mapping = catalog.mappings[declaration.type]
        capabilities = get_write_capabilities(connectors[type_mapping.source], type_mapping.collection)
        yield from mapping.find_input_problems(catalog, declaration, capabilities)


def find_leading_step(catalog: Catalog, saga: Saga) -> int | None:
    """Return the number of the step whose change the mutation returns: the first unconditional one of its type."""
    type_mapping = catalog.mappings[saga.type]
    place = (type_mapping.source, type_mapping.collection)
    candidates = (
        number
        for number, step in number_steps(saga)
        if step.condition is always_applies and (step.source, step.collection) == place
    )
    return next(candidates, None)


def number_steps(saga: Saga) -> Sequence[NumberedStep]:
    return tuple(NumberedStep(number, step) for number, step in enumerate(saga.steps, 1))


def group_by_transaction(context: MutationContext, saga: Saga) -> Sequence[Sequence[NumberedStep]]:
    """Group neighbouring steps that one transaction of their source can hold."""
    groups: list[list[NumberedStep]] = []
    for numbered in number_steps(saga):
        if groups and _can_share_transaction(context, [step for _, step in groups[-1]], numbered.step):
            groups[-1].append(numbered)
        else:
            groups.append([numbered])
    return groups


def _can_share_transaction(context: MutationContext, group: Sequence[Step], candidate: Step) -> bool:
    if group[0].source != candidate.source or not {step.name for step in group}.isdisjoint(candidate.depends_on):
        return False
    capabilities = (
        get_write_capabilities(context.connectors[step.source], step.collection) for step in (*group, candidate)
    )
    return all(promised is not None and promised.transactional for promised in capabilities)


def find_mapping(context: MutationContext, type_name: str, source: str, collection: str) -> TypeMapping | None:
    """Return the mapping of the rows there, preferably that of `type_name`; None: no type shows them."""
    mappings = (context.catalog.mappings[type_name], *context.catalog.mappings.values())
    return next((each for each in mappings if (each.source, each.collection) == (source, collection)), None)


def build_unsettled_error(intent_id: str, reason: str) -> MutationError:
    return MutationError(describe_unsettled(intent_id, reason), ErrorCode.CHANGE_UNSETTLED)


def describe_unsettled(intent_id: str, reason: str) -> str:
    return f"{reason}; what came of change `{intent_id}` is not known yet: {RETRY_ADVICE}"


def build_partial_error(intent_id: str, stands: str, audit_facts: Mapping[str, Any] | None = None) -> MutationError:
    """Build the error of a partly applied change, in the same words each time its idempotency key is used."""
    return MutationError(f"change `{intent_id}` was made in part: {stands}", ErrorCode.CHANGE_UNSETTLED, audit_facts)
