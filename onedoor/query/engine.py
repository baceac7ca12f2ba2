"""Execute an operation: parse, select, authorize, plan, execute, complete."""

import asyncio
import zlib
from asyncio import get_running_loop
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import attrgetter
from sys import getsizeof
from typing import Any, TypeVar

import orjson
from graphql import OperationType, execute_sync

from auth.authentication import Principal
from auth.grants import GrantEnded
from auth.policy import decide
from onedoor.audit.record import AuditedChange
from onedoor.errors import ConnectorError, ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.model.catalog import Action, ActionCall, ActionResult, ActionUnfinished, Catalog, Limits
from onedoor.model.parameters import Parameter, check_list_sizes, count_values, plan_cache_key, substitute
from onedoor.model.reader import bind_attributes
from onedoor.query import selection
from onedoor.query.authorize import authorize
from onedoor.query.context import (
    BYTES_A_FIELD,
    LARGE_COST,
    LARGE_PLAN_BYTES,
    CachedDocument,
    CachedPlan,
    ExecutionResult,
    GraphQLRequest,
    OverlaidReaders,
    PlanMode,
    PreparedOperation,
    PrincipalView,
    QueryEngine,
    ReaderSet,
    Refusal,
    attach_partial_result,
    build_personal_reader,
    find_or_make,
    parse_plan_mode,
    run_in_turn,
    view_for,
)
from onedoor.query.document import QUERY_OR_MUTATION, SUBSCRIPTION_ONLY, get_operation, parse_document
from onedoor.query.errors import (
    build_forbidden_error,
    build_forbidden_rows_error,
    build_withheld_error,
    may_reveal_type,
)
from onedoor.query.executor.executor import build_empty_result, execute_plan
from onedoor.query.executor.explain_execution import explain_execution
from onedoor.query.executor.state import (
    BranchResult,
    BranchResults,
    ExecutionState,
    count_rows,
    summarize_freshness,
)
from onedoor.query.lent_access import check_grants, leave_ended_grants
from onedoor.query.planner import explain
from onedoor.query.planner.bind import bind_parameters, find_page_windows
from onedoor.query.planner.cost import compute_cost
from onedoor.query.planner.nodes import Plan, PlanNode, find_denied_members
from onedoor.query.planner.planner import build_plan, get_result_id_variable
from onedoor.query.results.complete import (
    build_completion_plan,
    build_errors,
    complete,
    has_many_rows,
    map_fields_by_number,
)
from onedoor.query.selection import (
    SelectedField,
    build_introspection_key,
    check_mutation_count,
    coerce_variables,
    collect_fields,
    find_plain_variables,
    is_plain_value,
)
from onedoor.query.visible_rows import find_limited_collections, is_hidden_row
from onedoor.runtime import call_context
from onedoor.runtime.call_context import CallContext, Waiter, build_call_context
from onedoor.runtime.concurrency import NEVER, Deadline
from onedoor.runtime.fair_cache import FairCache
from onedoor.runtime.row_cache import utc_now

CLAIM_MUTATION = "claimKey"

VALUES_ON_LOOP = 500
"""Values of variables that are coerced on the event loop; more take some milliseconds."""

VALUES_MAX = 200_000

VALUE_BYTES = 200

REFUSAL_BYTES = 1_000

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordBeginning:
    """The id of the request's audit record, and what makes its beginning durable before anything is changed."""

    id: str
    append: Callable[[ExecutionResult], Awaitable[None]]


