"""The errors a service answered with in, what a client may hear out: never the service's own words."""

from collections.abc import Mapping, Sequence
from typing import Any

from engine.errors import Code, SourceFailed

CREDENTIALS = frozenset({"UNAUTHENTICATED", "UNAUTHORIZED", "FORBIDDEN", "INVALID_TOKEN"})
TOO_MANY = frozenset({"RATE_LIMITED", "RATE_LIMIT_EXCEEDED", "THROTTLED", "TOO_MANY_REQUESTS"})
"""Codes that many services put into `extensions.code` of an error."""


def refusal(errors: Sequence[Any]) -> SourceFailed:
    codes = {_code(each) for each in errors}
    if codes & TOO_MANY:
        return SourceFailed("the API takes no more calls for now, ask again later", Code.SOURCE_OVERLOADED)
    if codes & CREDENTIALS:
        return SourceFailed("the API refused the credentials")
    return SourceFailed("the API answered with errors", Code.SOURCE_INVALID)


def _code(error: Any) -> str:
    extensions = error.get("extensions") if isinstance(error, Mapping) else None
    found = extensions.get("code") if isinstance(extensions, Mapping) else None
    return found.upper() if isinstance(found, str) else ""
