"""Store the resources of SCIM 2.0 (RFC 7643) in the metadata database, and let people and memberships follow them.

Every call blocks: a request is served in a thread of its own, with an event loop of its own.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, Union, cast

import orjson
from scim2_models import (
    ConflictException,
    InvalidValueException,
    Meta,
    NotFoundException,
    Path,
    PreconditionFailedException,
    Resource,
    ResourceType,
    ResponseParameters,
    ScimFilter,
    ScimProvider,
    SearchRequest,
    UniquenessException,
)
from scim2_models.path import CompareOperator, Comparison
from scim2_server.storage import AsyncScimStorage, SearchPage
from scim2_server.utils import parametrize
from sqlalchemy import Connection, Table, delete, insert, select, update
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError

from auth.attribution import Attribution, SubjectChange, name_change
from auth.directory.memberships import confirm_memberships, list_users_below, refresh_memberships
from auth.directory.people import Account, apply_account, build_account, remove_person
from auth.directory.reports import (
    DirectoryRefusal,
    RemovalLimits,
    RemovalsHalted,
    Sync,
    lock_source,
    mint_directory_id,
    report_refusal,
)
from auth.groups import Groups
from auth.memberships import IdentitySource
from auth.users import fold_email
from onedoor.storage.database import MetadataDatabase
from onedoor.storage.directory_tables import directory_group_table, directory_member_table, directory_user_table

Result = TypeVar("Result")

USER_TYPE, GROUP_TYPE = "User", "Group"

TABLES = {USER_TYPE: directory_user_table, GROUP_TYPE: directory_group_table}

EQUALITY_COLUMNS: Mapping[tuple[str, str], tuple[str, Callable[[str], str]]] = {
    (USER_TYPE, "username"): ("user_name_folded", fold_email),
    (USER_TYPE, "externalid"): ("external_id", str),
    (USER_TYPE, "id"): ("id", str),
    (GROUP_TYPE, "externalid"): ("external_id", str),
    (GROUP_TYPE, "id"): ("id", str),
}
"""By type and attribute in small letters, the column with an index that `eq` is looked up in, and its form there."""

UNSTORED_FIELDS = {"id", "meta", "password", "groups", "members"}
"""What has columns or rows of its own, is computed, or is never stored: a password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScimDirectory:
    """What the requests of a SCIM client share."""

    database: MetadataDatabase
    groups: Groups
    limits: RemovalLimits = field(default_factory=RemovalLimits)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """By name of a person's attribute, the path of the SCIM attribute that it is taken from."""


