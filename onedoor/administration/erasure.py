"""Erase the name of a person: what they did stays on record under their id, and nothing says any more whose it is."""

from sqlalchemy import delete, select, update

from auth import users
from auth.attribution import Attribution, SubjectChange, name_change
from onedoor.errors import ConfigurationError
from onedoor.jobs.tables import job_table
from onedoor.storage.database import MetadataDatabase
from onedoor.storage.directory_tables import directory_change_table, directory_identity_table, directory_user_table
from onedoor.storage.tables import user_table

ERASED_NAME = "erased"

ERASED_DOMAIN = "erased.invalid"
"""No address is ever given in it (RFC 2606)."""


def erase_person(database: MetadataDatabase, user: str, attribution: Attribution) -> str:
    """Erase name, address and attributes of a deactivated person, wherever they stand, and return their id.

    Raises ConfigurationError where they are active, a service, or still named by a directory.
    """
    with database.write_transaction() as connection:
        row = users.find_user(connection, user)
        if row.owner_group is not None:
            raise ConfigurationError(f"`{row.email}` is a service, which has no name to erase")
        if row.deactivated_at is None:
            raise ConfigurationError(f"`{row.email}` is active: deactivate them first")
        named = select(directory_user_table.c.id).filter_by(person_id=row.id)
        if connection.execute(named).first() is not None:
            raise ConfigurationError(f"the directory still names `{row.email}`: delete them there first")
        email = f"{row.id.encode().hex()}@{ERASED_DOMAIN}"  # ids tell cases apart, addresses do not
        connection.execute(
            update(user_table)
            .filter_by(id=row.id)
            .values(
                first_name=ERASED_NAME,
                last_name="",
                email=email,
                email_folded=users.fold_email(email),
                attributes=users.dump_attributes({}),
            )
        )
        connection.execute(update(job_table).filter_by(person_id=row.id).values(person_name=ERASED_NAME))
        connection.execute(update(directory_change_table).filter_by(person_id=row.id).values(subject=ERASED_NAME))
        connection.execute(delete(directory_identity_table).filter_by(person_id=row.id))
        name_change(connection, attribution, SubjectChange(type="User", id=row.id, verb="erase", person_id=row.id))
    return str(row.id)
