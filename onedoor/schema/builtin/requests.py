"""Declare requests: the audit records of what was queried and changed, for auditors."""

from datetime import datetime
from enum import StrEnum

import strawberry

from onedoor.schema.annotations import BigInt, ById, Many, allow, owned


@strawberry.enum(
    description="The outcome of a request. One that changes something is BEGUN before it does; it is LOST where "
    "the server stopped before it could say what came of it, and `changes` names what it did all the same."
)
class RequestOutcome(StrEnum):
    ANSWERED = "ANSWERED"
    PARTIAL = "PARTIAL"
    REFUSED = "REFUSED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    LIMITED = "LIMITED"
    FAILED = "FAILED"
    CRASHED = "CRASHED"
    CANCELLED = "CANCELLED"
    BEGUN = "BEGUN"
    LOST = "LOST"


@strawberry.type(
    description="The audit record of one request. It holds no key and no value in clear text.",
    directives=[allow("audit"), owned("platform")],
)
class Request:
    id: strawberry.ID = strawberry.field(description="The id of the record; ids sort by time.")
    time: datetime = strawberry.field(description="When the request arrived.")
    surface: str = strawberry.field(
        description="How it arrived: through `graphql` or `subscription`, from a `job` or an `export`, or as a command "
        "of a terminal, `cli`."
    )
    outcome: RequestOutcome = strawberry.field(description="The outcome of the request.")
    status: int = strawberry.field(description="The HTTP status of the reply.")
    person_id: str | None = strawberry.field(
        description="The id of the user, as in `me { id }`; for a command, the user of the operating system."
    )
    key_id: str | None = strawberry.field(description="The public part of its API key.")
    secret: int | None = strawberry.field(
        description="The number of the secret of the key that came: 1 at first, and one more with each rotation."
    )
    groups: list[str] = strawberry.field(description="The groups of the user at that time.")
    grants: list[str] = strawberry.field(description="The ids of the grants that the user held at that time.")
    operation: str | None = strawberry.field(description="The name of the operation, if it has one.")
    operation_hash: str | None = strawberry.field(description="The SHA-256 digest of the operation's text.")
    text: str | None = strawberry.field(description="The operation, with `$` in place of literals.")
    variables: str | None = strawberry.field(description="The variables as JSON, each value replaced by a keyed hash.")
    fields: list[str] = strawberry.field(description="The fields that were returned.")
    fields_used: list[str] = strawberry.field(description="The fields that filters and orders used.")
    fields_withheld: list[str] = strawberry.field(
        description="The fields that were denied, because the user lacks a group."
    )
    fields_attempted: list[str] = strawberry.field(
        description="The guarded fields that denied fields, filters, orders, groups and inputs looked at."
    )
    sources: list[str] = strawberry.field(description="The sources that were read.")
    rows: int = strawberry.field(description="The number of rows that the answer is made of.")
    bytes: BigInt = strawberry.field(description="The size of the reply.")
    ms: float = strawberry.field(description="The duration in milliseconds.")
    schema_version: str | None = strawberry.field(description="The version of the schema and policy that applied.")
    client_request_id: str | None = strawberry.field(description="What the client called its request.")
    subscription: str | None = strawberry.field(description="For a subscription: the id of the record of its start.")
    events: int | None = strawberry.field(
        description="For the end of a subscription: the number of events it received."
    )
    count: int = strawberry.field(
        description="The number of requests it stands for: of a caller that is turned away again and again, many."
    )
    reason: str | None = strawberry.field(
        description="For a command of a terminal: why it was given, in the words of who gave it."
    )
    field_uses: Many["RequestFieldUse"] = strawberry.field(description="The uses it made of fields, or tried to make.")
    changes: Many["RequestChange"] = strawberry.field(
        description="The changes it made, the jobs it started or cancelled, and the upload addresses it was given."
    )


@strawberry.enum(
    description="The use of a field: its values were served; a filter or a sort of served fields used it; it was "
    "denied; it is guarded, and what was denied would have looked at it."
)
class FieldUse(StrEnum):
    SERVED = "SERVED"
    USED = "USED"
    WITHHELD = "WITHHELD"
    ATTEMPTED = "ATTEMPTED"


@strawberry.type(
    description="A use that a request made of a field.",
    directives=[allow("audit"), owned("platform")],
)
class RequestFieldUse:
    id: strawberry.ID = strawberry.field(description="The id of the record, the use and the field.")
    coordinate: str = strawberry.field(description="The field, such as `Customer.creditLimit`.")
    use: FieldUse = strawberry.field(description="The use of it.")


@strawberry.type(
    description="What a request changed.",
    directives=[allow("audit"), owned("platform")],
)
class RequestChange:
    id: strawberry.ID = strawberry.field(description="The id of the record and of the change.")
    change: str = strawberry.field(description="The id of the change, as in `customerChanges`, or of the job.")
    change_type: str = strawberry.field(description="The type that was changed, such as `Customer` or `Job`.")
    verb: str = strawberry.field(description="What was done to it.")
    state: str = strawberry.field(
        description="How it ended, as in `ChangeState`; `BEGUN` of a command that did not say."
    )


@strawberry.type
class Query:
    request: ById["Request"] = strawberry.field(description="The request with this record id.")
    requests: Many["Request"] = strawberry.field(description="All recorded requests, of this server and its replicas.")
