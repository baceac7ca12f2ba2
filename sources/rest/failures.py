"""What the library raised or the API's status in, what a client may hear out: never an address, nor the API's words."""

from aiohttp import ClientConnectionError, ClientError

from engine.errors import Code, SourceFailed
from sources.rest.addresses import NotPublic

OK, FOUND, UNAUTHORIZED, FORBIDDEN, TOO_MANY, SERVER = 200, 300, 401, 403, 429, 500
MOVED = frozenset({301, 302, 303, 307, 308})


def failed(error: Exception, timeout: float) -> SourceFailed:
    """`timeout` in seconds."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, NotPublic):
            return SourceFailed("the API's name leads into this network, which its settings do not allow")
        cause = cause.__cause__
    match error:
        case TimeoutError():
            return SourceFailed(f"the API did not answer within {timeout:g} s")
        case ClientConnectionError():
            return SourceFailed("the API could not be reached", again=True)
        case ClientError():
            return unreadable()
    return unreadable()


def refused(status: int) -> SourceFailed:
    """Of any status but 200."""
    if status == TOO_MANY:
        return SourceFailed("the API takes no more calls for now, ask again later", Code.SOURCE_OVERLOADED)
    if status >= SERVER:
        return SourceFailed(f"the API failed with HTTP status {status}", again=True)
    if status in (UNAUTHORIZED, FORBIDDEN):
        return SourceFailed("the API refused the credentials")
    if FOUND <= status < 400:
        return SourceFailed("the API has moved: redirects are not followed", Code.SOURCE_INVALID)
    return SourceFailed(f"the API refused the call with HTTP status {status}", Code.SOURCE_INVALID)


def unreadable() -> SourceFailed:
    return SourceFailed("the API gave an answer that cannot be read", Code.SOURCE_INVALID)


def too_long(most: int) -> SourceFailed:
    return SourceFailed(f"an answer of the API is over the limit `response_bytes` of {most}", Code.SOURCE_INVALID)
