"""Check, while a request is under way, whether its principal still holds the grants under which it began."""

from collections.abc import Iterator, Sequence

from auth.authentication import Principal, drop_grants
from auth.grants import GrantEnded, HeldGrant
from onedoor.errors import ConnectorError
from onedoor.model.catalog import Catalog
from onedoor.model.names import get_row_type, list_concrete_types
from onedoor.query.authorize import authorize
from onedoor.query.context import QueryEngine
from onedoor.query.selection import SelectedField
from onedoor.storage.database import MetadataDatabaseUnavailable


async def find_ended_grants(engine: QueryEngine, principal: Principal) -> Sequence[HeldGrant]:
    """Return the grants of a principal that have ended. Raises ConnectorError where nobody knows."""
    if not principal.grants:
        return ()
    try:
        return await engine.find_ended_grants(principal.grants)
    except MetadataDatabaseUnavailable:
        raise ConnectorError("grants cannot be checked now, ask again") from None


async def check_grants(engine: QueryEngine, principal: Principal) -> None:
    """Raise GrantEnded where a grant of a principal has ended, and ConnectorError where nobody knows."""
    ended = await find_ended_grants(engine, principal)
    if ended:
        raise GrantEnded(ended[0])


async def leave_ended_grants(
    engine: QueryEngine, principal: Principal, catalog: Catalog, field: SelectedField
) -> Principal:
    """Return a principal without the grants that an action of theirs has ended, where they see the field all the same.

    Raises GrantEnded, and ConnectorError where nobody knows.
    """
    ended = await find_ended_grants(engine, principal)
    left = drop_grants(principal, ended)
    if ended and not is_shown_alike(catalog, field, left.groups):
        raise GrantEnded(ended[0])
    return left


def is_shown_alike(catalog: Catalog, field: SelectedField, groups: frozenset[str]) -> bool:
    """Whether a field shows these groups all that it shows those with more: nothing is denied, limited or masked."""
    decisions = authorize(catalog.schema, catalog.policy, (field,), groups)
    mappings = (catalog.mappings.get(type) for type in _list_row_types(catalog, field))
    return all(decision.allowed for decision in decisions.values()) and not any(
        mapping is not None and (mapping.rows is not None or mapping.mask) for mapping in mappings
    )


def _list_row_types(catalog: Catalog, field: SelectedField) -> Iterator[str]:
    """Yield the types of the rows that a field and those below it lead to."""
    pending = [field]
    while pending:
        selected = pending.pop()
        row_type = get_row_type(selected.return_type)
        yield row_type.name
        yield from list_concrete_types(catalog.schema, row_type)
        pending.extend(child for children in selected.children_by_type.values() for child in children)
