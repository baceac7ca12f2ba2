"""Serve the register of groups, what a principal may use, simulations, differences of policies, and receipts."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

from graphql import GraphQLSchema
from sqlalchemy.exc import SQLAlchemyError

from auth import users
from auth.authentication import Principal
from auth.grant_store import list_held_grants
from auth.groups import AUDIT, EVERYONE, FunctionalGroup, Groups, find_groups
from auth.policy import AccessPolicy, SchemaCoordinate
from onedoor.audit.reader import read_records
from onedoor.audit.receipts import ALGORITHM, ReceiptRefused, find_receipt
from onedoor.audit.record import format_timestamp
from onedoor.errors import ConfigurationError, ConnectorError, ErrorCode, RequestRejected
from onedoor.model.catalog import Catalog
from onedoor.model.mapping import Relationship, TypeMapping
from onedoor.model.row_rules import RowRuleTexts
from onedoor.query.access import (
    explain_access,
    explain_decision,
    find_written_types,
    format_requirements,
    is_known,
    list_known_coordinates,
    list_written_coordinates,
    parse_coordinate,
)
from onedoor.query.replay import (
    ChangedDecision,
    ChangedRowRules,
    ChangedRule,
    ReplayResult,
    collect_shapes,
    find_changed_row_rules,
    find_changed_rules,
    format_row_rules,
    replay,
)
from onedoor.query.simulation import FieldDecision, simulate
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.operators import compile_predicate
from onedoor.spi.predicates import Op, Row, split_conjuncts
from onedoor.spi.scan import ScanRequest
from onedoor.storage.database import MetadataDatabase

ACCESS_SOURCE = "access"

EQUAL = frozenset({Op.EQ})

TEXT, LIST, BOOLEAN = Column(ColumnType.TEXT), Column(ColumnType.LIST), Column(ColumnType.BOOLEAN)

INTEGER, FLOAT, TIME = Column(ColumnType.INTEGER), Column(ColumnType.FLOAT), Column(ColumnType.TIME)

GIVEN_TEXT, GIVEN_LIST = Column(ColumnType.TEXT, EQUAL), Column(ColumnType.LIST, EQUAL)

GIVEN_TIME = Column(ColumnType.TIME, EQUAL)
"""Columns whose value an argument gives."""

GROUP, ACCESS, SIMULATION, SIMULATED_FIELD = "group", "access", "simulation", "simulated_field"

POLICY_DIFF, RULE_CHANGE, DECISION_CHANGE = "policy_diff", "rule_change", "decision_change"

ROW_RULE_CHANGE = "row_rule_change"

RECEIPT = "receipt"

ACCESS_CAPABILITIES: Mapping[str, Capabilities] = {
    GROUP: Capabilities(
        columns={
            "id": TEXT, "name": TEXT, "purpose": TEXT, "owner": TEXT, "contact": TEXT, "sensitivity": TEXT,
            "stale_after_hours": FLOAT, "approvers": LIST, "exclusive": BOOLEAN, "grant_max_hours": FLOAT,
            "directory_groups": LIST,
        }
    ),
    ACCESS: Capabilities(
        columns={
            "id": TEXT, "coordinate": Column(ColumnType.TEXT, EQUAL | {Op.IN}), "type_name": TEXT, "field_name": TEXT,
            "argument_name": Column(ColumnType.TEXT, frozenset({Op.IS_NULL})),
            "generated": Column(ColumnType.BOOLEAN, EQUAL), "allowed": BOOLEAN, "masked": BOOLEAN, "groups": LIST,
            "missing": LIST, "owner": TEXT, "contact": TEXT, "remedy": TEXT,
        }
    ),
    SIMULATION: Capabilities(
        columns={
            "id": TEXT, "allowed": BOOLEAN,
            "query": GIVEN_TEXT, "operation_name": GIVEN_TEXT, "variables": GIVEN_TEXT, "person": GIVEN_TEXT,
            "groups": GIVEN_LIST,
        },
        required_columns=("query",),
    ),
    SIMULATED_FIELD: Capabilities(
        columns={
            "simulation_id": TEXT, "place": INTEGER, "path": TEXT, "coordinate": TEXT, "allowed": BOOLEAN,
            "masked": BOOLEAN, "reason": TEXT, "missing": LIST, "remedy": TEXT,
        }
    ),
    POLICY_DIFF: Capabilities(
        columns={
            "id": TEXT, "documents": INTEGER, "requests": INTEGER, "skipped": INTEGER,
            "from": GIVEN_TEXT, "to": GIVEN_TEXT, "since": GIVEN_TIME,
        },
        required_columns=("to",),
    ),
    RULE_CHANGE: Capabilities(
        columns={
            "diff_id": TEXT, "place": INTEGER, "coordinate": TEXT, "weakened": BOOLEAN, "groups_before": LIST,
            "groups_after": LIST, "unmasked_groups_before": LIST, "unmasked_groups_after": LIST,
        }
    ),
    ROW_RULE_CHANGE: Capabilities(
        columns={
            "diff_id": TEXT, "place": INTEGER, "type_name": TEXT, "weakened": BOOLEAN, "rows_before": LIST,
            "rows_after": LIST,
        }
    ),
    DECISION_CHANGE: Capabilities(
        columns={
            "diff_id": TEXT, "place": INTEGER, "operation": TEXT, "operation_hash": TEXT, "path": TEXT,
            "coordinate": TEXT, "reason": TEXT, "allowed_before": BOOLEAN, "allowed_after": BOOLEAN, "groups": LIST,
            "requests": INTEGER, "last_request_at": TIME,
        }
    ),
    RECEIPT: Capabilities(
        columns={
            "id": TEXT, "record": GIVEN_TEXT, "time": TIME, "person": TEXT, "algorithm": TEXT, "digest": TEXT,
            "statement": TEXT, "rest": TEXT, "place": INTEGER, "size": INTEGER, "path": LIST, "checkpoint": TEXT,
        },
        required_columns=("record",),
    ),
}  # fmt: skip

NAME_COLUMNS = ("coordinate", "type_name", "field_name", "argument_name", "generated")
"""The columns of ACCESS that say what is decided."""

REPLAYED_DAYS = 30

HOUR = timedelta(hours=1)

RowValues: TypeAlias = Mapping[str, Any]

Made: TypeAlias = Mapping[str, Sequence[RowValues]]
"""Rows by collection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessServices:
    """What answers are made of: nothing here is a source."""

    catalog: Catalog
    database: MetadataDatabase
    records_folder: Path
    build_policy: Callable[[str], AccessPolicy]
    """Builds the policy with the rules of an SDL text. Raises ConfigurationError."""
    build_row_rules: Callable[[str], RowRuleTexts]
    """Builds the rules for rows that an SDL text has. Raises ConfigurationError."""
    get_view: Callable[[Principal], Awaitable[GraphQLSchema]]
    """Returns the schema that a principal may know."""
    run: Callable[[Principal, Callable[[], Made]], Awaitable[Made]]
    """Runs in a thread, in the principal's turn, what would hold up the event loop."""


