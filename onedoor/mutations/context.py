"""MutationContext: what every change needs; startup checks."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, TypeAlias

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

PublishChange: TypeAlias = Callable[[str, str, str], None]
"""Takes type, the row's id and the change's id, once that is committed; must not block."""

NumberedStep: TypeAlias = tuple[int, Step]
"""Steps are counted from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MutationContext:
    """`sagas` by mutation, as `sagas` makes them; `secret` keys what records say of values, as
    `records.redact.records_key` makes it; `tasks` are the changes under way."""

    catalog: Catalog
    connectors: Mapping[str, ResilientConnector]
    sagas: Mapping[str, Saga]
    ledger: Ledger
    redaction_key: bytes = field(repr=False)
    publish: PublishChange = lambda _, __, ___: None
    unfenced_seconds: float = UNFENCED_SECONDS
    """How long after it was told a source without fences may still make a change that it says was not made."""
    give_up_seconds: float = GIVE_UP_SECONDS
    """How long a source that does not answer is asked what came of a change, before that is called unknown."""
    tasks: set[asyncio.Task[object]] = field(default_factory=set)


def build_mutation_context(
    engine: QueryEngine, declarations: Sequence[MutationDeclaration], **options: Any
) -> MutationContext:
    """With `more` of its fields. Raises Mistake where a mutation that is declared cannot be made."""
    return MutationContext(
        catalog=engine.catalog,
        connectors=engine.connectors,
        sagas=compile_sagas(engine.catalog, engine.connectors, declarations),
        **options,
    )


def compile_sagas(
    catalog: Catalog, connectors: Mapping[str, ResilientConnector], declarations: Sequence[MutationDeclaration]
) -> Mapping[str, Saga]:
    """By mutation. Raises Mistake where one cannot be made."""
    found = {}
    for each in declarations:
        if each.type not in catalog.mappings:
            raise ConfigurationError(
                f"`{each.field}` changes `{each.type}`, which has no binding: give it one in resolvers/"
            )
        found[each.field] = mapping.compile_row_mutation(catalog, each) if isinstance(each, RowMutation) else each
        for complaint in chain(
            find_saga_problems(catalog, connectors, found[each.field]),
            _find_declared_problems(catalog, connectors, each),
        ):
            raise ConfigurationError(complaint)
    return found


def _find_declared_problems(
    house: Catalog, guards: Mapping[str, ResilientConnector], declared: MutationDeclaration
) -> Iterator[str]:
    if isinstance(declared, RowMutation):
        binding = house.mappings[declared.type]
        yield from mapping.find_input_problems(
            house, declared, get_write_capabilities(guards[binding.source], binding.collection)
        )


def find_saga_problems(catalog: Catalog, connectors: Mapping[str, ResilientConnector], saga: Saga) -> Iterator[str]:
    names, seen = [each.name for each in saga.steps], set[str]()
    for step in saga.steps:
        at = f"step `{step.name}` of `{saga.field}`"
        promise = (
            get_write_capabilities(connectors[step.source], step.collection) if step.source in connectors else None
        )
        if promise is None or step.kind not in promise.settable_columns:
            yield f"{at}: `{step.source}` does not {step.kind} in `{step.collection}`"
        if names.count(step.name) > 1 or not seen.issuperset(step.depends_on):
            yield f"{at}: names are of one step each, and what a step needs comes before it, always"
        if step.condition is always_applies:
            seen.add(step.name)
    if find_leading_step(catalog, saga) is None:
        yield f"`{saga.field}` has no step that changes `{saga.type}`"


def find_leading_step(catalog: Catalog, saga: Saga) -> int | None:
    """The number of the step that the mutation answers with."""
    binding = catalog.mappings[saga.type]
    at = (binding.source, binding.collection)
    sure = [(number, step) for number, step in number_steps(saga) if step.condition is always_applies]
    return next((number for number, step in sure if (step.source, step.collection) == at), None)


def number_steps(saga: Saga) -> Sequence[NumberedStep]:
    return tuple(enumerate(saga.steps, 1))


def group_by_transaction(context: MutationContext, saga: Saga) -> Sequence[Sequence[NumberedStep]]:
    """Steps that are one transaction each."""
    found: list[list[NumberedStep]] = []
    for number, step in number_steps(saga):
        if found and _can_share_transaction(context, [each for _, each in found[-1]], step):
            found[-1].append((number, step))
        else:
            found.append([(number, step)])
    return found


def _can_share_transaction(shop: MutationContext, group: Sequence[Step], step: Step) -> bool:
    names = {each.name for each in group}
    promises = [get_write_capabilities(shop.connectors[each.source], each.collection) for each in (*group, step)]
    together = all(each is not None and each.transactional for each in promises)
    return group[0].source == step.source and together and names.isdisjoint(step.depends_on)


def find_mapping(context: MutationContext, type_name: str, source: str, collection: str) -> TypeMapping | None:
    """The binding of the rows there, that of `type_name` before others; None: no type shows them."""
    found = [context.catalog.mappings[type_name], *context.catalog.mappings.values()]
    return next((each for each in found if (each.source, each.collection) == (source, collection)), None)


RETRY_ADVICE = "it is on record and will be settled, ask again with the same `idempotencyKey`"


class MutationError(ConnectorError):
    """`noted` is as `Acted.noted`: what stands all the same."""

    def __init__(self, reason: str, code: ErrorCode, audit_facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason, code)
        self.noted = audit_facts or {}


def build_unsettled_error(intent_id: str, reason: str) -> MutationError:
    return MutationError(
        f"{reason}; what came of change `{intent_id}` is not known yet: {RETRY_ADVICE}", ErrorCode.CHANGE_UNSETTLED
    )


def build_partial_error(intent_id: str, stands: str, audit_facts: Mapping[str, Any] | None = None) -> MutationError:
    """Said in the same words whenever it is asked for."""
    return MutationError(f"change `{intent_id}` was made in part: {stands}", ErrorCode.CHANGE_UNSETTLED, audit_facts)
