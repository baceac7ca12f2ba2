"""A call that changes something in, the API's JSON out; told once, and never sent elsewhere.

Raises Unmade where it is certain that nothing was changed, and SourceFailed where that is not known.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from typing import Any

import orjson
from aiohttp import ClientConnectorError, ClientResponse
from yarl import URL

from engine.change.words import Unmade
from engine.errors import Code, SourceFailed
from sources.rest.calls import Calls, body, pause, used_up
from sources.rest.collection import Writing
from sources.rest.failures import SERVER, TOO_MANY, UNAUTHORIZED, failed, refused
from sources.rest.told import NO_ROW, Told

ABSENT = frozenset({404, 410})
CONFLICT = frozenset({409, 412})
VALUES = frozenset({400, 413, 415, 422})
TIMED = frozenset({408, 425})
"""Statuses of which nobody knows what came before them."""
MEANT: Mapping[Code, str] = {
    Code.NOT_FOUND: NO_ROW,
    Code.ALREADY_EXISTS: "the API has such a row already",
    Code.VERSION_CONFLICT: "the API says that this is in conflict with what it holds",
    Code.BAD_USER_INPUT: "the API refused the values",
}


async def tell(calls: Calls, told: Told, way: Writing) -> Any:
    """None where it says nothing."""
    url = URL(f"{calls.base_url}{told.path}", encoded=True)
    headers = {**calls.headers, **told.headers}
    try:
        async with (
            calls.free,
            calls.session.request(told.method, url, data=told.body, headers=headers, allow_redirects=False) as response,
        ):
            if response.status not in way.statuses:
                raise otherwise(response, way)
            said = await body(response, calls.bounds.most)
            return orjson.loads(said) if said else None
    except (Unmade, SourceFailed):
        raise
    except Exception as error:
        raise unknown(error, calls.bounds.timeout) from error


def unknown(error: Exception, timeout: float) -> Unmade | SourceFailed:
    """Who was never reached was told nothing."""
    failure = failed(error, timeout)
    if isinstance(error, ClientConnectorError):
        return Unmade(failure.reason, failure.code)
    return SourceFailed(failure.reason, failure.code)


def otherwise(response: ClientResponse, way: Writing) -> Unmade | SourceFailed:
    """Of a status that does not say that it was done."""
    status = response.status
    wait = pause(status, response.headers)
    if status == TOO_MANY or wait is not None or used_up(response):
        later = "later" if wait is None else f"in {ceil(wait)} s"
        return Unmade(f"the API takes no more calls for now, ask again {later}", Code.SOURCE_OVERLOADED)
    code = way.refusals.get(status) or usual(status)
    if code is not None:
        return Unmade(MEANT[code], code)
    failure = refused(status)
    if UNAUTHORIZED <= status < SERVER and status not in TIMED:
        return Unmade(failure.reason, failure.code)
    return SourceFailed(failure.reason, failure.code)


def usual(status: int) -> Code | None:
    """What a status means where nothing else is declared."""
    for statuses, code in (
        (ABSENT, Code.NOT_FOUND),
        (CONFLICT, Code.VERSION_CONFLICT),
        (VALUES, Code.BAD_USER_INPUT),
    ):
        if status in statuses:
            return code
    return None


@contextmanager
def nothing_yet(timeout: float) -> Iterator[None]:
    """What fails in here fails before anything was told."""
    try:
        yield
    except Unmade:
        raise
    except Exception as error:
        failure = failed(error, timeout)
        raise Unmade(failure.reason, failure.code) from error