@dataclass(slots=True)
class AccessConnector:
    """The collections of ACCESS_CAPABILITIES for one request; without services and a principal they are empty.

    The scan that gives the arguments of a simulation or a comparison makes it; later scans of the request read the rows
    that belong to it.
    """

    services: AccessServices | None = None
    principal: Principal | None = None
    rows: dict[str, list[RowValues]] = field(default_factory=dict)
    """What was made in this request, by collection."""
    numbers: Iterator[int] = field(default_factory=count)

    def capabilities(self, collection: str) -> Capabilities:
        return ACCESS_CAPABILITIES[collection]

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        if self.services is None or self.principal is None:
            return
        rows = await self._read_rows(self.services, self.principal, request)
        yield [tuple(row[column] for column in request.columns) for row in rows]

    async def _read_rows(
        self, services: AccessServices, principal: Principal, request: ScanRequest
    ) -> Sequence[RowValues]:
        make_rows = MAKERS.get(request.collection)
        if make_rows is None:
            return self.rows.get(request.collection, ())
        view, id = await services.get_view(principal), str(next(self.numbers))
        call = AccessCall(
            services=services,
            view=view,
            person_id=principal.person_id,
            groups=principal.groups,
            filter=request.filter,
            id=id,
        )
        try:
            made = await services.run(principal, partial(make_rows, call))
        except RequestRejected as rejection:
            raise ConnectorError(f"the document is not valid: {rejection}", ErrorCode.BAD_USER_INPUT) from None
        except ConfigurationError as reason:
            raise ConnectorError(str(reason), ErrorCode.BAD_USER_INPUT) from None
        except ReceiptRefused as reason:
            raise ConnectorError(str(reason)) from None
        except OSError:
            raise ConnectorError("the records cannot be read") from None
        except SQLAlchemyError:
            raise ConnectorError("the users cannot be read now") from None
        for name, rows in made.items():
            self.rows.setdefault(name, []).extend(rows)
        return made[request.collection]

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessCall:
    """One scan that makes its rows: for whom, of what they may know, and with which arguments."""

    services: AccessServices
    view: GraphQLSchema
    person_id: str
    groups: frozenset[str]
    filter: Any
    """The comparisons that hold for its rows, or None; for what takes arguments, those that were given."""
    id: str
    """Of what is made, unique in its request."""

    @property
    def arguments(self) -> RowValues:
        """The arguments by column, without those that were not given."""
        return {comparison.column: comparison.value for comparison in split_conjuncts(self.filter)}

    @property
    def catalog(self) -> Catalog:
        return self.services.catalog


