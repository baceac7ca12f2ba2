"""Execute an operation: parse, select, authorize, plan, execute, complete."""

import asyncio
import re
from asyncio import get_running_loop
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    PlanMode,
    PreparedOperation,
    PrincipalView,
    QueryEngine,
    ReaderSet,
    attach_partial_result,
    build_personal_reader,
    parse_plan_mode,
    view_for,
)
from onedoor.query.document import QUERY_OR_MUTATION, SUBSCRIPTION_ONLY, ParsedDocument, get_operation, parse_document
from onedoor.query.errors import (
    build_forbidden_error,
    build_forbidden_rows_error,
    build_withheld_error,
    may_reveal_type,
)
from onedoor.query.executor.executor import build_empty_result, execute_plan
from onedoor.query.executor.explain_execution import explain_execution
from onedoor.query.executor.state import BranchResult, BranchResults, ExecutionState, summarize_freshness
from onedoor.query.planner import explain
from onedoor.query.planner.bind import bind_parameters, find_page_windows
from onedoor.query.planner.cost import compute_cost
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
from onedoor.runtime.call_context import CallContext, Waiter, build_call_context
from onedoor.runtime.concurrency import NEVER, Deadline
from onedoor.runtime.row_cache import Reader, utc_now


async def execute(
    engine: QueryEngine,
    principal: Principal,
    request: GraphQLRequest,
    *,
    event: str | None = None,
    record_id: str = "",
) -> ExecutionResult:
    """Execute one operation and return what the client and the audit record are to learn of it.

    `event` is the id of the row that a subscription's one field gives now; `record_id` names the audit record, for the
    changes that a mutation makes. A request that is rejected or takes too long has a result with errors. Anything else
    that stops it is raised, and `get_partial_result` of that says how far the request came.
    """
    execution = Execution(
        engine=engine,
        principal=principal,
        request=request,
        event=event,
        record_id=record_id,
        deadline=get_running_loop().time() + engine.catalog.limits.request_seconds,
        operation_types=QUERY_OR_MUTATION if event is None else SUBSCRIPTION_ONLY,
    )
    try:
        query = execution.prepare()
        if request.extensions.get("allOrNothing") and (denials := build_denial_errors(engine.catalog, query)):
            return execution.reject(denials)
        state = execution.bind(query)
        plan_mode = parse_plan_mode(request.extensions)
        if plan_mode is PlanMode.PLAN_ONLY:
            return execution.explain(query, state)
        if plan_mode is not None:
            state.traces = []
        results = await execution.run(query, state)
        if request.extensions.get("allOrNothing") and execution.result.withheld:
            return execution.reject(execution.build_withheld_errors())
        return execution.complete(query, state, results)
    except RequestRejected as rejection:
        return execution.reject(rejection.errors)
    except TimeoutError:
        return execution.time_out()
    except BaseException as error:
        attach_partial_result(error, execution.result)
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedQuery:
    """An operation that is parsed, authorized and planned, with its variables; nothing has been read for it."""

    view: PrincipalView
    operation: PreparedOperation
    cached_plan: CachedPlan
    variables: Mapping[str, Any]
    """Coerced."""


