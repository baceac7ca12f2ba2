"""Keep duties separate: whoever has made an account, or has seen its key, neither gives it access nor decides for it.

What somebody did is known from `administrative_change`, where it stands for good.
"""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, or_, select, tuple_, union_all

from auth.groups import EVERYONE
from onedoor.storage.database import MetadataDatabase
from onedoor.storage.directory_tables import key_claim_table
from onedoor.storage.tables import administrative_change_table, key_table, user_table

Deed = tuple[str, str]
"""The type of what is changed, and the verb, as `SubjectChange` has them."""

MAKING: Collection[Deed] = (("User", "create"), ("User", "change-email"))
"""What says where the key of an account goes."""

SHOWING: Collection[Deed] = (("Key", "create"), ("Key", "rotate"))
"""What shows a secret to whoever does it."""

GIVING: Collection[Deed] = (("Membership", "create"), ("User", "set-attributes"))
"""What widens what an account sees."""

WIDENING_REFUSED = "nobody widens what they see themselves: ask another administrator"

MAKER_REFUSED = (
    "you have made this account, or chosen its address, and it has a key or a link by now: ask another administrator"
)


def has_done(database: MetadataDatabase, actor: str, user_id: str, deeds: Collection[Deed]) -> bool:
    """Whether somebody has ever done one of these deeds to a user; that everybody is in `everyone` is nobody's deed."""
    with database.read_connection() as connection:
        return _is_on_record(connection, actor, user_id, deeds)


def explain_refused_widening(connection: Connection, actor: str | None, user_id: str, now: datetime) -> str | None:
    """Return why somebody may not give a user groups or attributes; None: they may.

    Whoever makes an account may do so until it has a key or a link: whoever sends the link sees what is there. Users of
    the operating system are bound by nothing.
    """
    if actor is None or connection.execute(select(user_table.c.id).filter_by(id=actor)).first() is None:
        return None
    if _is_on_record(connection, actor, user_id, SHOWING):
        return WIDENING_REFUSED
    if _is_on_record(connection, actor, user_id, MAKING) and _is_delivered(connection, user_id, now):
        return MAKER_REFUSED
    return None


def list_linked_users(connection: Connection, user_id: str) -> frozenset[str]:
    """Return the ids of the users whom this one has made, or whose key they have seen, and of those who did so to them.

    Either may be one person under two names. Directories, and users of the operating system, are none.
    """
    change = administrative_change_table.c
    statement = select(change.actor, change.person_id).where(
        tuple_(change.type, change.verb).in_([*MAKING, *SHOWING]),
        change.actor.in_(select(user_table.c.id)),
        or_(change.actor == user_id, change.person_id == user_id),
    )
    rows = connection.execute(statement).all()
    return frozenset(id for row in rows for id in row if id is not None) - {user_id}


def _is_on_record(connection: Connection, actor: str, user_id: str, deeds: Collection[Deed]) -> bool:
    change = administrative_change_table.c
    statement = select(change.record_id).where(
        change.person_id == user_id,
        change.actor == actor,
        tuple_(change.type, change.verb).in_(list(deeds)),
        change.subject != f"{user_id}/{EVERYONE}",
    )
    return connection.execute(statement.limit(1)).first() is not None


def _is_delivered(connection: Connection, person_id: str, now: datetime) -> bool:
    """Whether a person has a link, or a key that is not revoked: an expired one can be extended.

    The key of a service goes to its group, whoever made it.
    """
    keys = select(key_table.c.id).filter_by(person_id=person_id, revoked_at=None)
    unused = select(key_claim_table.c.id).filter_by(person_id=person_id, used_at=None, revoked_at=None)
    ways = union_all(keys, unused.where(key_claim_table.c.expires_at > now)).exists()
    people = select(user_table.c.id).filter_by(id=person_id, owner_group=None)
    return connection.execute(people.where(ways)).first() is not None