async def execute(
    engine: QueryEngine,
    principal: Principal,
    request: GraphQLRequest,
    *,
    event: str | None = None,
    record: RecordBeginning | None = None,
    keeps_values: bool = False,
    admit_cost: Callable[[int], Awaitable[None]] | None = None,
) -> ExecutionResult:
    """Execute one operation and return what the client and the audit record are to learn of it.

    With `keeps_values`, as for an export, a field is denied to whoever sees it masked. `event` is the id of the row
    that a subscription's one field gives now; without a `record` no mutation is carried out. `admit_cost` raises where
    the request costs too much now. A request that is rejected or takes too long has a result with errors. Anything else
    that stops it is raised, and `get_partial_result` of that says how far the request came.
    """
    execution = Execution(
        engine=engine,
        principal=principal,
        request=request,
        event=event,
        record=record,
        keeps_values=keeps_values or event is not None,
        deadline=get_running_loop().time() + engine.catalog.limits.request_seconds,
        operation_types=QUERY_OR_MUTATION if event is None else SUBSCRIPTION_ONLY,
    )
    try:
        query = await execution.prepare()
        if request.extensions.get("allOrNothing") and (denials := build_denial_errors(query)):
            return execution.reject(denials)
        state = execution.bind(query)
        plan_mode = parse_plan_mode(request.extensions)
        if plan_mode is PlanMode.PLAN_ONLY:
            return execution.explain(query, state)
        if plan_mode is not None:
            state.traces = []
        if admit_cost is not None:
            await admit_cost(execution.result.cost)
        if execution.result.cost >= LARGE_COST:
            await execution.wait_for_slot()
        results = await execution.run(query, state)
        is_mutation = query.operation.operation.operation is OperationType.MUTATION
        if request.extensions.get("allOrNothing") and execution.result.withheld and not is_mutation:
            return execution.reject(execution.build_withheld_errors())
        result = await execution.complete(query, state, results)
        return await execution.reject_if_ended() if principal.grants and not is_mutation else result
    except RequestRejected as rejection:
        return execution.reject(rejection.errors)
    except TimeoutError:
        return execution.time_out()
    except BaseException as error:
        attach_partial_result(error, execution.result)
        raise
    finally:
        execution.release_slot()


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
    record: RecordBeginning | None = None
    keeps_values: bool = False
    deadline: float = NEVER
    """On the loop's clock."""
    result: ExecutionResult = field(default_factory=ExecutionResult)
    slot: str | None = None
    """Who is charged for the slot of a large operation, where it holds one."""

    async def prepare(self) -> PreparedQuery:
        """Parse, select, authorize and plan, as far as the caches do not know. Raises RequestRejected, TimeoutError."""
        view = self.engine.view_cache.get(self.principal.groups) or await self._wait_for_view()
        view = (self.keeps_values and view.keeping) or view
        operation = self._find_operation(view, await self._find_document(view))
        resolve = partial(_resolve_variables, view, operation, self.request, self.engine.catalog)
        has_many_values = count_values(self.request.variables, VALUES_ON_LOOP) > VALUES_ON_LOOP
        variables, variables_key = await self._run_in_thread(resolve) if has_many_values else resolve()
        if view.compared_attributes:
            variables = {**variables, **bind_attributes(view.compared_attributes, self.principal)}
        cached_plan = self.result.cached_plan = await self._find_plan(view, operation, variables_key)
        return PreparedQuery(view=view, operation=operation, cached_plan=cached_plan, variables=variables)

    def bind(self, query: PreparedQuery) -> ExecutionState:
        """Give the plan its variables and a reader for each source. Raises RequestRejected where it costs too much."""
        catalog, cached_plan = query.view.catalog, query.cached_plan
        bound_plan = bind_parameters(catalog, cached_plan.windows, query.variables)
        cost = self.result.cost = compute_cost(catalog, cached_plan.plan, query.variables)
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
        self.result.errors = build_denial_errors(query)
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

    async def complete(self, query: PreparedQuery, state: ExecutionState, results: BranchResults) -> ExecutionResult:
        """Finish with data and errors made of the rows."""
        catalog, cached_plan, result = query.view.catalog, query.cached_plan, self.result
        result.row_count = count_rows(results)
        if self.request.extensions.get("freshness"):
            now = self.engine.cache.now() if self.engine.cache else utc_now()
            result.extensions["freshness"] = summarize_freshness(result.scan_stats, now)
        build_data = partial(complete, catalog, cached_plan.completion, results, state.bound_plan)
        result.data, nulls = (
            await self._run_in_thread(build_data)
            if cached_plan.size > LARGE_PLAN_BYTES or has_many_rows(results)
            else build_data()
        )
        if nulls.has_errors:
            result.errors = build_errors(catalog, cached_plan.fields, cached_plan.decisions, results, nulls)
        if result.withheld:
            result.errors = [*result.errors, *self.build_withheld_errors()]
        if cached_plan.introspection_key is not None and result.data is not None:
            result.data = await self._add_introspection(query, cached_plan.introspection_key, result.data)
        return result

    def release_slot(self) -> None:
        """Give back the slot of a large operation."""
        if self.slot is not None:
            self.engine.large_operations.release(self.slot)

    def build_withheld_errors(self) -> list[GraphQLErrorInfo]:
        """Return an error for each field, and each type, of which a connector did not show all."""
        return [build_withheld_error(self.engine.catalog, copy) for copy in self.result.withheld]

    def reject(self, errors: Sequence[GraphQLErrorInfo]) -> ExecutionResult:
        """Finish with errors alone."""
        self.result.errors, self.result.rejected, self.result.row_count = errors, True, 0
        return self.result

    async def check_access(self) -> None:
        """Raise ConnectorError where a grant of the principal has ended, or nobody knows."""
        await check_grants(self.engine, self.principal)

    async def reject_if_ended(self) -> ExecutionResult:
        """Finish with what was read, or with an error in its place where a grant ended meanwhile."""
        try:
            await self.check_access()
        except ConnectorError as refusal:
            self.result.data, self.result.extensions = None, {}
            return self.reject((GraphQLErrorInfo(code=refusal.code, message=refusal.reason),))
        return self.result

    def time_out(self) -> ExecutionResult:
        """Finish with the error of a request that took too long."""
        limit = f"the limit `request_seconds` of {self.engine.catalog.limits.request_seconds:g}"
        message = f"the answer took longer than {limit}, ask for less"
        self.result.data = None
        self.result.errors = (GraphQLErrorInfo(code=ErrorCode.LIMIT_EXCEEDED, message=message),)
        return self.result

    async def _find_or_make(
        self, cache: FairCache[Any, Found], key: Any, make: Callable[[], Found], measure: Callable[[Found], int]
    ) -> Found:
        """Return what is cached, or make it within the time of the request. Raises TimeoutError."""
        found = cache.get(key)
        if found is not None:
            return found
        with Deadline(self.deadline):
            return await find_or_make(self.engine, self.principal, cache, key, make, measure)

    async def _wait_for_view(self) -> PrincipalView:
        with Deadline(self.deadline):
            return await view_for(self.engine, self.principal)

    async def wait_for_slot(self) -> None:
        """Wait for the slot of a large operation, within the time of the request. Raises TimeoutError."""
        if self.slot is not None:
            return
        context = build_call_context(self.principal.person_id)
        with Deadline(self.deadline), call_context.use_call_context(context):
            self.slot = await self.engine.large_operations.acquire()

    async def _run_in_thread(self, call: Callable[[], Found]) -> Found:
        """Run what would hold up the event loop, within the time of the request. Raises TimeoutError."""
        with Deadline(self.deadline):
            return await run_in_turn(self.engine, self.principal, call)

    async def _find_document(self, view: PrincipalView) -> CachedDocument:
        """Return the document, parsed and validated. Raises RequestRejected."""
        text = self.request.query
        key = (text, view.requirements_met if self.engine.catalog.schema_for_groups else None)
        parse = partial(_parse_or_refuse, view, text, self.engine.catalog.limits)
        cached = await self._find_or_make(self.engine.document_cache, key, parse, attrgetter("size"))
        if cached.document is None:
            raise RequestRejected(*cached.errors)
        self.result.document = cached.document
        return cached

    def _find_operation(self, view: PrincipalView, cached: CachedDocument) -> PreparedOperation:
        """Find the operation in a document. Raises RequestRejected."""
        name, served_types = self.request.operation_name, self.operation_types
        prepared = cached.operations.get((name, served_types))
        if prepared is None:
            assert cached.document is not None
            existing = frozenset(type for type in served_types if view.schema.get_root_type(type) is not None)
            operation = get_operation(cached.document, name, existing)
            plain_variables = find_plain_variables(operation)
            prepared = cached.operations[name, served_types] = PreparedOperation(
                document=cached.document,
                operation=operation,
                plain_variables=plain_variables,
                variables_key=tuple((name, Parameter) for name in plain_variables or ()),
            )
        self.result.operation = prepared.operation
        return prepared

    async def _find_plan(self, view: PrincipalView, prepared: PreparedOperation, variables_key: Any) -> CachedPlan:
        """Return the plan of the same operation under the same permissions and with variables of the same shape.

        Raises RequestRejected.
        """
        operation = prepared.operation
        name = operation.name.value if operation.name else None
        key = (prepared.document.text, name, view.requirements_met, self.engine.catalog.version, variables_key)
        plan = partial(self._plan_or_refuse, view, prepared)
        if BYTES_A_FIELD * prepared.document.fields > LARGE_PLAN_BYTES and self.engine.plan_cache.get(key) is None:
            await self.wait_for_slot()
        cached = await self._find_or_make(self.engine.plan_cache, key, plan, self._measure_plan)
        if not isinstance(cached, CachedPlan):
            raise RequestRejected(*cached)
        return cached

    def _measure_plan(self, cached: CachedPlan | Refusal) -> int:
        size = cached.size if isinstance(cached, CachedPlan) else getsizeof(self.request.query) + REFUSAL_BYTES
        return size + VALUE_BYTES * count_values(self.request.variables, VALUES_MAX)

    def _plan_or_refuse(self, view: PrincipalView, prepared: PreparedOperation) -> CachedPlan | Refusal:
        try:
            return self._plan(view, prepared)
        except RequestRejected as rejection:
            return tuple(rejection.errors)

    def _plan(self, view: PrincipalView, prepared: PreparedOperation) -> CachedPlan:
        """Select, authorize and plan."""
        catalog = view.catalog
        variables = coerce_variables(view.schema, prepared.operation, self.request.variables)
        fields = collect_fields(catalog.schema, prepared.document, prepared.operation, variables, catalog.limits)
        check_mutation_count(prepared.operation, fields, catalog.limits)
        if catalog.schema_for_groups is not None:
            fields = selection.drop_unknown_entities(fields, view.schema)
        decisions = authorize(catalog.schema, catalog.policy, fields, self.principal.groups)
        plan = build_plan(catalog, fields, decisions)
        return CachedPlan(
            catalog=catalog,
            fields=fields,
            decisions=decisions,
            plan=plan,
            completion=build_completion_plan(fields, decisions, plan),
            introspection_key=build_introspection_key(prepared.document, prepared.operation),
            windows=find_page_windows(catalog, plan),
            size=prepared.document.size + BYTES_A_FIELD * len(map_fields_by_number(fields)),
        )

    async def _execute_until(self, state: ExecutionState, plan: Plan) -> BranchResults:
        """Read all branches before the deadline. Raises TimeoutError."""
        if not plan.roots:
            return {}
        check_access = self.check_access if self.principal.grants else None
        waiter = Waiter(person=self.principal.person_id, deadline=self.deadline, check_access=check_access)
        context = CallContext(waiters=[waiter], withheld=self.result.withheld)
        with Deadline(self.deadline), call_context.use_call_context(context):
            return await execute_plan(state, plan)

    async def _execute_serially(self, state: ExecutionState, plan: Plan) -> BranchResults:
        """Carry out one root field after another; one that fails has its error in place of its row."""
        results: dict[int, BranchResult | ConnectorError] = {}
        if plan.roots and self.event is None:
            assert self.record is not None
            await self.record.append(self.result)
        for branch in plan.roots:
            try:
                results |= await self._execute_root_field(state, branch)
            except ConnectorError as failure:
                results[branch.field.number] = failure
        return results

    async def _execute_root_field(self, state: ExecutionState, branch: PlanNode) -> BranchResults:
        """Carry out a mutation, or take an event's row, and read what is selected of the row."""
        action = await self._run_action(state, branch.field) if self.event is None else ActionResult(row_id=self.event)
        if action.row_id is None:
            return {branch.field.number: build_empty_result(branch)}
        variables = {**state.bound_plan.variables, get_result_id_variable(branch.field): action.row_id}
        state.bound_plan = replace(state.bound_plan, variables=variables)
        state.readers = OverlaidReaders(
            state.readers,
            {name: build_personal_reader(self.engine, name, source) for name, source in action.connectors.items()},
        )
        self._judge_event(branch, {})
        try:
            shown = self.result.cached_plan
            assert shown is not None
            self.principal = await leave_ended_grants(self.engine, self.principal, shown.catalog, branch.field)
            results = await self._execute_until(state, Plan(roots=(branch,)))
            await self.check_access()
        except GrantEnded as ended:
            raise ConnectorError(f"`{branch.field.name}` was done, but {ended.reason}", ended.code) from None
        except TimeoutError:
            message = f"`{branch.field.name}` was done, but what it came to could not be read in time"
            raise ConnectorError(message, ErrorCode.LIMIT_EXCEEDED) from None
        self._judge_event(branch, results)
        return results

    def _judge_event(self, branch: PlanNode, results: BranchResults) -> None:
        if self.event is not None and self.result.cached_plan is not None:
            self.result.is_hidden_event = is_hidden_row(self.result.cached_plan.catalog, branch, results)

    async def _run_action(self, state: ExecutionState, root_field: SelectedField) -> ActionResult:
        """Carry out a field of `Mutation`, which goes on where this request ends before it.

        Raises ConnectorError, also where it is unknown what came of it.
        """
        await self.check_access()
        catalog, name, variables = self.engine.catalog, root_field.name, state.bound_plan.variables
        assert self.record is not None
        call = ActionCall(
            principal=self.principal,
            field=name,
            arguments={argument: substitute(value, variables) for argument, value in root_field.arguments.items()},
            record_id=self.record.id,
            deadline=self.deadline,
        )
        check_access = self.check_access if self.principal.grants else None
        with call_context.use_call_context(build_call_context(self.principal.person_id, check_access)):
            action = asyncio.create_task(_call_action(catalog.actions[name], call))
        try:
            async with asyncio.timeout_at(self.deadline):
                await asyncio.wait([action])
        except TimeoutError:
            limit = f"the limit `request_seconds` of {catalog.limits.request_seconds:g}"
            message = f"`{name}` took longer than {limit}; it may still be done: send it again with its key, and see"
            raise ConnectorError(message, ErrorCode.CHANGE_UNSETTLED) from None
        finally:
            if not action.done():
                self.result.unfinished_actions.append(action)
        return self._take_result(action)

    def _take_result(self, action: "asyncio.Task[ActionResult]") -> ActionResult:
        """Return the result of an action that has ended, its changes on record. Raises what the action raised."""
        try:
            result = action.result()
        except ActionUnfinished as failure:
            self.result.unfinished_actions.append(failure.remainder)
            raise
        except ConnectorError as failure:
            self.result.changes.extend(collect_changes(getattr(failure, "audit_facts", {})))
            raise
        self.result.changes.extend(collect_changes(result.audit_facts))
        return result

    def _explain_plan(self, query: PreparedQuery, state: ExecutionState) -> dict[str, Any]:
        catalog = query.view.catalog
        shows_sql = decide(catalog.policy, explain.SQL_COORDINATE, self.principal.groups).allowed
        limited, plan = find_limited_collections(catalog), query.cached_plan.plan
        return explain_execution(plan, state, sql=shows_sql, limited=limited)

    async def _add_introspection(self, query: PreparedQuery, key: bytes, data: dict[str, Any]) -> dict[str, Any]:
        """Add what is asked of the schema itself, as JSON that is encoded already; keys stay in the order asked."""
        view = query.view.requirements_met if self.engine.catalog.schema_for_groups else None
        variables = orjson.dumps(self.request.variables, option=orjson.OPT_SORT_KEYS)
        compressed = await self._find_or_make(
            self.engine.introspection_cache,
            (key, view, variables),
            partial(introspect, query, self.request.variables),
            lambda made: len(variables) + sum(map(len, made.values())),
        )
        return {
            name: data[name] if name in data else orjson.Fragment(zlib.decompress(value))
            for name, value in compressed.items()
        }