@dataclass(slots=True, kw_only=True)
class Execution:
    """One request under way: its methods are the stages, and `result` says how far it has come."""

    engine: QueryEngine
    principal: Principal
    request: GraphQLRequest
    operation_types: frozenset[OperationType]
    event: str | None = None
    record_id: str = ""
    deadline: float = NEVER
    """On the loop's clock."""
    result: ExecutionResult = field(default_factory=ExecutionResult)

    def prepare(self) -> PreparedQuery:
        """Parse, select, authorize and plan, as far as the caches do not know. Raises RequestRejected."""
        view = view_for(self.engine, self.principal)
        operation = self._prepare_operation(view)
        variables, variables_key = _resolve_variables(view, operation, self.request, self.engine.catalog)
        cached_plan = self.result.cached_plan = self._get_cached_plan(view, operation, variables_key)
        return PreparedQuery(view=view, operation=operation, cached_plan=cached_plan, variables=variables)

    def bind(self, query: PreparedQuery) -> ExecutionState:
        """Give the plan its variables and a reader for each source. Raises RequestRejected where it costs too much."""
        catalog, cached_plan = self.engine.catalog, query.cached_plan
        bound_plan = bind_parameters(catalog, cached_plan.windows, query.variables)
        cost = compute_cost(catalog, cached_plan.plan, query.variables)
        if self.request.extensions.get("cost"):
            self.result.extensions["cost"] = cost
        is_query = query.operation.operation.operation is OperationType.QUERY
        return ExecutionState(
            readers=ReaderSet(self.engine, query.view, self.principal, use_cache=is_query),
            bound_plan=bound_plan,
            scan_stats=self.result.scan_stats,
            limits=catalog.limits,
            open_spill_table=catalog.open_spill_table,
        )

    def explain(self, query: PreparedQuery, state: ExecutionState) -> ExecutionResult:
        """Finish with the plan in place of data."""
        self.result.plan_only = True
        self.result.errors = build_denial_errors(self.engine.catalog, query)
        self.result.extensions["plan"] = self._explain_plan(query, state)
        return self.result

    async def run(self, query: PreparedQuery, state: ExecutionState) -> BranchResults:
        """Read what a query asks for, or carry out the fields of a mutation one after another.

        Raises TimeoutError.
        """
        try:
            if query.operation.operation.operation is OperationType.QUERY:
                return await self._execute_until(state, query.cached_plan.plan)
            return await self._execute_serially(state, query.cached_plan.plan)
        finally:
            if state.traces is not None:
                self.result.extensions["plan"] = self._explain_plan(query, state)

    def complete(self, query: PreparedQuery, state: ExecutionState, results: BranchResults) -> ExecutionResult:
        """Finish with data and errors made of the rows."""
        catalog, cached_plan, result = self.engine.catalog, query.cached_plan, self.result
        if self.request.extensions.get("freshness"):
            now = self.engine.cache.now() if self.engine.cache else utc_now()
            result.extensions["freshness"] = summarize_freshness(result.scan_stats, now)
        result.data, nulls = complete(catalog, cached_plan.completion, results, state.bound_plan)
        if nulls.has_errors:
            result.errors = build_errors(catalog, cached_plan.fields, cached_plan.decisions, results, nulls)
        if result.withheld:
            result.errors = [*result.errors, *self.build_withheld_errors()]
        if cached_plan.has_introspection and result.data is not None:
            result.data = self._add_introspection(query, result.data)
        return result

    def build_withheld_errors(self) -> list[GraphQLErrorInfo]:
        """Return an error for each field, and each type, of which a connector did not show all."""
        return [build_withheld_error(self.engine.catalog, copy) for copy in self.result.withheld]

    def reject(self, errors: Sequence[GraphQLErrorInfo]) -> ExecutionResult:
        """Finish with errors alone."""
        self.result.errors, self.result.rejected = errors, True
        return self.result

    def time_out(self) -> ExecutionResult:
        """Finish with the error of a request that took too long."""
        limit = f"the limit `request_seconds` of {self.engine.catalog.limits.request_seconds:g}"
        message = f"the answer took longer than {limit}, ask for less"
        self.result.data = None
        self.result.errors = (GraphQLErrorInfo(code=ErrorCode.LIMIT_EXCEEDED, message=message),)
        return self.result

    def _prepare_operation(self, view: PrincipalView) -> PreparedOperation:
        """Parse and validate the document and find the operation in it; the result has the document even where not."""
        key = (
            self.request.query,
            self.request.operation_name,
            view.requirements_met if self.engine.catalog.schema_for_groups else None,
            self.operation_types is SUBSCRIPTION_ONLY,
        )
        prepared = self.engine.operation_cache.get(key)
        if prepared is None:
            document = self.result.document = parse_document(
                view.schema, self.request.query, self.engine.catalog.limits
            )
            served_types = frozenset(
                type for type in self.operation_types if view.schema.get_root_type(type) is not None
            )
            operation = get_operation(document, self.request.operation_name, served_types)
            plain_variables = find_plain_variables(operation)
            prepared = PreparedOperation(
                document=document,
                operation=operation,
                plain_variables=plain_variables,
                variables_key=tuple((name, Parameter) for name in plain_variables or ()),
            )
            self.engine.operation_cache[key] = prepared
        self.result.document, self.result.operation = prepared.document, prepared.operation
        return prepared

    def _get_cached_plan(self, view: PrincipalView, prepared: PreparedOperation, variables_key: Any) -> CachedPlan:
        """Return the plan of the same operation under the same permissions and with variables of the same shape."""
        operation = prepared.operation
        name = operation.name.value if operation.name else None
        key = (prepared.document.text, name, view.requirements_met, self.engine.catalog.version, variables_key)
        cached_plan = self.engine.plan_cache.get(key)
        if cached_plan is None:
            cached_plan = self._plan(view, prepared)
            self.engine.plan_cache[key] = cached_plan
        return cached_plan

    def _plan(self, view: PrincipalView, prepared: PreparedOperation) -> CachedPlan:
        """Select, authorize and plan."""
        catalog = self.engine.catalog
        variables = coerce_variables(view.schema, prepared.operation, self.request.variables)
        fields = collect_fields(catalog.schema, prepared.document, prepared.operation, variables, catalog.limits)
        check_mutation_count(prepared.operation, fields, catalog.limits)
        if catalog.schema_for_groups is not None:
            fields = _drop_unknown_entities(fields, view.schema)
        decisions = authorize(catalog.schema, catalog.policy, fields, self.principal.groups)
        plan = build_plan(catalog, fields, decisions)
        return CachedPlan(
            fields=fields,
            decisions=decisions,
            plan=plan,
            completion=build_completion_plan(fields, decisions, plan),
            has_introspection=_has_introspection(prepared.document),
            windows=find_page_windows(catalog, plan),
        )

    async def _execute_until(self, state: ExecutionState, plan: Plan) -> BranchResults:
        """Read all branches before the deadline. Raises TimeoutError."""
        if not plan.roots:
            return {}
        waiter = Waiter(person=self.principal.person_id, deadline=self.deadline)
        context = CallContext(waiters=[waiter], withheld=self.result.withheld)
        with Deadline(self.deadline), call_context.use_call_context(context):
            return await execute_plan(state, plan)

    async def _execute_serially(self, state: ExecutionState, plan: Plan) -> BranchResults:
        """Carry out one root field after another; one that fails has its error in place of its row."""
        results: dict[int, BranchResult | ConnectorError] = {}
        for branch in plan.roots:
            try:
                results |= await self._execute_root_field(state, branch)
            except ConnectorError as failure:
                self._collect_changes(getattr(failure, "audit_facts", {}))
                results[branch.field.number] = failure
        return results

    async def _execute_root_field(self, state: ExecutionState, branch: PlanNode) -> BranchResults:
        """Carry out a mutation, or take an event's row, and read what is selected of the row."""
        action = await self._run_action(state, branch.field) if self.event is None else ActionResult(row_id=self.event)
        self._collect_changes(action.audit_facts)
        if action.row_id is None:
            return {branch.field.number: build_empty_result(branch)}
        variables = {**state.bound_plan.variables, get_result_id_variable(branch.field): action.row_id}
        state.bound_plan = replace(state.bound_plan, variables=variables)
        state.readers = _OverlaidReaders(
            state.readers,
            {name: build_personal_reader(self.engine, name, source) for name, source in action.connectors.items()},
        )
        try:
            return await self._execute_until(state, Plan(roots=(branch,)))
        except TimeoutError:
            message = f"`{branch.field.name}` was done, but what it came to could not be read in time"
            raise ConnectorError(message, ErrorCode.LIMIT_EXCEEDED) from None

    async def _run_action(self, state: ExecutionState, root_field: SelectedField) -> ActionResult:
        """Carry out a field of `Mutation`. Raises ConnectorError, also where it is unknown what came of it."""
        catalog, name, variables = self.engine.catalog, root_field.name, state.bound_plan.variables
        call = ActionCall(
            principal=self.principal,
            field=name,
            arguments={argument: substitute(value, variables) for argument, value in root_field.arguments.items()},
            record_id=self.record_id,
            deadline=self.deadline,
        )
        try:
            with call_context.use_call_context(build_call_context(self.principal.person_id)):
                async with asyncio.timeout_at(self.deadline):
                    return await catalog.actions[name](call)
        except TimeoutError:
            limit = f"the limit `request_seconds` of {catalog.limits.request_seconds:g}"
            message = f"`{name}` took longer than {limit}; it may still be done: send it again with its key, and see"
            raise ConnectorError(message, ErrorCode.CHANGE_UNSETTLED) from None

    def _collect_changes(self, audit_facts: Mapping[str, Any]) -> None:
        self.result.changes.extend(AuditedChange.from_json(change) for change in audit_facts.get("changes", ()))

    def _explain_plan(self, query: PreparedQuery, state: ExecutionState) -> dict[str, Any]:
        policy = self.engine.catalog.policy
        shows_sql = decide(policy, explain.SQL_COORDINATE, self.principal.groups).allowed
        return explain_execution(query.cached_plan.plan, state, sql=shows_sql)

    def _add_introspection(self, query: PreparedQuery, data: dict[str, Any]) -> dict[str, Any]:
        """Add what is asked of the schema itself, which graphql-core answers; keys stay in the order asked."""
        operation, sdl = query.operation.operation, query.view.federation_sdl
        introspected = execute_sync(
            query.view.schema,
            query.operation.document.node,
            {selection.SERVICE_FIELD: {"sdl": lambda _: sdl and sdl()}, selection.ENTITIES_FIELD: ()},
            variable_values=dict(self.request.variables),
            operation_name=operation.name.value if operation.name else None,
        ).data
        return {key: data.get(key, value) for key, value in (introspected or {}).items()}


