"""Keep duties separate: whoever has made an account, or has seen its key, neither gives it access nor decides for it.

What somebody did is known from `administrative_change`, where it stands for good.
"""

from collections.abc import Collection

from sqlalchemy import Connection, or_, select, tuple_

from auth.groups import EVERYONE
from onedoor.storage.database import MetadataDatabase
from onedoor.storage.tables import administrative_change_table, user_table

Deed = tuple[str, str]
"""The type of what is changed, and the verb, as `SubjectChange` has them."""

MAKING: Collection[Deed] = (("User", "create"), ("User", "change-email"))
"""What says where the key of an account goes."""

SHOWING: Collection[Deed] = (("Key", "create"), ("Key", "rotate"))
"""What shows a secret to whoever does it."""

GIVING: Collection[Deed] = (("Membership", "create"), ("User", "set-attributes"))
"""What widens what an account sees."""


def has_done(database: MetadataDatabase, actor: str, user_id: str, deeds: Collection[Deed]) -> bool:
    """Whether somebody has ever done one of these deeds to a user; that everybody is in `everyone` is nobody's deed."""
    change = administrative_change_table.c
    statement = select(change.record_id).where(
        change.person_id == user_id,
        change.actor == actor,
        tuple_(change.type, change.verb).in_(list(deeds)),
        change.subject != f"{user_id}/{EVERYONE}",
    )
    with database.read_connection() as connection:
        return connection.execute(statement.limit(1)).first() is not None


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