class ScimStorage(AsyncScimStorage):
    """The storage of one request. Before its first write it calls `begin`, which makes the request's record durable."""

    def __init__(
        self,
        directory: ScimDirectory,
        provider: ScimProvider,
        attribution: Attribution,
        begin: Callable[[SubjectChange], Awaitable[None]],
    ) -> None:
        self.directory, self.provider, self.attribution, self.begin = directory, provider, attribution, begin

    async def get(
        self,
        resource_type: ResourceType,
        resource_id: str,
        *,
        response_parameters: ResponseParameters[Any] | None = None,
    ) -> Resource[Any]:
        """Return a resource. Raises NotFoundException."""
        with self.directory.database.read_connection() as connection:
            return self._load(connection, resource_type, resource_id)

    async def search(
        self, resource_types: list[ResourceType], search_request: SearchRequest[Any], *, position: Any = None
    ) -> SearchPage:
        """Return one page of what the filter keeps, sorted; of what is not sorted, the oldest first.

        A filter by `eq` of a user name or an id is looked up; any other reads every resource of the types.
        """
        scim_filter = search_request.filter
        with self.directory.database.read_connection() as connection:
            found = [
                resource
                for resource_type in {type.name: type for type in resource_types}.values()
                for resource in self._load_candidates(connection, resource_type, scim_filter)
            ]
        if scim_filter is not None and not scim_filter.models and found:
            models = tuple(dict.fromkeys(type(resource) for resource in found))
            scim_filter = parametrize(ScimFilter, Union[models])(str(scim_filter))  # noqa: UP007
        if scim_filter is not None:
            found = [resource for resource in found if scim_filter.match(resource)]
        found = search_request.sort(found)
        start = search_request.start_index_0 or 0
        end = None if search_request.count is None else start + search_request.count
        return SearchPage(total=len(found), resources=found[start:end])

    async def create(self, resource_type: ResourceType, resource: Resource[Any]) -> Resource[Any]:
        """Store a new resource under an id of ours. Raises UniquenessException, ConflictException."""
        id = mint_directory_id()

        def act(sync: Sync) -> Resource[Any]:
            values = {"id": id, "source": sync.source, "version": 1, "created_at": sync.now, "modified_at": sync.now}
            table, columns = TABLES[str(resource_type.name)], self._build_columns(sync, resource_type, id, resource)
            sync.connection.execute(insert(table).values({**values, **columns}))
            self._follow(sync, resource_type, id, resource, before=None)
            return self._load(sync.connection, resource_type, id)

        return await self._write(resource_type, id, "create", act)

    async def update(
        self, resource_type: ResourceType, resource: Resource[Any], *, expected_version: str | None = None
    ) -> Resource[Any]:
        """Replace a resource. Raises NotFoundException, PreconditionFailedException, UniquenessException."""
        id = str(resource.id)

        def act(sync: Sync) -> Resource[Any]:
            row = self._find(sync.connection, resource_type, id)
            _check_version(row, expected_version)
            columns = self._build_columns(sync, resource_type, id, resource)
            changed = {**columns, "version": row.version + 1, "modified_at": sync.now}
            sync.connection.execute(update(TABLES[str(resource_type.name)]).filter_by(id=id).values(changed))
            self._follow(sync, resource_type, id, resource, before=row)
            return self._load(sync.connection, resource_type, id)

        return await self._write(resource_type, id, "update", act)

    async def delete(
        self, resource_type: ResourceType, resource_id: str, *, expected_version: str | None = None
    ) -> None:
        """Delete a resource; the person of a user is deactivated. Raises as `update` does."""

        def act(sync: Sync) -> None:
            row = self._find(sync.connection, resource_type, resource_id)
            _check_version(row, expected_version)
            if resource_type.name == USER_TYPE:
                self._delete_user(sync, row)
            else:
                self._delete_group(sync, row)

        await self._write(resource_type, resource_id, "delete", act)

    async def _write(self, resource_type: ResourceType, id: str, verb: str, act: Callable[[Sync], Result]) -> Result:
        """Carry an act out in a transaction, once the request's record has begun, and report a refusal."""
        change = SubjectChange(type=f"Directory{resource_type.name}", id=id, verb=verb)
        await self.begin(change)
        database = self.directory.database
        try:
            with database.write_transaction() as connection:
                sync = self._open_sync(connection)
                result = act(sync)
                name_change(connection, self.attribution, change)
                return result
        except DirectoryRefusal as refusal:
            with database.write_transaction() as connection:
                report_refusal(self._open_sync(connection), refusal)
            error = ConflictException if isinstance(refusal, RemovalsHalted) else UniquenessException
            raise error(detail=str(refusal)) from None
        except IntegrityError as reason:
            raise UniquenessException(detail="another request wrote the same just now: try again") from reason

    def _open_sync(self, connection: Connection) -> Sync:
        lock_source(connection, IdentitySource.SCIM)
        return Sync(
            connection=connection, source=IdentitySource.SCIM, groups=self.directory.groups,
            now=self.directory.database.now(), attribution=self.attribution,
            pepper=self.directory.database.pepper, limits=self.directory.limits,
        )  # fmt: skip

    def _find(self, connection: Connection, resource_type: ResourceType, id: str) -> Row[Any]:
        statement = select(TABLES[str(resource_type.name)]).filter_by(id=id, source=IdentitySource.SCIM)
        row = connection.execute(statement).first()
        if row is None:
            raise NotFoundException(detail=f"there is no {resource_type.name} with this id")
        return row

    def _load(self, connection: Connection, resource_type: ResourceType, id: str) -> Resource[Any]:
        (resource,) = self._build_resources(connection, resource_type, [self._find(connection, resource_type, id)])
        return resource

    def _load_candidates(
        self, connection: Connection, resource_type: ResourceType, scim_filter: ScimFilter[Any] | None
    ) -> Sequence[Resource[Any]]:
        table = TABLES[str(resource_type.name)]
        statement = select(table).filter_by(source=IdentitySource.SCIM, **_find_equality(resource_type, scim_filter))
        rows = connection.execute(statement.order_by(table.c.created_at, table.c.id)).all()
        return self._build_resources(connection, resource_type, rows)

    def _build_resources(
        self, connection: Connection, resource_type: ResourceType, rows: Sequence[Row[Any]]
    ) -> Sequence[Resource[Any]]:
        model = cast(Any, self.provider.model_for(resource_type))
        load_links = _load_groups_of_users if resource_type.name == USER_TYPE else _load_members
        name = "groups" if resource_type.name == USER_TYPE else "members"
        links = load_links(connection, [row.id for row in rows])
        resources = []
        for row in rows:
            document = orjson.loads(row.resource)
            resource = model.model_validate({**document, **({name: links[row.id]} if row.id in links else {})})
            resource.id = row.id
            resource.meta = Meta(
                resource_type=resource_type.name, created=row.created_at, last_modified=row.modified_at,
                version=_format_version(row.version),
            )  # fmt: skip
            resources.append(resource)
        return resources

    def _build_columns(
        self, sync: Sync, resource_type: ResourceType, id: str, resource: Resource[Any]
    ) -> dict[str, Any]:
        """Build what is stored of a resource. Raises UniquenessException."""
        document = resource.model_copy(update=dict.fromkeys(UNSTORED_FIELDS & type(resource).model_fields.keys()))
        columns = {
            "external_id": resource.external_id,
            "resource": orjson.dumps(document.model_dump(mode="json")).decode(),
        }
        if resource_type.name == GROUP_TYPE:
            return {**columns, "display_name": cast(Any, resource).display_name}
        user = cast(Any, resource)
        folded = fold_email(user.user_name)
        same = select(directory_user_table.c.id).filter_by(source=sync.source, user_name_folded=folded)
        if sync.connection.execute(same.where(directory_user_table.c.id != id)).first() is not None:
            raise UniquenessException(detail="there is already a user with this userName, however it is written")
        active = user.active is not False
        return {**columns, "user_name": user.user_name, "user_name_folded": folded, "active": active}

    def _follow(
        self, sync: Sync, resource_type: ResourceType, id: str, resource: Resource[Any], before: Row[Any] | None
    ) -> None:
        """Let people and memberships follow a resource that was written; `before` is how it was stored."""
        if resource_type.name == USER_TYPE:
            self._follow_user(sync, id, resource, before)
            return
        members = _read_members(sync.connection, cast(Any, resource).members or ())
        was_below = list_users_below(sync.connection, [id])
        _replace_members(sync, id, members)
        affected = was_below | list_users_below(sync.connection, [id])
        refresh_memberships(sync, affected)

    def _follow_user(self, sync: Sync, id: str, resource: Resource[Any], before: Row[Any] | None) -> None:
        account = describe_account(resource, self.directory.attributes)
        known_id = None if before is None else before.person_id
        was_active = before is not None and before.active
        person_id = apply_account(sync, account, person_id=known_id, was_active=was_active)
        if person_id is not None and known_id is None:
            sync.connection.execute(update(directory_user_table).filter_by(id=id).values(person_id=person_id))
        refresh_memberships(sync, [id])

    def _delete_user(self, sync: Sync, row: Row[Any]) -> None:
        if row.person_id is not None:
            remove_person(sync, row.person_id)
            sync.connection.execute(update(directory_user_table).filter_by(id=row.id).values(active=False))
            refresh_memberships(sync, [row.id])
        _remove_from_groups(sync, row.id)
        sync.connection.execute(delete(directory_user_table).filter_by(id=row.id))

    def _delete_group(self, sync: Sync, row: Row[Any]) -> None:
        affected = list_users_below(sync.connection, [row.id])
        _replace_members(sync, row.id, ())
        _remove_from_groups(sync, row.id)
        sync.connection.execute(delete(directory_group_table).filter_by(id=row.id))
        refresh_memberships(sync, affected)


