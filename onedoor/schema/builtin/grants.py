"""Declare grants of groups for a limited time, what was done under them, and the mutations that take their steps."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import strawberry

from onedoor.schema.annotations import BigInt, ById, Many, One, allow, owned, with_input

if TYPE_CHECKING:
    from onedoor.schema.builtin.administration import UserAccount

EVERYONE = allow("everyone")

REVIEWERS = allow("access-review")

ADMINISTRATORS = allow("user-administration")

OWNED = owned("platform")

GRANT = "The id of the grant."


@strawberry.enum(
    description="How far a grant has come, from the request for it to its end; JOINED: it was asked for good, and is a "
    "membership."
)
class AccessGrantState(StrEnum):
    REQUESTED = "REQUESTED"
    WAITING = "WAITING"
    ACTIVE = "ACTIVE"
    JOINED = "JOINED"
    ENDED = "ENDED"
    DENIED = "DENIED"
    WITHDRAWN = "WITHDRAWN"
    LAPSED = "LAPSED"


@strawberry.enum(
    description="How a grant ended that was active: by its time, returned early, taken back by approvers, or lost with "
    "the account or the group."
)
class AccessGrantEnding(StrEnum):
    EXPIRED = "EXPIRED"
    RETURNED = "RETURNED"
    FORCED = "FORCED"
    REVOKED = "REVOKED"


@strawberry.type(
    description="A functional group that a person holds for a limited time, or is to be let into for good. You see "
    "your own, and what you asked for good for others; members of `access-review` and `audit` see all.",
    directives=[EVERYONE, OWNED],
)
class AccessGrant:
    id: strawberry.ID = strawberry.field(description="The id, as in `me { grants }` and in audit records.")
    group: str = strawberry.field(description="The name of the functional group.")
    person_id: str = strawberry.field(description="The id of the person, as in `me { id }`.")
    state: AccessGrantState = strawberry.field(description="How far it has come.")
    reason: str | None = strawberry.field(description="Why it was asked for.")
    requested_at: datetime = strawberry.field(description="When it was asked for.")
    requested_by: str | None = strawberry.field(description="Who asked: the person, or an administrator for them.")
    hours: float | None = strawberry.field(
        description="How long it lasts, from when it is active; null if it is asked for good."
    )
    starts_at: datetime = strawberry.field(description="It is not active before.")
    decided_at: datetime | None = strawberry.field(description="When it was approved or denied.")
    decided_by: str | None = strawberry.field(description="Who decided.")
    decision_reason: str | None = strawberry.field(description="Why, in the words of who decided.")
    active_since: datetime | None = strawberry.field(description="Since when it is, or was, active.")
    ends_at: datetime | None = strawberry.field(description="When it ends at the latest.")
    fencing_token: int | None = strawberry.field(
        description="The number of the grant among those of its group that were active: changes are stored with it."
    )
    ended_at: datetime | None = strawberry.field(description="When it ended, or was withdrawn, or lapsed.")
    ended_by: str | None = strawberry.field(description="Who ended it; null if time did.")
    end_reason: str | None = strawberry.field(description="Why, in the words of who ended it.")
    ending: AccessGrantEnding | None = strawberry.field(description="How it ended, if it was active.")
    account: One["UserAccount"] = strawberry.field(description="The person, for those who may see users.")
    report: One["AccessReport"] = strawberry.field(
        description="What was done under it; nothing is added once it has ended."
    )


@strawberry.type(
    description="What was done under a grant, made from the audit records that carry its id.",
    directives=[EVERYONE, OWNED],
)
class AccessReport:
    id: strawberry.ID = strawberry.field(description="The id of the grant.")
    request_count: int = strawberry.field(description="The number of requests.")
    change_count: int = strawberry.field(description="The number of changes.")
    rows: BigInt = strawberry.field(description="The number of rows that answers are made of.")
    requests: Many["AccessReportRequest"] = strawberry.field(description="The requests, of every surface.")
    fields: Many["AccessReportField"] = strawberry.field(description="The fields that they served.")
    changes: Many["AccessReportChange"] = strawberry.field(description="The changes that they made.")


@strawberry.type(description="A request that was made under a grant.", directives=[EVERYONE, OWNED])
class AccessReportRequest:
    id: strawberry.ID = strawberry.field(description="The ids of the grant and of the audit record.")
    record: str = strawberry.field(description="The id of the audit record.")
    time: datetime = strawberry.field(description="When it arrived.")
    surface: str = strawberry.field(description="How it arrived.")
    outcome: str = strawberry.field(description="Its outcome, as in `RequestOutcome`.")
    operation: str | None = strawberry.field(description="The name of the operation, if it has one.")
    rows: int = strawberry.field(description="The number of rows that the answer is made of.")


@strawberry.type(description="A field that was served under a grant.", directives=[EVERYONE, OWNED])
class AccessReportField:
    id: strawberry.ID = strawberry.field(description="The id of the grant and the field.")
    coordinate: str = strawberry.field(description="The field, such as `Customer.creditLimit`.")
    request_count: int = strawberry.field(description="The number of requests that served it.")


@strawberry.type(description="A change that was made under a grant.", directives=[EVERYONE, OWNED])
class AccessReportChange:
    id: strawberry.ID = strawberry.field(description="The ids of the grant, of the audit record and of the change.")
    record: str = strawberry.field(description="The id of the audit record.")
    change: str = strawberry.field(description="The id of the change.")
    change_type: str = strawberry.field(description="The type that was changed.")
    verb: str = strawberry.field(description="What was done to it.")
    state: str = strawberry.field(description="How it ended, as in `ChangeState`.")


@strawberry.type
class Query:
    access_grant: ById["AccessGrant"] = strawberry.field(description="The grant, or request for one, with this id.")
    access_grants: Many["AccessGrant"] = strawberry.field(description="The grants, and requests for them, you may see.")


@strawberry.input(description="The group to ask for.")
class RequestAccessInput:
    group: str = strawberry.field(description="The name of the functional group.")
    hours: float | None = strawberry.field(description="How long it is needed: 1 hour if not given.")
    starts_at: datetime | None = strawberry.field(description="When it is needed from; at once if not given.")
    reason: str = strawberry.field(description="Why, for those who decide and for the record.")


@strawberry.input(description="The user to let into a group, once its approvers have agreed.")
class RequestMembershipInput:
    user: str = strawberry.field(description="The user, by id or e-mail address; a service by its name.")
    group: str = strawberry.field(description="The name of the functional group.")
    reason: str = strawberry.field(description="Why, for those who decide and for the record.")


@strawberry.input(description="The request to approve.")
class ApproveAccessInput:
    grant: strawberry.ID = strawberry.field(description=GRANT)
    reason: str | None = strawberry.field(description="Why, for the record.")


@strawberry.input(description="The request to deny.")
class DenyAccessInput:
    grant: strawberry.ID = strawberry.field(description=GRANT)
    reason: str = strawberry.field(description="Why, for whoever asked and for the record.")


@strawberry.input(description="The grant to return, or the request to withdraw.")
class ReturnAccessInput:
    grant: strawberry.ID = strawberry.field(description=GRANT)
    reason: str | None = strawberry.field(description="Why, for the record.")


@strawberry.input(description="The grant to take back.")
class ForceReturnAccessInput:
    grant: strawberry.ID = strawberry.field(description=GRANT)
    reason: str = strawberry.field(description="Why, for its holder and for the record.")


@strawberry.type
class Mutation:
    request_access: One["AccessGrant"] = strawberry.field(
        description="Asks for a group for a limited time; its approvers decide.",
        directives=[EVERYONE, OWNED],
        metadata=with_input(RequestAccessInput),
    )
    request_membership: One["AccessGrant"] = strawberry.field(
        description="Asks to let somebody else into a group for good; its approvers decide.",
        directives=[ADMINISTRATORS, OWNED],
        metadata=with_input(RequestMembershipInput),
    )
    approve_access: One["AccessGrant"] = strawberry.field(
        description="Approves a request, as one of the approvers of its group; never one's own, nor for an account "
        "that one has made.",
        directives=[REVIEWERS, OWNED],
        metadata=with_input(ApproveAccessInput),
    )
    deny_access: One["AccessGrant"] = strawberry.field(
        description="Denies a request, as one of the approvers of its group.",
        directives=[REVIEWERS, OWNED],
        metadata=with_input(DenyAccessInput),
    )
    return_access: One["AccessGrant"] = strawberry.field(
        description="Returns a grant of one's own early, or withdraws a request.",
        directives=[EVERYONE, OWNED],
        metadata=with_input(ReturnAccessInput),
    )
    force_return_access: One["AccessGrant"] = strawberry.field(
        description="Takes a grant back, as one of the approvers of its group: it ends once two of them, or the only "
        "one beside its holder, do so.",
        directives=[REVIEWERS, OWNED],
        metadata=with_input(ForceReturnAccessInput),
    )