def make_groups(call: AccessCall) -> Made:
    """Make the rows of the register."""
    return {GROUP: [_describe_group(call.catalog.groups, group) for group in call.catalog.groups]}


def _describe_group(groups: Groups, group: FunctionalGroup) -> RowValues:
    return {
        "id": group.name,
        "name": group.name,
        "purpose": group.purpose,
        "owner": group.owner,
        "contact": groups.contacts.get(group.owner),
        "sensitivity": group.sensitivity.upper(),
        "stale_after_hours": group.stale_after and group.stale_after / HOUR,
        "approvers": group.approvers,
        "exclusive": group.exclusive,
        "grant_max_hours": group.grant_max / HOUR,
        "directory_groups": group.directory_groups,
    }


def make_access(call: AccessCall) -> Made:
    """Decide what the principal may know of, as far as the filter names it: to decide takes the time, not to name."""
    written = find_written_types(call.catalog.schema)
    is_wanted = compile_predicate(call.filter, NAME_COLUMNS) if call.filter is not None else None
    known = list_known_coordinates(call.view, call.catalog.policy)
    names = {coordinate: _name_coordinate(coordinate, written) for coordinate in known}
    wanted = (coordinate for coordinate, name in names.items() if is_wanted is None or is_wanted(name))
    return {ACCESS: [_describe_access(call, coordinate, names[coordinate]) for coordinate in wanted]}


def _name_coordinate(coordinate: SchemaCoordinate, written: frozenset[str]) -> Row:
    """Return the values of NAME_COLUMNS."""
    type, field, argument = (*coordinate, None, None)[:3]
    return ".".join(coordinate), type, field, argument, type not in written


def _describe_access(call: AccessCall, coordinate: SchemaCoordinate, name: Row) -> RowValues:
    access = explain_access(call.catalog, coordinate, call.groups)
    return {
        **dict(zip(NAME_COLUMNS, name, strict=True)),
        "id": access.name,
        "allowed": access.allowed,
        "masked": access.masked,
        "groups": access.requirements,
        "missing": access.missing,
        "owner": access.owner,
        "contact": access.contact,
        "remedy": access.remedy,
    }


def make_simulation(call: AccessCall) -> Made:
    """Decide a document for a person or for groups. Raises RequestRejected, ConfigurationError."""
    arguments, groups = call.arguments, _find_simulated_groups(call)
    decisions = simulate(
        call.catalog,
        call.view,
        arguments["query"],
        groups,
        operation_name=arguments.get("operation_name"),
        variables=_parse_variables(arguments.get("variables")),
    )
    shown = [decision for decision in decisions if _may_name(call.view, decision.coordinate)]
    simulation = {
        **dict.fromkeys(ACCESS_CAPABILITIES[SIMULATION].columns),
        "id": call.id,
        "groups": tuple(sorted(groups)),
        "allowed": all(decision.decision.allowed for decision in decisions),
    }
    fields = [_describe_simulated_field(call, place, decision, groups) for place, decision in enumerate(shown, 1)]
    return {SIMULATION: [simulation], SIMULATED_FIELD: fields}


