"""Execute(): parse, select, authorize, plan, execute, complete."""

import asyncio
import re
from asyncio import get_running_loop
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from graphql import GraphQLSchema, OperationType, execute_sync

from auth.authentication import Principal
from auth.policy import decide
from onedoor.audit.record import AuditedChange
from onedoor.errors import ConnectorError, ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.model.catalog import ActionCall, ActionResult, Catalog
from onedoor.model.parameters import Parameter, check_list_sizes, plan_cache_key, substitute
from onedoor.query import selection
from onedoor.query.authorize import authorize
from onedoor.query.context import (
    CachedPlan,
    ExecutionResult,
    GraphQLRequest,
    PreparedOperation,
    PrincipalView,
    QueryEngine,
    ReaderSet,
    build_personal_reader,
    view_for,
)
from onedoor.query.document import QUERY_OR_MUTATION, SUBSCRIPTION_ONLY, ParsedDocument, get_operation, parse_document
from onedoor.query.errors import build_forbidden_error, build_forbidden_rows_error, may_reveal_type
from onedoor.query.executor.executor import build_empty_result, execute_plan
from onedoor.query.executor.state import BranchResults, ExecutionState, summarize_freshness
from onedoor.query.planner import explain
from onedoor.query.planner.bind import bind_parameters, find_page_windows
from onedoor.query.planner.cost import compute_cost
from onedoor.query.planner.explain import PlanMode
from onedoor.query.planner.nodes import Plan, PlanNode, find_denied_members
from onedoor.query.planner.planner import build_plan, get_result_id_variable
from onedoor.query.results.complete import build_completion_plan, build_errors, complete, map_fields_by_number
from onedoor.query.selection import (
    SelectedField,
    check_mutation_count,
    coerce_variables,
    collect_fields,
    find_plain_variables,
    is_plain_value,
)
from onedoor.runtime import call_context
from onedoor.runtime.call_context import CallContext, Waiter
from onedoor.runtime.concurrency import Deadline
from onedoor.runtime.row_cache import Reader, utc_now
from onedoor.spi.connector import Connector

NO_DETAILS: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class RootFieldContext:
    """For whom, and until when."""

    catalog: Catalog
    principal: Principal
    record_id: str
    deadline: float
    event_row_id: str | None
    """The id of the row that an event leads to; None: a mutation, whose actions tell."""
    changes: list[AuditedChange]
    """What was changed, for the record."""
    build_reader: Callable[[str, Connector], Reader]
    """A source of this answer alone, as it is read."""


async def execute_fields_serially(state: ExecutionState, plan: Plan, context: RootFieldContext) -> BranchResults:
    """As fetched. What could not be done is a `SourceFailed` in place of its row; the next is done for all that."""
    for branch in plan.roots:
        try:
            await _execute_root_field(state, branch, context)
        except ConnectorError as failure:
            _collect_changes(context, getattr(failure, "noted", NO_DETAILS))
            state.results[branch.field.number] = failure
    return state.results


async def _execute_root_field(state: ExecutionState, branch: PlanNode, context: RootFieldContext) -> None:
    acted = (
        ActionResult(row_id=context.event_row_id)
        if context.event_row_id is not None
        else await _run_action(state, branch.field, context)
    )
    _collect_changes(context, acted.audit_facts)
    if acted.row_id is None:
        state.results[branch.field.number] = build_empty_result(branch)
        return
    state.bound_plan = replace(
        state.bound_plan, variables={**state.bound_plan.variables, get_result_id_variable(branch.field): acted.row_id}
    )
    state.readers = _OverlaidReaders(
        state.readers, {name: context.build_reader(name, source) for name, source in acted.connectors.items()}
    )
    try:
        with (
            Deadline(context.deadline),
            call_context.use_call_context(
                CallContext(waiters=[Waiter(person=context.principal.person_id, deadline=context.deadline)])
            ),
        ):
            await execute_plan(state, Plan(roots=(branch,)))
    except TimeoutError:
        message = f"`{branch.field.name}` was done, but what it came to could not be read in time"
        raise ConnectorError(message, ErrorCode.LIMIT_EXCEEDED) from None


