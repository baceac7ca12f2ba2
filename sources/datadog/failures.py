"""What the library raised or Datadog's status in, what a client may hear out: never its own words."""

from aiohttp import ClientConnectionError

from engine.errors import Code, SourceFailed
from sources.rest.addresses import NotPublic

UNAUTHORIZED, FORBIDDEN, TOO_MANY, SERVER = 401, 403, 429, 500


def failed(error: BaseException, timeout: float) -> SourceFailed:
    """`timeout` in seconds."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, NotPublic):
            return SourceFailed("datadog's name leads into this network, which its settings do not allow")
        cause = cause.__cause__
    match error:
        case SourceFailed():
            return error
        case TimeoutError():
            return SourceFailed(f"datadog did not answer within {timeout:g} s")
        case ClientConnectionError():
            return SourceFailed("datadog could not be reached", again=True)
    return unreadable()


def refused(status: int) -> SourceFailed:
    """Of any status but 200."""
    if status in (UNAUTHORIZED, FORBIDDEN):
        return SourceFailed("datadog refused the keys, or they may not read this")
    if status == TOO_MANY:
        return SourceFailed("datadog takes no more calls for now, ask again later", Code.SOURCE_OVERLOADED)
    if status >= SERVER:
        return SourceFailed(f"datadog failed with HTTP status {status}", again=True)
    return SourceFailed(f"datadog refused the call with HTTP status {status}", Code.SOURCE_INVALID)


def unreadable() -> SourceFailed:
    return SourceFailed("datadog gave an answer that cannot be read", Code.SOURCE_INVALID)


def too_long(most: int) -> SourceFailed:
    limit = f"the limit `response_bytes` of {most}"
    return SourceFailed(f"an answer of datadog is over {limit}, ask for less", Code.LIMIT_EXCEEDED)


def too_many(what: str, most: int) -> SourceFailed:
    limit = f"the limit `items` of {most}"
    return SourceFailed(f"there are more {what} than {limit}, bound `time` or name a service", Code.LIMIT_EXCEEDED)