def _find_simulated_groups(call: AccessCall) -> frozenset[str]:
    """Return the groups of the person that is named, or those that are. Raises ConfigurationError."""
    register, arguments = call.catalog.groups, call.arguments
    if ("person" in arguments) == ("groups" in arguments):
        raise ConfigurationError("name either a `person` or `groups`, for whom the document is decided")
    if "groups" in arguments:
        for name in arguments["groups"]:
            register.require(name)
        return frozenset({EVERYONE, *arguments["groups"]})
    person = arguments["person"]
    user, database = users.load_user(call.services.database, person), call.services.database
    if user.deactivated_at is not None:
        raise ConfigurationError(f"`{person}` is deactivated, so nothing is answered to them")
    grants = list_held_grants(database, user.id)
    held = find_groups(register, user.memberships, database.now()).union(grant.group for grant in grants)
    return held & register.names


def _parse_variables(text: str | None) -> Mapping[str, Any]:
    variables = {} if text is None else json.loads(text)
    if not isinstance(variables, dict):
        raise ConfigurationError("`variables` must be an object")
    return variables


def _describe_simulated_field(call: AccessCall, place: int, shown: FieldDecision, groups: frozenset[str]) -> RowValues:
    access = explain_decision(call.catalog, shown.decision, groups)
    return {
        "simulation_id": call.id,
        "place": place,
        "path": shown.path,
        "coordinate": shown.coordinate,
        "allowed": access.allowed,
        "masked": access.masked,
        "reason": None if access.allowed else _name_reason(call.view, shown),
        "missing": access.missing,
        "remedy": access.remedy,
    }


def make_policy_diff(call: AccessCall) -> Made:
    """Replay the recorded documents under the rules before and after. Raises ConfigurationError."""
    catalog, arguments, services = call.catalog, call.arguments, call.services
    before = services.build_policy(arguments["from"]) if "from" in arguments else catalog.policy
    after = services.build_policy(arguments["to"])
    since = arguments.get("since") or datetime.now(UTC) - timedelta(days=REPLAYED_DAYS)
    shapes = collect_shapes(read_records(services.records_folder), format_timestamp(since))
    result = replay(catalog, before, after, shapes, view=call.view)
    rows_before = services.build_row_rules(arguments.get("from", ""))
    changed_row_rules = [
        changed
        for changed in find_changed_row_rules(rows_before, services.build_row_rules(arguments["to"]))
        if _may_name(call.view, changed.type)
    ]
    changed_rules = find_changed_rules(before, after, list_written_coordinates(call.view, catalog.policy))
    return {
        POLICY_DIFF: [_describe_policy_diff(call, result)],
        RULE_CHANGE: [_describe_changed_rule(call, place, changed) for place, changed in enumerate(changed_rules, 1)],
        ROW_RULE_CHANGE: [
            _describe_changed_row_rules(call, place, changed) for place, changed in enumerate(changed_row_rules, 1)
        ],
        DECISION_CHANGE: [
            _describe_changed_decision(call, place, changed)
            for place, changed in enumerate(result.changes, 1)
            if _may_name(call.view, changed.after.coordinate)
        ],
    }


def _describe_policy_diff(call: AccessCall, result: ReplayResult) -> RowValues:
    return {
        **dict.fromkeys(ACCESS_CAPABILITIES[POLICY_DIFF].columns),
        "id": call.id,
        "documents": result.documents,
        "requests": result.requests,
        "skipped": result.skipped,
    }


def _describe_changed_rule(call: AccessCall, place: int, changed: ChangedRule) -> RowValues:
    return {
        "diff_id": call.id,
        "place": place,
        "coordinate": ".".join(changed.coordinate),
        "weakened": changed.is_weakened,
        "groups_before": format_requirements(changed.before.requirements),
        "groups_after": format_requirements(changed.after.requirements),
        "unmasked_groups_before": format_requirements(changed.before.unmasked_requirements),
        "unmasked_groups_after": format_requirements(changed.after.unmasked_requirements),
    }