def introspect(query: PreparedQuery, variables: Mapping[str, Any]) -> Mapping[str, bytes]:
    """Return what graphql-core answers to the whole operation, by field: compressed JSON, null where it is of rows."""
    operation, sdl = query.operation.operation, query.view.federation_sdl
    answered = execute_sync(
        query.view.schema,
        query.operation.document.node,
        {selection.SERVICE_FIELD: {"sdl": lambda _: sdl and sdl()}, selection.ENTITIES_FIELD: ()},
        variable_values=dict(variables),
        operation_name=operation.name.value if operation.name else None,
    ).data
    return {name: zlib.compress(orjson.dumps(value), 1) for name, value in (answered or {}).items()}


def _parse_or_refuse(view: PrincipalView, text: str, limits: Limits) -> CachedDocument:
    try:
        document = parse_document(view.schema, text, limits)
    except RequestRejected as rejection:
        size = getsizeof(text) + REFUSAL_BYTES
        return CachedDocument(document=None, errors=tuple(rejection.errors), size=size)
    return CachedDocument(document=document, size=document.size)


async def _call_action(action: Action, call: ActionCall) -> ActionResult:
    if call.principal.has_claim and call.field != CLAIM_MUTATION:
        raise ConnectorError(f"a code is good for `{CLAIM_MUTATION}` alone: exchange it first", ErrorCode.FORBIDDEN)
    return await action(call)


def build_audit_facts(changes: Sequence[AuditedChange]) -> Mapping[str, Any]:
    """Return the facts of an action that made these changes."""
    return {"changes": [change.to_json() for change in changes]}


def collect_changes(audit_facts: Mapping[str, Any]) -> Sequence[AuditedChange]:
    """Return the changes that the facts of an action name."""
    return [AuditedChange.from_json(change) for change in audit_facts.get("changes", ())]


def build_denial_errors(query: PreparedQuery) -> list[GraphQLErrorInfo]:
    """Return an error for each field, and each type of an interface, that is denied."""
    catalog = query.view.catalog
    fields, decisions = map_fields_by_number(query.cached_plan.fields), query.cached_plan.decisions
    denied = [number for number in fields if number in decisions and not decisions[number].allowed]
    return [
        *(build_forbidden_error(catalog, fields[number], decisions[number], None) for number in denied),
        *(
            build_forbidden_rows_error(catalog, member.type, decision, None)
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