def _collect_changes(context: RootFieldContext, audit_facts: Mapping[str, Any]) -> None:
    context.changes.extend(AuditedChange.from_json(each) for each in audit_facts.get("changes", ()))


async def _run_action(state: ExecutionState, field: SelectedField, context: RootFieldContext) -> ActionResult:
    arguments = {name: substitute(value, state.bound_plan.variables) for name, value in field.arguments.items()}
    act = ActionCall(
        principal=context.principal,
        field=field.name,
        arguments=arguments,
        record_id=context.record_id,
        deadline=context.deadline,
    )
    try:
        async with asyncio.timeout_at(context.deadline):
            return await context.catalog.actions[field.name](act)
    except TimeoutError:
        limit = f"the limit `request_seconds` of {context.catalog.limits.request_seconds:g}"
        message = f"`{field.name}` took longer than {limit}; it may still be done: send it again with its key, and see"
        raise ConnectorError(message, ErrorCode.CHANGE_UNSETTLED) from None


class _OverlaidReaders(dict[str, Reader]):
    """Sources as a request reads them, some of them its own."""

    def __init__(self, base: Mapping[str, Reader], own: Mapping[str, Reader]) -> None:
        super().__init__(own)
        self._base = base

    def __missing__(self, name: str) -> Reader:
        return self._base[name]


INTROSPECTION_PATTERN = re.compile(rf"__(schema|type)\b|\b{selection.SERVICE_FIELD}\b")


