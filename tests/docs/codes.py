"""What docs/errors.md says of each error code."""

from collections.abc import Mapping
from dataclasses import dataclass

from onedoor.errors import ErrorCode

REFUSED = ("200", "400")
PARTIAL = ("200", "200")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """`statuses` are those under `application/json` and under `application/graphql-response+json`.

    `asked` is a question that gets the code from tests/acme.py, as someone in no group but `everyone`.
    """

    when: str
    statuses: tuple[str, str]
    remedy: str
    extensions: str = ""
    asked: str | None = None


CODES: Mapping[ErrorCode, Told] = {
    ErrorCode.BAD_REQUEST: Told(
        when="What came is no GraphQL request over HTTP (no JSON object with `query`, another method or media type, "
        "a body that is too large, slow or compressed), or the operation to run cannot be told.",
        statuses=("400, 405, 406, 408, 413, 415; 200 for the operation", "400, 405, 406, 408, 413, 415"),
        remedy="Send `POST` with `Content-Type: application/json`, uncompressed; name one of several operations in "
        "`operationName`.",
        asked="query A { me { id } } query B { me { id } }",
    ),
    ErrorCode.UNAUTHENTICATED: Told(
        when="No valid key came: none, unknown, expired, revoked, or two different ones. All look alike.",
        statuses=("401", "401"),
        remedy="Send `Authorization: Bearer <key>` or `X-API-Key: <key>`; have the key rotated if it expired.",
    ),
    ErrorCode.GRAPHQL_PARSE_FAILED: Told(
        when="The text is no GraphQL, or nests too deep.",
        statuses=REFUSED,
        remedy="Mend the text at `locations`.",
        asked="{ me",
    ),
    ErrorCode.GRAPHQL_VALIDATION_FAILED: Told(
        when="The text does not fit the schema: an unknown field, a wrong argument, a missing selection.",
        statuses=REFUSED,
        remedy="Look the name up in the schema; no near names are suggested.",
        asked="{ nothing }",
    ),
    ErrorCode.BAD_USER_INPUT: Told(
        when="A variable or an argument fits its type but cannot be meant: a negative `first`, `first` with `last`, a "
        "filter that says nothing or compares with null.",
        statuses=REFUSED,
        remedy="Give the value the message names, or leave the argument out; ask for null with `isNull`.",
        asked="{ products(first: -1) { nodes { id } } }",
    ),
    ErrorCode.BAD_CURSOR: Told(
        when="A cursor that was not given by this field with this order and filter, or by another version of the "
        "schema.",
        statuses=REFUSED,
        remedy="Begin again without a cursor.",
        asked='{ products(after: "x") { nodes { id } } }',
    ),
    ErrorCode.DOCUMENT_UNKNOWN: Told(
        when="No trusted document has the name that came as `documentId`, or, where only trusted documents are "
        "answered, as `extensions.persistedQuery`.",
        statuses=REFUSED,
        remedy="Send the digest of a registered document, or have it registered (documents.md).",
    ),
    ErrorCode.DOCUMENT_NOT_TRUSTED: Told(
        when="The door answers registered documents only (`documents.trusted_only`), and this text is none.",
        statuses=REFUSED,
        remedy="Have the document registered with `python -m onedoor documents register`.",
    ),
    ErrorCode.PERSISTED_QUERY_NOT_FOUND: Told(
        when="A client of automatic persisted queries sent a digest that the door does not hold, or no longer. The "
        "message is `PersistedQueryNotFound`, which such clients wait for.",
        statuses=REFUSED,
        remedy="Send the text together with its digest, as these clients do by themselves.",
    ),
    ErrorCode.PERSISTED_QUERY_NOT_SUPPORTED: Told(
        when="The same, where the door keeps no such queries (`documents.automatic = 0`). The message is "
        "`PersistedQueryNotSupported`.",
        statuses=REFUSED,
        remedy="Send the text.",
    ),
    ErrorCode.LIMIT_EXCEEDED: Told(
        when="The question is over a limit, which the message names with its value. Found by a source (`rows_read`), "
        "it takes only that branch.",
        statuses=(
            "200; 429 and 503 for what is counted by the minute and at once, with `Retry-After`",
            "400; 200 for `rows_read` and `request_seconds`; 429 and 503 as beside",
        ),
        remedy="Ask for less, in parts, or filter, or come again later; an operator can raise the limit (settings.md).",
        extensions="`nulls` for `rows_read`",
        asked="{ products(first: 1001) { nodes { id } } }",
    ),
    ErrorCode.RATE_LIMITED: Told(
        when="A source takes so many calls a minute, and the turn of this one would come after the request's time is "
        "over. Nothing was sent there.",
        statuses=PARTIAL,
        remedy="Ask again after the seconds the message names, or for less; an operator can raise the quota.",
        extensions="`nulls`",
    ),
    ErrorCode.FORBIDDEN: Told(
        when="A field was withheld, because a rule of it, or of something its arguments name, is not met.",
        statuses=("200", "200; 400 under `allOrNothing`"),
        remedy="Ask without it, or ask its owner for the group.",
        extensions="`position`, `groups` (a list of lists: one group of each will do), `owner` where one is named, "
        "`nulls` (how many values were withheld)",
        asked="{ employees(first: 1) { nodes { salary } } }",
    ),
    ErrorCode.NULL_VALUE: Told(
        when="A source holds no value where the schema promises one. The nearest place that may be null is null.",
        statuses=("200", "200"),
        remedy="Tell the owner of the data.",
    ),
    ErrorCode.SOURCE_UNAVAILABLE: Told(
        when="A source failed, refused us, did not answer in time, or failed so often of late that it is not asked.",
        statuses=PARTIAL,
        remedy="Use the rest of the answer; ask again in a second.",
        extensions="`nulls`",
    ),
    ErrorCode.SOURCE_OVERLOADED: Told(
        when="A source has as many calls under way and waiting as it may, or asked us twice to slow down.",
        statuses=PARTIAL,
        remedy="Ask again later.",
        extensions="`nulls`",
    ),
    ErrorCode.SOURCE_INVALID: Told(
        when="A source gave what cannot be read, or a value its field cannot show.",
        statuses=PARTIAL,
        remedy="Tell the owner of the data.",
        extensions="`nulls` where a whole branch is missing",
    ),
    ErrorCode.CANNOT_ANSWER: Told(
        when="A source cannot be asked this: replies without their thread, or more of a Slack user's messages than its "
        "search reaches. The first refuses the question, the second takes its branch.",
        statuses=("200", "400; 200 for a branch"),
        remedy="Ask through the link that the message names.",
        extensions="`nulls` for a branch",
    ),
    ErrorCode.NOT_FOUND: Told(
        when="What was to be changed is not there. Nothing was changed.",
        statuses=PARTIAL,
        remedy="Read it again; it may have been deleted.",
    ),
    ErrorCode.ALREADY_EXISTS: Told(
        when="What was to be made is there already: its id, or a value that may stand only once. Nothing was changed.",
        statuses=PARTIAL,
        remedy="Change what is there, or give another value.",
    ),
    ErrorCode.VERSION_CONFLICT: Told(
        when="`ifVersion` names another version than the row is at: somebody changed it. Nothing was changed.",
        statuses=PARTIAL,
        remedy="Read it again, and decide anew.",
    ),
    ErrorCode.IDEMPOTENCY_KEY_REUSED: Told(
        when="The `idempotencyKey` was used before, with another input. Nothing was changed.",
        statuses=PARTIAL,
        remedy="Send the same input again, or another key.",
    ),
    ErrorCode.CHANGE_UNSETTLED: Told(
        when="A source did not say whether it made the change. It is on record, and settled as soon as it answers.",
        statuses=PARTIAL,
        remedy="Send the same again with the same `idempotencyKey`: it is not made twice.",
    ),
    ErrorCode.AUDIT_UNAVAILABLE: Told(
        when="The request could not be recorded, so its answer is not sent.",
        statuses=("503", "503"),
        remedy="Ask again after `Retry-After`; tell the operator.",
    ),
    ErrorCode.CANCELLED: Told(
        when="Kept for a request whose client went away; nobody is there to read it, and only the record says so.",
        statuses=("none", "none"),
        remedy="Nothing.",
    ),
    ErrorCode.INTERNAL: Told(
        when="The door is at fault: a crash (500), or the state did not answer and no key can be checked (503).",
        statuses=("500, 503", "500, 503"),
        remedy="Tell the operator the record's id, which the message and `X-Request-Id` name.",
    ),
}
