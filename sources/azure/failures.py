"""What the library raised or Azure's status and code in, what a client may hear out: never an address or a name."""

import re

from aiohttp import ClientConnectionError, ClientError

from engine.errors import Code, SourceFailed
from sources.clocks import CLOCK
from sources.rest.addresses import NotPublic

NAMES = {"file": "azure files", "blob": "azure blob storage"}
NOT_FOUND, NOT_IN_RANGE, TOO_MANY, SERVER, BUSY = 404, 416, 429, 500, 503
CREDENTIALS = frozenset({401, 403})
MISSING = {
    "ShareNotFound": "share",
    "ContainerNotFound": "container",
    "ResourceNotFound": "file",
    "ParentNotFound": "file",
    "BlobNotFound": "file",
}
WORD = re.compile(r"[A-Za-z]{1,60}")
"""What Azure's own codes look like; anything else is not repeated."""


def failed(error: Exception, service: str, timeout: float) -> SourceFailed:
    """`timeout` in seconds."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, NotPublic):
            return SourceFailed(
                f"the name of {NAMES[service]} leads into this network, which its settings do not allow"
            )
        cause = cause.__cause__
    match error:
        case TimeoutError():
            return SourceFailed(f"{NAMES[service]} did not answer within {timeout:g} s")
        case ClientConnectionError():
            return SourceFailed(f"{NAMES[service]} could not be reached", again=True)
        case ClientError():
            return unreadable(service)
    return unreadable(service)


def refused(status: int, code: str, service: str) -> SourceFailed:
    """Of a status that no call hoped for, and the code Azure gave with it, if any."""
    name = NAMES[service]
    if status in (TOO_MANY, BUSY):
        return SourceFailed(f"{name} takes no more calls for now, ask again later", Code.SOURCE_OVERLOADED)
    if status >= SERVER:
        return SourceFailed(f"{name} failed with HTTP status {status}", again=True)
    if status in CREDENTIALS:
        return SourceFailed(f"{name} refused the credentials")
    if code in MISSING:
        return SourceFailed(f"{name} has no such {MISSING[code]}")
    said = f"`{code}`" if WORD.fullmatch(code) else f"HTTP status {status}"
    return SourceFailed(f"{name} refused the call with {said}", Code.SOURCE_INVALID)


def skewed(service: str) -> SourceFailed:
    return SourceFailed(f"{NAMES[service]} refused the call: {CLOCK}")


def unreadable(service: str) -> SourceFailed:
    return SourceFailed(f"{NAMES[service]} gave an answer that cannot be read", Code.SOURCE_INVALID)


def too_long(service: str, most: int) -> SourceFailed:
    reason = f"an answer of {NAMES[service]} is over the limit `response_bytes` of {most}"
    return SourceFailed(reason, Code.SOURCE_INVALID)
