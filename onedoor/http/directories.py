"""Open what follows the company's directory: the routes of one that pushes, and the reading of one that is read.

The libraries of vendors are imported for what is configured alone.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING

from fastapi import APIRouter

from auth.directory.reports import RemovalLimits
from auth.directory.settings import DirectorySettings
from auth.groups import Groups
from auth.memberships import IdentitySource
from onedoor.administration.directory_acts import DirectoryActs
from onedoor.audit.acts import ActRecorder
from onedoor.audit.log import AuditLog
from onedoor.audit.record import Surface
from onedoor.storage.database import MetadataDatabase

if TYPE_CHECKING:
    from onedoor.http.scim import ScimEndpoint
    from onedoor.http.sign_in import SignInEndpoint


def load_directory_routers(settings: DirectorySettings) -> Sequence[APIRouter]:
    """Load the routes of the directory that is configured."""
    names = {"onedoor.http.scim": settings.scim, "onedoor.http.sign_in": settings.oidc}
    return [import_module(name).router for name, section in names.items() if section is not None]


def find_sign_in_path(settings: DirectorySettings) -> str:
    """Return where people sign in; empty: no provider is configured."""
    if settings.oidc is None:
        return ""
    path: str = import_module("onedoor.http.sign_in").SIGN_IN_PATH
    return path


def open_scim(settings: DirectorySettings, database: MetadataDatabase, groups: Groups) -> "ScimEndpoint | None":
    """Open what serves a directory that pushes; None: none is configured. Raises ConfigurationError."""
    if settings.scim is None:
        return None
    endpoint: ScimEndpoint = import_module("onedoor.http.scim").open_scim_endpoint(settings, database, groups)
    return endpoint


def open_sign_in(settings: DirectorySettings, database: MetadataDatabase, groups: Groups) -> "SignInEndpoint | None":
    """Open what signs people in; None: no provider is configured. Raises ConfigurationError."""
    if settings.oidc is None:
        return None
    module = import_module("onedoor.http.sign_in")
    endpoint: SignInEndpoint = module.open_sign_in_endpoint(settings, database, groups)
    return endpoint


@asynccontextmanager
async def follow_directories(
    settings: DirectorySettings,
    *,
    database: MetadataDatabase,
    groups: Groups,
    audit_log: AuditLog,
    redaction_key: bytes,
) -> AsyncIterator[None]:
    """Follow the directories that are configured until left, if this process is to. Raises ConfigurationError."""

    def build_acts(source: IdentitySource, surface: Surface) -> DirectoryActs:
        return DirectoryActs(
            database=database,
            source=source,
            groups=groups,
            limits=RemovalLimits(percent=settings.removed_percent, people=settings.removed_people),
            recorder=ActRecorder(audit_log=audit_log, surface=surface, redaction_key=redaction_key),
        )

    async with AsyncExitStack() as stack:
        if settings.scim is not None and settings.here:
            acts = build_acts(IdentitySource.SCIM, Surface.SCIM)
            stack.push_async_callback(_cancel, asyncio.create_task(acts.follow_register()))
        if settings.ldap is not None:
            ldap_follower = import_module("onedoor.administration.ldap_follower")
            follower = ldap_follower.build_ldap_follower(settings.ldap, build_acts(IdentitySource.LDAP, Surface.LDAP))
            if settings.here:
                await stack.enter_async_context(ldap_follower.follow_ldap(follower))
        yield


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