def _describe_changed_row_rules(call: AccessCall, place: int, changed: ChangedRowRules) -> RowValues:
    return {
        "diff_id": call.id,
        "place": place,
        "type_name": changed.type,
        "weakened": changed.is_weakened,
        "rows_before": format_row_rules(changed.before),
        "rows_after": format_row_rules(changed.after),
    }


def _describe_changed_decision(call: AccessCall, place: int, changed: ChangedDecision) -> RowValues:
    shape, denied = changed.shape, changed.before if changed.after.decision.allowed else changed.after
    return {
        "diff_id": call.id,
        "place": place,
        "operation": shape.operation,
        "operation_hash": shape.operation_hash,
        "path": denied.path,
        "coordinate": denied.coordinate,
        "reason": _name_reason(call.view, denied),
        "allowed_before": changed.before.decision.allowed,
        "allowed_after": changed.after.decision.allowed,
        "groups": tuple(sorted(shape.groups)),
        "requests": changed.requests,
        "last_request_at": datetime.fromisoformat(changed.last_time),
    }


def make_receipt(call: AccessCall) -> Made:
    """Make the receipt of a record that is the principal's own, or of any for who audits. Raises ReceiptRefused."""
    person = None if AUDIT in call.groups else call.person_id
    receipt = find_receipt(call.services.records_folder, call.arguments["record"], person)
    if receipt is None:
        return {RECEIPT: []}
    values = {
        **asdict(receipt), "id": receipt.record, "algorithm": ALGORITHM, "time": datetime.fromisoformat(receipt.time)
    }  # fmt: skip
    return {RECEIPT: [values]}


def _may_name(view: GraphQLSchema, name: str) -> bool:
    """Say whether a schema has what is named; whoever may know that schema alone is told of nothing else."""
    coordinate = parse_coordinate(name)
    return coordinate is not None and is_known(view, coordinate)


def _name_reason(view: GraphQLSchema, denied: FieldDecision) -> str:
    reason = ".".join(denied.decision.coordinate)
    return reason if _may_name(view, reason) else denied.coordinate


MAKERS: Mapping[str, Callable[[AccessCall], Made]] = {
    GROUP: make_groups,
    ACCESS: make_access,
    SIMULATION: make_simulation,
    POLICY_DIFF: make_policy_diff,
    RECEIPT: make_receipt,
}
"""By collection, what makes its rows; those of the other collections are made along with them."""

MAPPINGS = (
    TypeMapping(type="Group", source=ACCESS_SOURCE, collection=GROUP),
    TypeMapping(type="Access", source=ACCESS_SOURCE, collection=ACCESS),
    TypeMapping(
        type="Simulation",
        source=ACCESS_SOURCE,
        collection=SIMULATION,
        relationships={"fields": Relationship(to="SimulatedField", local="id", remote="simulation_id")},
    ),
    TypeMapping(
        type="SimulatedField", source=ACCESS_SOURCE, collection=SIMULATED_FIELD, key=("simulation_id", "place")
    ),
    TypeMapping(
        type="PolicyDiff",
        source=ACCESS_SOURCE,
        collection=POLICY_DIFF,
        relationships={
            "rules": Relationship(to="RuleChange", local="id", remote="diff_id"),
            "rowRules": Relationship(to="RowRuleChange", local="id", remote="diff_id"),
            "changes": Relationship(to="DecisionChange", local="id", remote="diff_id"),
        },
    ),
    TypeMapping(type="RuleChange", source=ACCESS_SOURCE, collection=RULE_CHANGE, key=("diff_id", "place")),
    TypeMapping(type="Receipt", source=ACCESS_SOURCE, collection=RECEIPT),
    TypeMapping(type="RowRuleChange", source=ACCESS_SOURCE, collection=ROW_RULE_CHANGE, key=("diff_id", "place")),
    TypeMapping(type="DecisionChange", source=ACCESS_SOURCE, collection=DECISION_CHANGE, key=("diff_id", "place")),
)
