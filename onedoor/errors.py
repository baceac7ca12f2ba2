"""Define the one tree of exceptions, and the closed list of codes that clients see."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Any


class ErrorCode(StrEnum):
    """The values of `extensions.code`; docs/errors.md is generated from this list."""

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
    """One error of a response, as a client sees it."""

    code: ErrorCode
    message: str
    path: tuple[str | int, ...] | None = None
    locations: Sequence[Mapping[str, int]] = ()
    extensions: Mapping[str, Any] | None = None


class OnedoorError(Exception):
    """The root of every exception that Onedoor raises for a failure it knows."""


class RequestRejected(OnedoorError):
    """A GraphQL request is rejected before anything is fetched."""

    def __init__(self, *errors: GraphQLErrorInfo) -> None:
        super().__init__(errors[0].message)
        self.errors = errors


class HTTPError(OnedoorError):
    """A request is refused as HTTP, before it is GraphQL; `status` and `headers` are those of the response."""

    def __init__(
        self,
        status: int,
        message: str,
        headers: Mapping[str, str] | None = None,
        *,
        code: ErrorCode = ErrorCode.BAD_REQUEST,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.error = GraphQLErrorInfo(code=code, message=message)


class ClientDisconnected(OnedoorError):
    """The client went away before it had its response."""


class ConnectorError(OnedoorError):
    """A source could not answer: its branch is null, the rest is served.

    `reason` is safe to show a client; `retryable` says whether the same call may succeed at once.
    """

    def __init__(self, reason: str, code: ErrorCode = ErrorCode.SOURCE_UNAVAILABLE, *, retryable: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.retryable = retryable


LOSS_REMEDY = "correct the mapping and restart"


class SourceChanged(ConnectorError):
    """A collection has lost `columns`, or is gone where none are named, since its connector was opened.

    Nothing was changed by the call. Whoever knows it adds the `source`: a connector does not know its own name.
    """

    def __init__(self, collection: str, columns: Sequence[str] = (), *, source: str = "") -> None:
        self.collection = collection
        self.columns = tuple(columns)
        self.source = source
        super().__init__(self.describe(()), ErrorCode.CANNOT_ANSWER)

    def describe(self, needed_by: Sequence[str]) -> str:
        """Say what is missing, which fields or types need it, and what would do."""
        place = f"{self.source}.{self.collection}" if self.source else self.collection
        names = _quote_names(self.columns)
        lost = f"`{place}` no longer has the column{'s'[: len(self.columns) > 1]} {names}"
        needs = f", which {_quote_names(needed_by)} need{'s'[: len(needed_by) < 2]}" if needed_by else ""
        return f"{lost if self.columns else f'`{place}` is no longer there'}{needs}; {LOSS_REMEDY}"

    def describe_known(self, known: Set[str]) -> str:
        """Say what is missing to who may know only these columns: no other is named."""
        columns = [column for column in self.columns if column in known]
        if self.columns and not columns:
            return f"`{self.source}.{self.collection}` no longer has every column that is mapped; {LOSS_REMEDY}"
        return SourceChanged(self.collection, columns, source=self.source).reason


def _quote_names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


class ConfigurationError(OnedoorError):
    """The operator can put something right. The message is one sentence without secrets, so it may be printed."""


def build_unknown_name_error(kind: str, name: str, known: Iterable[str]) -> ConfigurationError:
    """Build the error for a name that is not registered; it offers the nearest that is, or else all of them."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    remedy = (
        f"did you mean `{near[0]}`" if near else "there are " + ", ".join(f"`{known_name}`" for known_name in names)
    )
    return ConfigurationError(f"there is no {kind} `{name}`: {remedy}")
