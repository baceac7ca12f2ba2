"""Requests: the records of what was asked of this door, for those who audit it."""

from datetime import datetime
from enum import StrEnum

import strawberry

from onedoor.schema.annotations import BigInt, ById, Many, allow, owned


@strawberry.enum(description="What came of a request.")
class RequestOutcome(StrEnum):
    ANSWERED = "ANSWERED"
    PARTIAL = "PARTIAL"
    REFUSED = "REFUSED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    LIMITED = "LIMITED"
    FAILED = "FAILED"
    CRASHED = "CRASHED"
    CANCELLED = "CANCELLED"


@strawberry.type(
    description="One request to this door, as it was recorded. No key and no value stands here in clear.",
    directives=[allow("audit"), owned("platform")],
)
class Request:
    id: strawberry.ID = strawberry.field(description="The record's id; ids sort by time.")
    time: datetime = strawberry.field(description="When the request came.")
    surface: str = strawberry.field(
        description="Where it came in: `graphql`, `subscription`, or `job` and `export` for what those asked."
    )
    outcome: RequestOutcome = strawberry.field(description="What came of it.")
    status: int = strawberry.field(description="The HTTP status of the reply.")
    person_id: str | None = strawberry.field(description="Who asked, as `me { id }` names them.")
    key_id: str | None = strawberry.field(description="The public part of the key it came with.")
    groups: list[str] = strawberry.field(description="The groups the person was in.")
    operation: str | None = strawberry.field(description="The operation's name, where it has one.")
    operation_hash: str | None = strawberry.field(description="SHA-256 of the operation's text.")
    text: str | None = strawberry.field(description="The operation, with `$` where literals were.")
    variables: str | None = strawberry.field(description="The variables as JSON, each value a keyed hash.")
    fields: list[str] = strawberry.field(description="The fields that were served.")
    fields_used: list[str] = strawberry.field(description="The fields that filters and orders named.")
    fields_withheld: list[str] = strawberry.field(description="The fields that were not served, for want of a group.")
    sources: list[str] = strawberry.field(description="The sources that were asked.")
    rows: int = strawberry.field(description="How many rows the sources gave.")
    bytes: BigInt = strawberry.field(description="The size of the reply.")
    ms: float = strawberry.field(description="How long it took, in milliseconds.")
    schema_version: str | None = strawberry.field(description="The schema and policy it was judged by.")
    client_request_id: str | None = strawberry.field(description="What the client called its request.")
    subscription: str | None = strawberry.field(description="Of a subscription: the id of the record of its beginning.")
    events: int | None = strawberry.field(description="Of a subscription's end: how many events it was told of.")


@strawberry.type
class Query:
    request: ById["Request"] = strawberry.field(description="The request with this record id.")
    requests: Many["Request"] = strawberry.field(description="All requests on record, this door's and its siblings'.")
