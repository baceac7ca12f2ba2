"""Serve SCIM 2.0 (RFC 7644) to the one client that holds the credential, and describe the service to it.

Where the specification leaves room it is read as Microsoft Entra ID and Okta need it; what they send that no schema
declares is ignored.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from scim2_models import (
    AuthenticationScheme,
    Bulk,
    ChangePassword,
    EnterpriseUser,
    ETag,
    Filter,
    Group,
    Patch,
    ResourceType,
    SCIMException,
    ScimPolicy,
    ScimProvider,
    ServiceProviderConfig,
    Sort,
    UnauthorizedException,
    User,
    default_comparison_key,
)
from scim2_server.applications.asgi import ASGIApplication
from scim2_server.requests import ScimRequest
from scim2_server.responses import ScimResponse
from scim2_server.service import ScimService
from sqlalchemy.exc import SQLAlchemyError

from auth.attribution import Attribution, SubjectChange
from auth.authentication import name_directory
from auth.directory.reports import DIRECTORY_REASON
from auth.directory.scim_storage import ScimDirectory, ScimStorage
from auth.key_format import hash_secret, is_same_digest
from auth.memberships import IdentitySource
from auth.users import fold_email
from onedoor.storage.database import MetadataDatabaseUnavailable

USER_NAME_URN = "urn:ietf:params:scim:schemas:core:2.0:User:userName"

RESULTS_MAX = 200
"""Resources on one page."""

BULK_OPERATIONS_MAX = 1_000

BULK_BYTES_MAX = 1024 * 1024


def compare_folded(binding: Any, value: str) -> str:
    """Return what two texts have in common that are equal: for user names, whatever letters and widths they use."""
    return fold_email(value) if binding.urn == USER_NAME_URN else default_comparison_key(binding, value)


POLICY = ScimPolicy(
    unknown=ScimPolicy.Unknown.ignore,
    remove_value_as_filter=ScimPolicy.RemoveValue.apply,
    unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
    comparison_key=compare_folded,
)

CONFIG = ServiceProviderConfig(
    patch=Patch(supported=True),
    bulk=Bulk(supported=True, max_operations=BULK_OPERATIONS_MAX, max_payload_size=BULK_BYTES_MAX),
    filter=Filter(supported=True, max_results=RESULTS_MAX),
    change_password=ChangePassword(supported=False),
    sort=Sort(supported=True),
    etag=ETag(supported=True),
    authentication_schemes=[
        AuthenticationScheme(
            type=AuthenticationScheme.Type.oauthbearertoken,
            name="Bearer token",
            description="The token of the setting `directory.scim.token`, in the header `Authorization`.",
        )
    ],
)


def build_provider() -> ScimProvider:
    """Describe the service: users with the enterprise extension, and groups."""
    return ScimProvider(
        models=[User, EnterpriseUser, Group],
        resource_types=[ResourceType.from_resource(User[EnterpriseUser]), ResourceType.from_resource(Group)],
        config=CONFIG,
        policy=POLICY,
    )


class ScimApplication(ASGIApplication):
    """Serves one request, under the credential that `is_authentic` knows; nothing is served without it."""

    def __init__(self, storage: ScimStorage, service: ScimService, is_authentic: Callable[[str | None], bool]) -> None:
        super().__init__(storage, service.provider, service)
        self.is_authentic = is_authentic

    def handle_exception(self, request: ScimRequest, exception: Exception) -> ScimResponse:
        """Build the response to a refused request. Raises what is no refusal of SCIM."""
        if not isinstance(exception, SCIMException):
            raise exception
        return self.service.error_response(exception)

    def needs_auth(self, request: ScimRequest) -> bool:
        """Require the credential for every request, the description of the service included."""
        return True

    def check_auth(self, request: ScimRequest) -> None:
        """Raise UnauthorizedException for a request without the credential."""
        scheme, _, token = (request.header("authorization") or "").partition(" ")
        if scheme.lower() != "bearer" or not self.is_authentic(token.strip()):
            raise UnauthorizedException(detail="send `Authorization: Bearer <token>`")


class RaisingService(ScimService):
    """Lets what is no refusal of SCIM end the whole request, whose record then says so."""

    def bulk_failure(self, outcome: dict[str, Any], exception: Exception) -> dict[str, Any]:
        """Return the outcome of an operation that was refused. Raises anything else."""
        if not isinstance(exception, SCIMException):
            raise exception
        return super().bulk_failure(outcome, exception)


@dataclass(frozen=True, slots=True)
class ScimServer:
    """What the requests of a process share."""

    directory: ScimDirectory
    token_digest: bytes = field(repr=False)
    service: ScimService = field(default_factory=lambda: RaisingService(build_provider()))

    def is_authentic(self, token: str | None) -> bool:
        """Whether a token is the credential, in a time that does not tell how much of it is right."""
        return is_same_digest(hash_secret(self.directory.database.pepper, token or ""), self.token_digest)

    def open_exchange(self, record_id: str, begin: Callable[[SubjectChange], Awaitable[None]]) -> "ScimExchange":
        """Open what one request needs; `begin` is awaited in the loop that serves it, before anything is changed."""
        attribution = Attribution(
            actor=name_directory(IdentitySource.SCIM), reason=DIRECTORY_REASON, record_id=record_id
        )
        beginning = Beginning(begin, asyncio.get_running_loop())
        storage = ScimStorage(self.directory, self.service.provider, attribution, beginning.await_from_thread)
        return ScimExchange(ScimApplication(storage, self.service, self.is_authentic))


@dataclass(slots=True)
class Beginning:
    """The beginning of a record, which is made durable once, from whatever thread."""

    begin: Callable[[SubjectChange], Awaitable[None]]
    loop: asyncio.AbstractEventLoop
    has_begun: bool = False

    async def await_from_thread(self, act: SubjectChange) -> None:
        """Return when the record has begun. Raises what `begin` raises."""
        if not self.has_begun:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_await(self.begin(act)), self.loop))
            self.has_begun = True


async def _await(work: Awaitable[None]) -> None:
    await work


@dataclass(frozen=True, slots=True)
class ScimExchange:
    """One request and its response."""

    application: ScimApplication

    async def serve(self, request: ScimRequest) -> ScimResponse:
        """Serve the request in a thread of its own. Raises MetadataDatabaseUnavailable, and what `begin` raises."""
        try:
            return await asyncio.to_thread(asyncio.run, self.application.serve(request))
        except SQLAlchemyError as reason:
            raise MetadataDatabaseUnavailable("the metadata database does not answer") from reason
