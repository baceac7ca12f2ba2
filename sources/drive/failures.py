"""What the library raised or Google said in, what a client may hear out: never an address, a name, or their words."""

import re
from typing import Any

from aiohttp import ClientConnectionError

from engine.errors import Code, SourceFailed
from sources.clocks import CLOCK, apart

OK, CREATED, PARTIAL, RESUME = 200, 201, 206, 308
UNAUTHORIZED, FORBIDDEN, NOT_FOUND, GONE, NO_RANGE, TOO_MANY, SERVER = 401, 403, 404, 410, 416, 429, 500
WORD = re.compile(r"[A-Za-z_]{1,60}")
"""What Google's own names of errors look like; anything else is not repeated."""
SLOW = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"})


def failed(error: Exception, timeout: float) -> SourceFailed:
    """`timeout` in seconds."""
    match error:
        case SourceFailed():
            return error
        case TimeoutError():
            return SourceFailed(f"drive did not answer within {timeout:g} s")
        case ClientConnectionError():
            return SourceFailed("drive could not be reached", again=True)
    return unreadable()


def refused(status: int, said: Any) -> SourceFailed:
    """Of an answer that is none: its status, and what its JSON says, None where it has none."""
    name = reason(said)
    if slows(status, name):
        return SourceFailed("drive takes no more calls for now, ask again later", Code.SOURCE_OVERLOADED)
    if status >= SERVER:
        return SourceFailed(f"drive failed with HTTP status {status}", again=True)
    if status == UNAUTHORIZED:
        return SourceFailed("drive refused the credentials")
    if status < 400:
        return unreadable()
    return SourceFailed(f"drive refused the call with {f'`{name}`' if name else f'HTTP status {status}'}")


def refused_token(status: int, said: Any, date: str | None) -> SourceFailed:
    """OAuth names its errors in another way. `date`: what time Google says it is."""
    name = said.get("error") if isinstance(said, dict) else None
    if status >= SERVER or status == TOO_MANY:
        return SourceFailed(f"google gave no token, HTTP status {status}", again=True)
    if apart(date):
        return SourceFailed(f"google refused the service account: {CLOCK}")
    known = isinstance(name, str) and WORD.fullmatch(name)
    return SourceFailed("google refused the service account" + (f" with `{name}`" if known else ""))


def slows(status: int, name: str | None) -> bool:
    """Whether we are asked to slow down: Drive does it with either status."""
    return status == TOO_MANY or (status == FORBIDDEN and name in SLOW)


def reason(said: Any) -> str | None:
    """The name Google gave the error, None when the answer has none."""
    match said:
        case {"error": {"errors": [{"reason": str(name)}, *_]}} if WORD.fullmatch(name):
            return name
    return None


def unreadable() -> SourceFailed:
    return SourceFailed("drive gave an answer that cannot be read", Code.SOURCE_INVALID)


def missing() -> SourceFailed:
    return SourceFailed("drive has no such file, or the settings do not open it", Code.SOURCE_INVALID)