def confirm_scim_memberships(directory: ScimDirectory) -> None:
    """Confirm the memberships from SCIM: its client is there, and pushes whatever changes."""
    with directory.database.write_transaction() as connection:
        confirm_memberships(connection, IdentitySource.SCIM, directory.database.now())


def describe_account(resource: Resource[Any], attributes: Mapping[str, Any]) -> Account:
    """Return what a SCIM user says of its person; of several addresses the primary one, or else that of work."""
    user = cast(Any, resource)
    emails = sorted(user.emails or (), key=lambda email: (not email.primary, email.type != "work"))
    path = parametrize(Path, type(resource))
    return build_account(
        user_name=user.user_name,
        active=user.active is not False,
        emails=[*(email.value for email in emails), user.user_name],
        given_name=user.name and user.name.given_name,
        family_name=user.name and user.name.family_name,
        display_name=user.display_name or (user.name and user.name.formatted),
        attributes={name: _list_texts(path(where).get(resource, strict=False)) for name, where in attributes.items()},
    )


def _list_texts(value: Any) -> tuple[str, ...]:
    """Return the values of an attribute as texts; those of entries are their `value`."""
    values = value if isinstance(value, list) else [value]
    texts = (getattr(entry, "value", entry) for entry in values)
    return tuple(str(text) for text in texts if text is not None and text != "")


def _format_version(version: int) -> str:
    return f'W/"{version}"'


def _check_version(row: Row[Any], expected: str | None) -> None:
    if expected is not None and expected != _format_version(row.version):
        raise PreconditionFailedException


