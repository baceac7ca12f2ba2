"""Lend groups to people in tests, and take them back."""

from datetime import timedelta

from auth.grant_store import GrantStore, list_held_grants, mint_grant_id
from auth.grants import AccessRequest, Grant, GrantStep, HeldGrant
from auth.users import find_user_id
from onedoor.storage.database import MetadataDatabase
from tests import acme


def lend(database: MetadataDatabase, email: str, group: str) -> HeldGrant:
    """Put a person into one of Acme's groups for an hour."""
    store, person_id = GrantStore(database=database, groups=acme.GROUPS), find_user_id(database, email)
    asked = AccessRequest(person_id=person_id, group=acme.GROUPS[group], duration=timedelta(hours=1))
    id = mint_grant_id()
    store.lend({id: asked}, GrantStep(at=database.now(), actor="os:root", reason="ticket 7"))
    return next(grant for grant in list_held_grants(database, person_id) if grant.id == id)


def give_back(database: MetadataDatabase, email: str, grant: HeldGrant) -> Grant:
    step = GrantStep(at=database.now(), actor=find_user_id(database, email))
    return GrantStore(database=database, groups=acme.GROUPS).give_back(grant.id, step)