def build_denial_errors(catalog: Catalog, query: PreparedQuery) -> list[GraphQLErrorInfo]:
    """Return an error for each field, and each type of an interface, that is denied."""
    fields, decisions = map_fields_by_number(query.cached_plan.fields), query.cached_plan.decisions
    denied = [number for number in fields if number in decisions and not decisions[number].allowed]
    return [
        *(build_forbidden_error(catalog.policy, fields[number], decisions[number], None) for number in denied),
        *(
            build_forbidden_rows_error(catalog.policy, member.type, decision, None)
            for member, decision in find_denied_members(query.cached_plan.plan, query.variables)
            if may_reveal_type(catalog, member.type, decision)
        ),
    ]


def _resolve_variables(
    view: PrincipalView, prepared: PreparedOperation, request: GraphQLRequest, catalog: Catalog
) -> tuple[Mapping[str, Any], Any]:
    """Return the variables, coerced, and their part of the plan's cache key."""
    values, plain_types = request.variables, prepared.plain_variables
    if (
        plain_types is not None
        and values.keys() == plain_types.keys()
        and all(is_plain_value(values[name], type) for name, type in plain_types.items())
    ):
        return values, prepared.variables_key
    check_list_sizes(values, catalog.limits.in_max)
    coerced = coerce_variables(view.schema, prepared.operation, values)
    return coerced.values, plan_cache_key(dict(coerced.parameterized))


def _drop_unknown_entities(fields: tuple[SelectedField, ...], schema: GraphQLSchema) -> tuple[SelectedField, ...]:
    """Leave out entities that this view does not have; validation cannot, as their names come in variables."""
    names = selection.list_entity_types(schema)
    return tuple(
        replace(
            field,
            children_by_type={name: children for name, children in field.children_by_type.items() if name in names},
        )
        if field.name == selection.ENTITIES_FIELD
        else field
        for field in fields
    )


INTROSPECTION_PATTERN = re.compile(rf"__(schema|type)\b|\b{selection.SERVICE_FIELD}\b")


def _has_introspection(document: ParsedDocument) -> bool:
    return INTROSPECTION_PATTERN.search(document.text) is not None


class _OverlaidReaders(dict[str, Reader]):
    """Read some sources through readers of their own, and the rest through those of the request."""

    def __init__(self, base: Mapping[str, Reader], overlay: Mapping[str, Reader]) -> None:
        super().__init__(overlay)
        self._base = base

    def __missing__(self, name: str) -> Reader:
        return self._base[name]