def _find_equality(resource_type: ResourceType, scim_filter: ScimFilter[Any] | None) -> dict[str, str]:
    """Return the column and the value that a filter by `eq` looks up; empty for any other filter."""
    node = None if scim_filter is None else scim_filter.ast
    if not isinstance(node, Comparison) or node.op is not CompareOperator.eq or not isinstance(node.value, str):
        return {}
    attribute = str(node.attr_path).rsplit(":", 1)[-1].lower()
    column = EQUALITY_COLUMNS.get((str(resource_type.name), attribute))
    return {} if column is None else {column[0]: column[1](node.value)}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMember:
    """A direct member of a directory's group."""

    id: str
    is_group: bool
    display: str | None


def _read_members(connection: Connection, members: Iterable[Any]) -> Collection[StoredMember]:
    """Read the members of a group. Raises InvalidValueException for one that there is not."""
    named = {member.value: member.display for member in members}
    users, groups = (_filter_known(connection, table, named) for table in TABLES.values())
    for id in named:
        if id not in users and id not in groups:
            raise InvalidValueException(detail="a member of the group is no User and no Group here")
    return [StoredMember(id=id, is_group=id in groups, display=display) for id, display in named.items()]


def _filter_known(connection: Connection, table: Table, ids: Iterable[str]) -> frozenset[str]:
    statement = select(table.c.id).where(table.c.source == IdentitySource.SCIM, table.c.id.in_(list(ids)))
    return frozenset(connection.execute(statement).scalars())


def _replace_members(sync: Sync, group_id: str, members: Collection[StoredMember]) -> None:
    """Store the members of a group; the version of each user who came or left changes with `User.groups`."""
    rows = sync.connection.execute(select(directory_member_table).filter_by(group_id=group_id))
    stored = {StoredMember(id=row.member_id, is_group=row.is_group, display=row.display) for row in rows}
    wanted = set(members)
    for member in stored - wanted:
        sync.connection.execute(delete(directory_member_table).filter_by(group_id=group_id, member_id=member.id))
    for member in wanted - stored:
        values = {"group_id": group_id, "member_id": member.id}
        sync.connection.execute(
            insert(directory_member_table).values(**values, is_group=member.is_group, display=member.display)
        )
    moved = {member.id for member in stored} ^ {member.id for member in wanted}
    _touch(sync, directory_user_table, moved)


def _remove_from_groups(sync: Sync, member_id: str) -> None:
    """Remove what is deleted from the groups it was in."""
    where = {"member_id": member_id}
    group_ids = sync.connection.execute(select(directory_member_table.c.group_id).filter_by(**where)).scalars().all()
    sync.connection.execute(delete(directory_member_table).filter_by(**where))
    _touch(sync, directory_group_table, group_ids)


def _touch(sync: Sync, table: Table, ids: Collection[str]) -> None:
    """Give resources another version."""
    if ids:
        changed = update(table).where(table.c.id.in_(ids))
        sync.connection.execute(changed.values(version=table.c.version + 1, modified_at=sync.now))


def _load_members(connection: Connection, group_ids: Sequence[str]) -> Mapping[str, list[dict[str, Any]]]:
    members: dict[str, list[dict[str, Any]]] = {}
    statement = select(directory_member_table).order_by(directory_member_table.c.member_id)
    for row in connection.execute(_restrict(statement, directory_member_table.c.group_id, group_ids)):
        type_name = GROUP_TYPE if row.is_group else USER_TYPE
        member = {"value": row.member_id, "$ref": f"{type_name}s/{row.member_id}", "type": type_name}
        members.setdefault(row.group_id, []).append(member | ({"display": row.display} if row.display else {}))
    return members


def _load_groups_of_users(connection: Connection, user_ids: Sequence[str]) -> Mapping[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    table = directory_member_table
    statement = (
        select(table.c.member_id, directory_group_table.c.id, directory_group_table.c.display_name)
        .join_from(table, directory_group_table)
        .order_by(directory_group_table.c.display_name, directory_group_table.c.id)
    )
    for member_id, id, name in connection.execute(_restrict(statement, table.c.member_id, user_ids)):
        group = {"value": id, "$ref": f"{GROUP_TYPE}s/{id}", "display": name, "type": "direct"}
        groups.setdefault(member_id, []).append(group)
    return groups


def _restrict(statement: Any, column: Any, ids: Sequence[str]) -> Any:
    """Restrict a statement to some ids; to very many it reads everything, which is as fast."""
    return statement.where(column.in_(ids)) if len(ids) <= IDS_LOOKED_UP else statement


IDS_LOOKED_UP = 500
