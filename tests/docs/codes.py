"""Describe each error code as docs/errors.md shows it."""

from collections.abc import Mapping
from dataclasses import dataclass

from onedoor.errors import ErrorCode

REFUSED = ("200", "400")
PARTIAL = ("200", "200")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorDescription:
    """`statuses` are those under `application/json` and under `application/graphql-response+json`.

    `asked` is a question that gets the code from tests/acme.py, as someone in no group but `everyone`.
    """

    when: str
    statuses: tuple[str, str]
    remedy: str
    extensions: str = ""
    query: str | None = None


CODES: Mapping[ErrorCode, ErrorDescription] = {
    ErrorCode.BAD_REQUEST: ErrorDescription(
        when="The request is no GraphQL request over HTTP (no JSON object with `query`, another method or media "
        "type, a head or body that is too large or slow, a compressed body, a handshake that opens no WebSocket), or "
        "does not say which operation to run.",
        statuses=(
            "400, 405, 406, 408, 413, 415, 426, 431; 200 for the operation",
            "400, 405, 406, 408, 413, 415, 426, 431",
        ),
        remedy="Send `POST` with `Content-Type: application/json`, uncompressed; name one of several operations in "
        "`operationName`.",
        query="query A { me { id } } query B { me { id } }",
    ),
    ErrorCode.UNAUTHENTICATED: ErrorDescription(
        when="The request has no valid key: none, an unknown, expired or revoked one, or two different ones. All "
        "look alike.",
        statuses=("401", "401"),
        remedy="Send `Authorization: Bearer <key>` or `X-API-Key: <key>`; have the key rotated if it expired.",
    ),
    ErrorCode.GRAPHQL_PARSE_FAILED: ErrorDescription(
        when="The text is no GraphQL, or is nested too deeply.",
        statuses=REFUSED,
        remedy="Correct the text at `locations`.",
        query="{ me",
    ),
    ErrorCode.GRAPHQL_VALIDATION_FAILED: ErrorDescription(
        when="The document is not valid for the schema: an unknown field, a wrong argument, a missing selection.",
        statuses=REFUSED,
        remedy="Take what the message suggests: a near name, or how a value is written. It names only what your "
        "introspection shows.",
        query="{ nothing }",
    ),
    ErrorCode.BAD_USER_INPUT: ErrorDescription(
        when="A variable or an argument has the right type but an impossible value: a negative `first`, `first` "
        "with `last`, a filter that is empty or compares with null.",
        statuses=REFUSED,
        remedy="Correct the value that the message names, or leave the argument out; find null with `isNull`.",
        query="{ products(first: -1) { nodes { id } } }",
    ),
    ErrorCode.BAD_CURSOR: ErrorDescription(
        when="The cursor is not from this field with this sort and filter, is from another version of the schema, "
        "or of somebody who sees other rows.",
        statuses=REFUSED,
        remedy="Start again without a cursor.",
        query='{ products(after: "x") { nodes { id } } }',
    ),
    ErrorCode.DOCUMENT_UNKNOWN: ErrorDescription(
        when="No trusted document has this `documentId`, or, where only trusted documents are executed, this "
        "`extensions.persistedQuery`.",
        statuses=REFUSED,
        remedy="Send the digest of a registered document, or have it registered (documents.md).",
    ),
    ErrorCode.DOCUMENT_NOT_TRUSTED: ErrorDescription(
        when="Onedoor executes registered documents only (`documents.trusted_only`), and this text is none.",
        statuses=REFUSED,
        remedy="Have the document registered with `python -m onedoor documents register`.",
    ),
    ErrorCode.PERSISTED_QUERY_NOT_FOUND: ErrorDescription(
        when="A client of automatic persisted queries sent a digest that Onedoor does not have, or no longer has. "
        "The message is `PersistedQueryNotFound`, which such clients expect.",
        statuses=REFUSED,
        remedy="Send the text together with its digest, as these clients do by themselves.",
    ),
    ErrorCode.PERSISTED_QUERY_NOT_SUPPORTED: ErrorDescription(
        when="The same, where Onedoor stores no such queries (`documents.automatic = 0`). The message is "
        "`PersistedQueryNotSupported`.",
        statuses=REFUSED,
        remedy="Send the text.",
    ),
    ErrorCode.LIMIT_EXCEEDED: ErrorDescription(
        when="The request is over a limit, which the message names with its value. Over `rows_read`, only that "
        "branch fails.",
        statuses=(
            "200; 429 and 503 for budgets, requests and seconds of the event loop per minute, connections and "
            "concurrent requests, with `Retry-After`",
            "400; 200 for `rows_read` and `request_seconds`; 429 and 503 as before",
        ),
        remedy="Select less, in parts, or filter, or try again later; an operator can raise the limit (settings.md).",
        extensions="`nulls` for `rows_read`; for a budget, `budget` (its setting) and `retryAfter` (in seconds)",
        query="{ products(first: 1001) { nodes { id } } }",
    ),
    ErrorCode.RATE_LIMITED: ErrorDescription(
        when="A source has a quota of calls per minute, and this call's turn would come after the request's time "
        "is over. It was not sent.",
        statuses=PARTIAL,
        remedy="Try again after the seconds that the message names, or select less; an operator can raise the quota.",
        extensions="`nulls`",
    ),
    ErrorCode.FORBIDDEN: ErrorDescription(
        when="A field was denied, because you are not in the groups that it, or something its arguments name, "
        "requires.",
        statuses=("200", "200; 400 under `allOrNothing`"),
        remedy="Leave it out, or ask the owner of one of the groups for it, as the message says.",
        extensions="`position`, `groups` (a list of lists: one group of each will do), `owner` and `contact` of the "
        "field where they are registered, `groupOwners` (for each group the `group`, its `owner` and `contact`), "
        "`requestWith` (the mutation that asks for access, where there is one), `nulls` (how many values were denied)",
        query="{ employees(first: 1) { nodes { salary } } }",
    ),
    ErrorCode.NULL_VALUE: ErrorDescription(
        when="A source has no value where the schema promises one. The nearest nullable field above is null.",
        statuses=("200", "200"),
        remedy="Tell the owner of the data.",
    ),
    ErrorCode.SOURCE_UNAVAILABLE: ErrorDescription(
        when="A source failed, refused the call, did not answer in time, or failed so often lately that it is not "
        "called.",
        statuses=PARTIAL,
        remedy="Use the rest of the answer; try again in a second.",
        extensions="`nulls`",
    ),
    ErrorCode.SOURCE_OVERLOADED: ErrorDescription(
        when="A source has as many calls running and waiting as allowed, or twice asked Onedoor to slow down.",
        statuses=PARTIAL,
        remedy="Try again later.",
        extensions="`nulls`",
    ),
    ErrorCode.SOURCE_INVALID: ErrorDescription(
        when="A source's response cannot be read, or has a value that its column or field cannot hold: the value is "
        "null, in every filter, sort and aggregate too, and the message names type, field and column.",
        statuses=PARTIAL,
        remedy="Tell the owner of the data.",
        extensions="`nulls` where a whole branch is missing, and in the last such error, which counts the values past "
        "`errors_max`",
    ),
    ErrorCode.CANNOT_ANSWER: ErrorDescription(
        when="A source cannot be read in this way: replies without their thread, or more of a Slack user's "
        "messages than its search returns. The first refuses the request, the second fails its branch, as does a "
        "column that its database no longer has.",
        statuses=("200", "400; 200 for a branch"),
        remedy="Go through the relationship that the message names; of a lost column, tell the owner of the data.",
        extensions="`nulls` for a branch",
    ),
    ErrorCode.NOT_FOUND: ErrorDescription(
        when="The row to be changed does not exist. Nothing was changed.",
        statuses=PARTIAL,
        remedy="Read it again; it may have been deleted.",
    ),
    ErrorCode.ALREADY_EXISTS: ErrorDescription(
        when="The row to be created exists already: its id, or a value that must be unique. Nothing was changed.",
        statuses=PARTIAL,
        remedy="Update the existing row, or give another value.",
    ),
    ErrorCode.VERSION_CONFLICT: ErrorDescription(
        when="`ifVersion` names another version than the row's: somebody changed it. Nothing was changed.",
        statuses=PARTIAL,
        remedy="Read it again, and decide again.",
    ),
    ErrorCode.IDEMPOTENCY_KEY_REUSED: ErrorDescription(
        when="The `idempotencyKey` was used before, with another input. Nothing was changed.",
        statuses=PARTIAL,
        remedy="Send the same input again, or another key.",
    ),
    ErrorCode.CHANGE_UNSETTLED: ErrorDescription(
        when="A source did not say whether it made the change. The change is on record, and settled as soon as the"
        " source answers.",
        statuses=PARTIAL,
        remedy="Send the same request again with the same `idempotencyKey`: the change is not made twice.",
    ),
    ErrorCode.AUDIT_UNAVAILABLE: ErrorDescription(
        when="The request could not be recorded, so its answer is not sent. Where its beginning could not be recorded,"
        " nothing was changed; where only its end could not, its changes may stand: the message says which.",
        statuses=("503", "503"),
        remedy="Try again after `Retry-After`, a mutation with the same `idempotencyKey`; without one, look first"
        " whether its changes stand. Tell the operator.",
    ),
    ErrorCode.CANCELLED: ErrorDescription(
        when="The client disconnected; nobody is there to read this code, and only the record has it.",
        statuses=("none", "none"),
        remedy="Nothing.",
    ),
    ErrorCode.INTERNAL: ErrorDescription(
        when="Onedoor failed: a crash (500), or the metadata database did not answer and no key can be checked (503).",
        statuses=("500, 503", "500, 503"),
        remedy="Tell the operator the record's id, which the message and `X-Request-Id` name.",
    ),
}
