"""ErrorCode, GraphQL errors, RequestRejected, ConnectorError, ConfigError."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Any


class ErrorCode(StrEnum):
    """`extensions.code` of every error a client can see; docs/errors.md is generated from this list."""

    BAD_REQUEST = "BAD_REQUEST"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    GRAPHQL_PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    GRAPHQL_VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    BAD_CURSOR = "BAD_CURSOR"
    DOCUMENT_UNKNOWN = "DOCUMENT_UNKNOWN"
    DOCUMENT_NOT_TRUSTED = "DOCUMENT_NOT_TRUSTED"
    PERSISTED_QUERY_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
    PERSISTED_QUERY_NOT_SUPPORTED = "PERSISTED_QUERY_NOT_SUPPORTED"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    RATE_LIMITED = "RATE_LIMITED"
    FORBIDDEN = "FORBIDDEN"
    NULL_VALUE = "NULL_VALUE"
    SOURCE_UNAVAILABLE = "SOURCE_UNAVAILABLE"
    SOURCE_OVERLOADED = "SOURCE_OVERLOADED"
    SOURCE_INVALID = "SOURCE_INVALID"
    CANNOT_ANSWER = "CANNOT_ANSWER"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    VERSION_CONFLICT = "VERSION_CONFLICT"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    CHANGE_UNSETTLED = "CHANGE_UNSETTLED"
    AUDIT_UNAVAILABLE = "AUDIT_UNAVAILABLE"
    CANCELLED = "CANCELLED"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphQLErrorInfo:
    """One error of a reply, as a client sees it."""

    code: ErrorCode
    message: str
    path: tuple[str | int, ...] | None = None
    locations: Sequence[Mapping[str, int]] = ()
    extensions: Mapping[str, Any] | None = None


class RequestRejected(Exception):
    """The request is turned away before anything is fetched."""

    def __init__(self, *errors: GraphQLErrorInfo) -> None:
        super().__init__(errors[0].message)
        self.errors = errors


class ConnectorError(Exception):
    """A source could not answer: its branch is null, the rest is served.

    `reason` is safe to show a client; `again` says whether the same call may do better at once.
    """

    def __init__(self, reason: str, code: ErrorCode = ErrorCode.SOURCE_UNAVAILABLE, *, retryable: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.retryable = retryable


class ConfigurationError(Exception):
    """Something the operator can put right. Its message is one sentence and holds no secret, so it may be printed."""


def build_unknown_name_error(kind: str, name: str, known: Iterable[str]) -> ConfigurationError:
    """The mistake of a name that is not registered: it offers the nearest that is, or else all of them."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    remedy = f"did you mean `{near[0]}`" if near else "there are " + ", ".join(f"`{each}`" for each in names)
    return ConfigurationError(f"there is no {kind} `{name}`: {remedy}")
