"""What the library raised or Prometheus's status in, what a client may hear out: never a query, nor its own words."""

from collections.abc import Mapping

from aiohttp import ClientConnectionError

from engine.errors import Code, SourceFailed
from sources.rest.addresses import NotPublic

KINDS: Mapping[str, SourceFailed] = {
    "bad_data": SourceFailed("prometheus cannot read the query that the settings declare", Code.SOURCE_INVALID),
    "execution": SourceFailed("prometheus could not carry out the query", Code.SOURCE_INVALID),
    "timeout": SourceFailed("prometheus gave up on the query, ask for less"),
    "canceled": SourceFailed("prometheus gave up on the query, ask for less"),
    "unavailable": SourceFailed("prometheus is not ready yet", again=True),
    "not_found": SourceFailed("prometheus does not know this question", Code.SOURCE_INVALID),
}
"""By `errorType`."""
UNAUTHORIZED, FORBIDDEN, TOO_MANY, SERVER = 401, 403, 429, 500


def failed(error: BaseException, timeout: float) -> SourceFailed:
    """`timeout` in seconds."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, NotPublic):
            return SourceFailed("prometheus's name leads into this network, which its settings do not allow")
        cause = cause.__cause__
    match error:
        case TimeoutError():
            return SourceFailed(f"prometheus did not answer within {timeout:g} s")
        case ClientConnectionError():
            return SourceFailed("prometheus could not be reached", again=True)
    return unreadable()


def refused(status: int, kind: object) -> SourceFailed:
    """Of any answer but a success."""
    known = KINDS.get(kind) if isinstance(kind, str) else None
    if known is not None:
        return SourceFailed(known.reason, known.code, again=known.again)
    if status in (UNAUTHORIZED, FORBIDDEN):
        return SourceFailed("prometheus refused the credentials")
    if status == TOO_MANY:
        return SourceFailed("prometheus takes no more calls for now, ask again later", Code.SOURCE_OVERLOADED)
    if status >= SERVER:
        return SourceFailed(f"prometheus failed with HTTP status {status}", again=True)
    return SourceFailed(f"prometheus refused the call with HTTP status {status}", Code.SOURCE_INVALID)


def unreadable() -> SourceFailed:
    return SourceFailed("prometheus gave an answer that cannot be read", Code.SOURCE_INVALID)


def undeclared(name: str) -> SourceFailed:
    return SourceFailed(
        f"series of `{name}` differ in labels that its settings do not declare: add them to `labels`, or sum them up",
        Code.SOURCE_INVALID,
    )


def too_long(most: int) -> SourceFailed:
    limit = f"the limit `response_bytes` of {most}"
    return SourceFailed(f"an answer of prometheus is over {limit}, ask for less", Code.LIMIT_EXCEEDED)
