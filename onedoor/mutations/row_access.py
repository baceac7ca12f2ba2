"""Refuse changes of rows that their person does not see, and changes that would take a row out of their sight."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.catalog import Catalog
from onedoor.model.mapping import Lookup, Relationship, TypeMapping
from onedoor.model.names import get_relationship_columns, list_member_mappings, resolve_target_type
from onedoor.mutations.context import NumberedStep, find_mapping
from onedoor.mutations.execution import IntentExecution
from onedoor.mutations.files import COPY_ORIGIN_COLUMN
from onedoor.mutations.intents import decode_row
from onedoor.mutations.ledger_sql import HistoryQuery
from onedoor.mutations.mapping import list_id_columns, parse_row_id
from onedoor.query.visible_rows import RowAccess, open_row_access
from onedoor.spi.connector import ChangeKind, ChangeRejected, RowChange, RowValues

OUT_OF_SIGHT = "the row would not be among those that you may see, so the change is not made"

UNTRIED = "whether rows refer to this one that you may not see cannot be tried: leave `dryRun` out"

NEW_ROW_KINDS = frozenset({ChangeKind.CREATE, ChangeKind.PUT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Columns of a row that name another row, of one of some types."""

    to: str
    local: tuple[str, ...]
    remote: tuple[str, ...]
    targets: Sequence[TypeMapping]
    is_whole_key: bool
    """Whether the columns are those that name the row itself."""


async def check_row_access(
    execution: IntentExecution, group: Sequence[NumberedStep], changes: Sequence[RowChange]
) -> None:
    """Raise ChangeRejected for the first change that the person may not make, before any of them is sent.

    A row out of rule is answered like an id that nobody has. A compensation is not checked: it has the rights of the
    change that it undoes.
    """
    mappings = [find_mapping(execution.context, execution.saga.type, step.source, step.collection) for _, step in group]
    if not any(mapping is not None and _is_ruled(execution, mapping) for mapping in mappings):
        return
    engine, principal = execution.context.engine, execution.principal
    assert engine is not None
    assert principal is not None
    access = await open_row_access(engine, principal)
    try:
        for index, (mapping, change) in enumerate(zip(mappings, changes, strict=True)):
            if mapping is not None:
                await _check_copy_origin(access, mapping, change)
                await _check_change(access, mapping, change, changes[:index])
    except ConnectorError as failure:
        raise ChangeRejected(failure.reason, failure.code) from None


async def check_dry_run(execution: IntentExecution, group: Sequence[NumberedStep]) -> None:
    """Raise ChangeRejected for a deletion to be tried that would say whether hidden rows refer to its row.

    The deletion itself says so, too, but costs the row where there are none.
    """
    context, principal = execution.context, execution.principal
    deleting = [step for _, step in group if step.kind is ChangeKind.DELETE]
    mappings = [find_mapping(context, execution.saga.type, step.source, step.collection) for step in deleting]
    referring = [
        other
        for mapping in mappings
        if mapping is not None
        for other in context.catalog.mappings.values()
        if other.rows is not None and other.source == mapping.source and _may_refer(context.catalog, other, mapping)
    ]
    if not referring:
        return
    assert context.engine is not None
    assert principal is not None
    access = await open_row_access(context.engine, principal)
    if any(access.is_limited(other) for other in referring):
        raise ChangeRejected(UNTRIED, ErrorCode.FORBIDDEN)


async def is_change_seen(execution: IntentExecution, change_id: str) -> bool:
    """Whether the person sees an earlier change of theirs now: the row before it, after it, and as it is.

    A row that is gone is judged by what it was, as they have changed it themselves. Raises ConnectorError.
    """
    context, mapping = execution.context, execution.context.catalog.mappings[execution.saga.type]
    if mapping.rows is None or context.engine is None or execution.principal is None:
        return True
    access = await open_row_access(context.engine, execution.principal)
    if not access.is_limited(mapping):
        return True
    history = await context.ledger.read_history(HistoryQuery(type=mapping.type, required_values={"id": (change_id,)}))
    for change in history:
        for row in (decode_row(change.before), decode_row(change.after)):
            if row is not None and not await access.would_see(mapping, row):
                return False
        key = parse_row_id(context.catalog, mapping, change.row)
        key = {column: value for column, value in key.items() if column not in mapping.constants}
        if await access.find_visible_row(mapping, key) is None and await access.has_row(mapping, key):
            return False
    return bool(history)


def _may_refer(catalog: Catalog, other: TypeMapping, mapping: TypeMapping) -> bool:
    """Whether a type has a link to another, or that one a link to it."""
    forth = {link.to for link in other.relationships.values()}
    back = {link.to for link in mapping.relationships.values()}
    targets = [target for to in forth for target in list_member_mappings(catalog, to)]
    return mapping in targets or other in [target for to in back for target in list_member_mappings(catalog, to)]


def _is_ruled(execution: IntentExecution, mapping: TypeMapping) -> bool:
    """Whether rows of a type, or rows that they name, have rules."""
    targets = (target for link in _list_links(execution.context.catalog, mapping) for target in link.targets)
    return any(each.rows is not None for each in (mapping, *targets))


