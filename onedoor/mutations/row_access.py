"""Refuse changes of rows that their person does not see, and changes that would take a row out of their sight."""

from collections.abc import Sequence

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.mapping import Relationship, TypeMapping
from onedoor.model.names import get_relationship_columns, list_member_mappings, resolve_target_type
from onedoor.mutations.context import NumberedStep, find_mapping
from onedoor.mutations.execution import IntentExecution
from onedoor.mutations.files import COPY_ORIGIN_COLUMN
from onedoor.query.visible_rows import RowAccess, open_row_access
from onedoor.spi.connector import ChangeKind, ChangeRejected, RowChange, RowValues

OUT_OF_SIGHT = "the row would not be among those that you may see, so the change is not made"


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
        for mapping, change in zip(mappings, changes, strict=True):
            if mapping is not None:
                await _check_copy_origin(access, mapping, change)
                await _check_change(access, mapping, change)
                await _check_links(access, mapping, change)
    except ConnectorError as failure:
        raise ChangeRejected(failure.reason, failure.code) from None


def _is_ruled(execution: IntentExecution, mapping: TypeMapping) -> bool:
    """Whether rows of a type, or rows that they lead to, have rules."""
    catalog = execution.context.catalog
    targets = (target for link in mapping.relationships.values() for target in list_member_mappings(catalog, link.to))
    return any(each.rows is not None and not each.is_change for each in (mapping, *targets))


async def _check_change(access: RowAccess, mapping: TypeMapping, change: RowChange) -> None:
    if not access.is_limited(mapping):
        return
    before: RowValues | None = None
    if change.kind is not ChangeKind.CREATE:
        before = await access.find_visible_row(mapping, change.key)
        is_hidden = before is None and (change.kind is not ChangeKind.PUT or await access.has_row(mapping, change.key))
        if is_hidden:
            raise _build_hidden_error(mapping, change.kind)
    if change.kind is not ChangeKind.DELETE:
        after = {**(before or {}), **change.key, **change.values, **mapping.constants}
        if not await access.would_see(mapping, after):
            raise ChangeRejected(OUT_OF_SIGHT, ErrorCode.FORBIDDEN)


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


async def _check_links(access: RowAccess, mapping: TypeMapping, change: RowChange) -> None:
    """Check that each row which the change names by its key, such as an order's customer, is one that is seen."""
    values = {**change.key, **change.values}
    for name, relationship in mapping.relationships.items():
        local, _ = get_relationship_columns(relationship)
        if change.values.keys().isdisjoint(local) or None in (key := tuple(values.get(column) for column in local)):
            continue
        if not resolve_target_type(access.catalog, mapping.type, name)[1] and not await _leads_to_visible(
            access, relationship, key
        ):
            raise ChangeRejected(f"`{local[0]}` names no `{relationship.to}`", ErrorCode.BAD_USER_INPUT)


async def _leads_to_visible(access: RowAccess, relationship: Relationship, key: tuple[object, ...]) -> bool:
    _, remote = get_relationship_columns(relationship)
    targets = list_member_mappings(access.catalog, relationship.to)
    if not all(access.is_limited(target) for target in targets):
        return True
    for target in targets:
        if await access.find_visible_row(target, dict(zip(remote, key, strict=True))) is not None:
            return True
    return False