async def execute(
    engine: QueryEngine,
    principal: Principal,
    request: GraphQLRequest,
    result: ExecutionResult,
    event_row_id: str | None = None,
) -> None:
    """Fills `told` stage by stage, so that whatever stops a request, its record says how far it came.

    `event` is the id of the row that the one field of a subscription leads to now.
    """
    until = get_running_loop().time() + engine.catalog.limits.request_seconds
    try:
        await _execute_stages(engine, principal, request, result, (until, event_row_id))
    except RequestRejected as refusal:
        result.errors, result.rejected = refusal.errors, True
    except TimeoutError:
        limit = f"the limit `request_seconds` of {engine.catalog.limits.request_seconds:g}"
        result.data = None
        result.errors = (
            GraphQLErrorInfo(
                code=ErrorCode.LIMIT_EXCEEDED, message=f"the answer took longer than {limit}, ask for less"
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedQuery:
    """A question that is judged and planned, before anything is asked."""

    view: PrincipalView
    operation: PreparedOperation
    cached_plan: CachedPlan
    variables: Mapping[str, Any]
    """Its variables, coerced."""


def prepare_query(
    engine: QueryEngine,
    principal: Principal,
    request: GraphQLRequest,
    result: ExecutionResult,
    operation_types: frozenset[OperationType],
) -> PreparedQuery:
    """Raises Refused; `told` says how far it came."""
    view = view_for(engine, principal)
    asked = _prepare_operation(engine, view, request, result, operation_types)
    values, shaped = _resolve_variables(view, asked, request, engine.catalog)
    compiled = _get_cached_plan(engine, principal, view, (asked, request, shaped))
    return PreparedQuery(view=view, operation=asked, cached_plan=compiled, variables=values)


async def _execute_stages(
    engine: QueryEngine,
    principal: Principal,
    request: GraphQLRequest,
    result: ExecutionResult,
    come: tuple[float, str | None],
) -> None:
    (until, event), house = come, engine.catalog
    prepared = prepare_query(
        engine, principal, request, result, SUBSCRIPTION_ONLY if event is not None else QUERY_OR_MUTATION
    )
    view, asked, compiled, values = prepared.view, prepared.operation, prepared.cached_plan, prepared.variables
    result.cached_plan, kind = compiled, asked.operation.operation
    options = request.extensions
    if options.get("allOrNothing") and (denied := build_denial_errors(house, compiled, values)):
        result.errors, result.rejected = denied, True
        return
    filled = bind_parameters(house, compiled.windows, values)
    weighed = compute_cost(house, compiled.plan, values)
    if options.get("cost"):
        result.extensions["cost"] = weighed
    wish = explain.parse_plan_mode(options) if options else None
    run = ExecutionState(
        readers=ReaderSet(engine, view, principal, use_cache=kind is OperationType.QUERY),
        bound_plan=filled,
        scan_stats=result.scan_stats,
        limits=house.limits,
        open_spill_table=house.open_spill_table,
    )
    if wish is PlanMode.PLAN_ONLY:
        result.plan_only, result.errors = True, build_denial_errors(house, compiled, values)
        result.extensions["plan"] = _explain_plan(house, principal, compiled, run)
        return
    if wish:
        run.traces = []
    try:
        if kind is OperationType.QUERY:
            results = await _execute_until(run, compiled.plan, principal, until)
        else:
            results = await execute_fields_serially(
                run, compiled.plan, _build_root_field_context(engine, principal, result, come)
            )
    finally:
        if wish:
            result.extensions["plan"] = _explain_plan(house, principal, compiled, run)
    if options.get("freshness"):
        result.extensions["freshness"] = summarize_freshness(
            result.scan_stats, engine.cache.now() if engine.cache else utc_now()
        )
    result.data, noted = complete(house, compiled.completion, results, filled)
    if noted.has_errors:
        result.errors = build_errors(house, compiled.fields, compiled.decisions, results, noted)
    if compiled.has_introspection and result.data is not None:
        result.data = _add_introspection(view, asked, request, result.data)


def _build_root_field_context(
    engine: QueryEngine, principal: Principal, result: ExecutionResult, come: tuple[float, str | None]
) -> RootFieldContext:
    until, event = come
    return RootFieldContext(
        catalog=engine.catalog,
        principal=principal,
        record_id=result.record_id,
        deadline=until,
        event_row_id=event,
        changes=result.changes,
        build_reader=partial(build_personal_reader, engine),
    )


async def _execute_until(state: ExecutionState, plan: Plan, principal: Principal, until: float) -> BranchResults:
    if not plan.roots:
        return {}
    with (
        Deadline(until),
        call_context.use_call_context(CallContext(waiters=[Waiter(person=principal.person_id, deadline=until)])),
    ):
        return await execute_plan(state, plan)


def _prepare_operation(
    engine: QueryEngine,
    view: PrincipalView,
    request: GraphQLRequest,
    result: ExecutionResult,
    operation_types: frozenset[OperationType],
) -> PreparedOperation:
    """The document is told though the operation is not found in it."""
    key = (
        request.query,
        request.operation_name,
        view.requirements_met if engine.catalog.schema_for_groups else None,
        operation_types is SUBSCRIPTION_ONLY,
    )
    known = engine.operation_cache.get(key)
    if known is None:
        result.document = parse_document(view.schema, request.query, engine.catalog.limits)
        wanted = get_operation(
            result.document, request.operation_name, _list_served_operation_types(view, operation_types)
        )
        simple = find_plain_variables(wanted)
        known = PreparedOperation(
            document=result.document,
            operation=wanted,
            plain_variables=simple,
            variables_key=tuple((name, Parameter) for name in simple or ()),
        )
        engine.operation_cache.put(key, known)
    result.document, result.operation = known.document, known.operation
    return known


def _list_served_operation_types(
    view: PrincipalView, operation_types: frozenset[OperationType]
) -> frozenset[OperationType]:
    return frozenset(each for each in operation_types if view.schema.get_root_type(each) is not None)


def _resolve_variables(
    view: PrincipalView, prepared: PreparedOperation, request: GraphQLRequest, catalog: Catalog
) -> tuple[Mapping[str, Any], Any]:
    """The variables, coerced, and their shape."""
    given, simple = request.variables, prepared.plain_variables
    if (
        simple is not None
        and given.keys() == simple.keys()
        and all(is_plain_value(given[n], of) for n, of in simple.items())
    ):
        return given, prepared.variables_key
    check_list_sizes(given, catalog.limits.in_max)
    coerced = coerce_variables(view.schema, prepared.operation, given)
    return coerced.values, plan_cache_key(dict(coerced.parameterized))


def _get_cached_plan(
    engine: QueryEngine,
    principal: Principal,
    view: PrincipalView,
    wanted: tuple[PreparedOperation, GraphQLRequest, Any],
) -> CachedPlan:
    """From the cache where the same was asked with the same permissions and the same shape of variables."""
    house, (asked, question, shaped) = engine.catalog, wanted
    name = asked.operation.name.value if asked.operation.name else None
    key = (asked.document.text, name, view.requirements_met, house.version, shaped)
    known = engine.plan_cache.get(key)
    if known is None:
        given = coerce_variables(view.schema, asked.operation, question.variables)
        picks = collect_fields(house.schema, asked.document, asked.operation, given, house.limits)
        check_mutation_count(asked.operation, picks, house.limits)
        if house.schema_for_groups is not None:
            picks = _drop_unknown_entities(picks, view.schema)
        verdicts = authorize(house.schema, house.policy, picks, principal.groups)
        planned = build_plan(house, picks, verdicts)
        known = CachedPlan(
            fields=picks,
            decisions=verdicts,
            plan=planned,
            completion=build_completion_plan(picks, verdicts, planned),
            has_introspection=_has_introspection(asked.document),
            windows=find_page_windows(house, planned),
        )
        engine.plan_cache.put(key, known)
    return known


def _drop_unknown_entities(fields: tuple[SelectedField, ...], schema: GraphQLSchema) -> tuple[SelectedField, ...]:
    """Without the entities that this view does not have: their names are not validated, as they come in variables."""
    names = selection.list_entity_types(schema)
    return tuple(
        replace(pick, children_by_type={name: below for name, below in pick.children_by_type.items() if name in names})
        if pick.name == selection.ENTITIES_FIELD
        else pick
        for pick in fields
    )


def _explain_plan(
    catalog: Catalog, principal: Principal, cached_plan: CachedPlan, state: ExecutionState
) -> dict[str, Any]:
    shows_sql = decide(catalog.policy, explain.SQL_COORDINATE, principal.groups).allowed
    return explain.explain_execution(cached_plan.plan, state, sql=shows_sql)


def build_denial_errors(catalog: Catalog, cached_plan: CachedPlan, values: Mapping[str, Any]) -> list[GraphQLErrorInfo]:
    picks, verdicts = map_fields_by_number(cached_plan.fields), cached_plan.decisions
    denied = [number for number in picks if number in verdicts and not verdicts[number].allowed]
    return [
        *(build_forbidden_error(catalog.policy, picks[number], verdicts[number], None) for number in denied),
        *(
            build_forbidden_rows_error(catalog.policy, each.type, verdict, None)
            for each, verdict in find_denied_members(cached_plan.plan, values)
            if may_reveal_type(catalog, each.type, verdict)
        ),
    ]


def _has_introspection(document: ParsedDocument) -> bool:
    return INTROSPECTION_PATTERN.search(document.text) is not None


def _add_introspection(
    view: PrincipalView, prepared: PreparedOperation, request: GraphQLRequest, data: dict[str, Any]
) -> dict[str, Any]:
    """The data with what it asks of the schema itself, which graphql-core answers; keys in the order asked."""
    found = execute_sync(
        view.schema,
        prepared.document.node,
        {
            selection.SERVICE_FIELD: {"sdl": lambda _: view.federation_sdl and view.federation_sdl()},
            selection.ENTITIES_FIELD: (),
        },
        variable_values=dict(request.variables),
        operation_name=prepared.operation.name.value if prepared.operation.name else None,
    ).data
    return {key: data.get(key, value) for key, value in (found or {}).items()}