async def _check_change(
    access: RowAccess, mapping: TypeMapping, change: RowChange, earlier: Sequence[RowChange]
) -> None:
    """Check a change that comes in one transaction after some that were checked."""
    given = change.values.keys() | (change.key.keys() if change.kind in NEW_ROW_KINDS else frozenset())
    links = [link for link in _list_links(access.catalog, mapping) if not given.isdisjoint(link.local)]
    before = await _read_before(access, mapping, change, links)
    if change.kind is ChangeKind.DELETE:
        return
    after = {**(before or {}), **change.key, **change.values, **mapping.constants}
    if access.is_limited(mapping) and not await access.would_see(mapping, after):
        raise ChangeRejected(OUT_OF_SIGHT, ErrorCode.FORBIDDEN)
    for link in links:
        await _check_link(access, link, after, earlier)


async def _read_before(
    access: RowAccess, mapping: TypeMapping, change: RowChange, links: Sequence[Link]
) -> RowValues | None:
    """Read what the rule compares of a row, and what is left of its links; refuse one that is hidden."""
    linked = {column for link in links for column in link.local} - change.values.keys() - change.key.keys()
    if change.kind is ChangeKind.CREATE or not (linked or access.is_limited(mapping)):
        return None
    before = await access.find_visible_row(mapping, change.key, tuple(sorted(linked)))
    is_missing = before is None and access.is_limited(mapping)
    if is_missing and (change.kind is not ChangeKind.PUT or await access.has_row(mapping, change.key)):
        raise _build_hidden_error(mapping, change.kind)
    return before


async def _check_copy_origin(access: RowAccess, mapping: TypeMapping, change: RowChange) -> None:
    """Check that a file that is copied is one that is seen."""
    origin = change.values.get(COPY_ORIGIN_COLUMN)
    if origin is None or not access.is_limited(mapping):
        return
    key = {column: origin for column in mapping.key if column not in mapping.constants}
    if await access.find_visible_row(mapping, key) is None:
        raise ChangeRejected(f"no `{mapping.type}` has the id given as `copyOf`", ErrorCode.NOT_FOUND)


def _build_hidden_error(mapping: TypeMapping, kind: ChangeKind) -> ChangeRejected:
    if kind is ChangeKind.PUT:
        return ChangeRejected(OUT_OF_SIGHT, ErrorCode.FORBIDDEN)
    return ChangeRejected(f"no `{mapping.type}` has this id", ErrorCode.NOT_FOUND)


async def _check_link(access: RowAccess, link: Link, after: RowValues, earlier: Sequence[RowChange]) -> None:
    """Check that a row which the changed one names by its key, such as an order's customer, is one that is seen.

    A hidden row and no row are answered alike, but for a link by the whole key of the changed row: it may lead to what
    is still to be created, as from an account to its profile. Whoever sees no row of a type may name any where a
    mutation is theirs, as a service does that writes the usage of customers and reads none.
    """
    key = {remote: after.get(local) for local, remote in zip(link.local, link.remote, strict=True)}
    limited = [target for target in link.targets if access.is_limited(target)]
    if None in key.values() or all(access.is_closed(target) for target in limited):
        return
    for target in link.targets:
        if _has_new_row(target, key, earlier) or await access.find_visible_row(target, key) is not None:
            return
    if link.is_whole_key and not [target for target in link.targets if await access.has_row(target, key)]:
        return
    raise ChangeRejected(f"`{link.local[0]}` names no `{link.to}`", ErrorCode.BAD_USER_INPUT)


def _has_new_row(target: TypeMapping, key: RowValues, earlier: Sequence[RowChange]) -> bool:
    """Whether one of these changes, of the same source, makes the row that a link names."""
    rows = ({**change.key, **change.values} for change in earlier if change.collection == target.collection)
    return any(row.items() >= key.items() for row in rows)


def _list_links(catalog: Catalog, mapping: TypeMapping) -> Sequence[Link]:
    """List the links of a type to one row, and to the rows that its fields look values up in."""
    output: Any = catalog.schema.type_map[mapping.type]
    related: list[tuple[Relationship | Lookup, str, Sequence[TypeMapping]]] = [
        (relationship, relationship.to, list_member_mappings(catalog, relationship.to))
        for name, relationship in mapping.relationships.items()
        if name in output.fields and not resolve_target_type(catalog, mapping.type, name)[1]
    ]
    looked_up = [
        (lookup, target.type, (target,))
        for lookup in mapping.lookups.values()
        for target in catalog.mappings.values()
        if (target.source, target.collection) == (lookup.source, lookup.collection)
    ]
    return [_build_link(mapping, columns, to, targets) for columns, to, targets in (*related, *looked_up)]


def _build_link(mapping: TypeMapping, columns: Relationship | Lookup, to: str, targets: Sequence[TypeMapping]) -> Link:
    local, remote = get_relationship_columns(columns)
    own_key = {column for column in list_id_columns(mapping) if column not in mapping.constants}
    return Link(to=to, local=local, remote=remote, targets=targets, is_whole_key=own_key == {*local})
