"""Call an API once for what the scans of one request ask it twice, as the rows and the count of a list do."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from onedoor.runtime.call_context import build_waiter, get_call_context
from onedoor.runtime.row_cache import SingleFlight

MAX_SHARED_BYTES = 4_194_304
"""What one request keeps of the responses of one API, before they are parsed; the oldest are dropped."""


class SizedResponse(Protocol):
    """A response that knows how many bytes it came in."""

    @property
    def size(self) -> int: ...


Response = TypeVar("Response", bound=SizedResponse)


@dataclass(slots=True, kw_only=True)
class SharedResponses:
    """The responses of one API to one request so far, and the calls under way."""

    single_flight: SingleFlight[SizedResponse | None] = field(default_factory=SingleFlight)
    kept: dict[bytes, SizedResponse | None] = field(default_factory=dict)

    async def share(self, key: bytes, call: Callable[[], Awaitable[SizedResponse | None]]) -> SizedResponse | None:
        if key in self.kept:
            return self.kept[key]
        response, joined = await self.single_flight.share(key, build_waiter(), call)
        if not joined:
            self._keep(key, response)
        return response

    def _keep(self, key: bytes, response: SizedResponse | None) -> None:
        self.kept[key] = response
        while sum(_get_size(kept) for kept in self.kept.values()) > MAX_SHARED_BYTES:
            del self.kept[next(iter(self.kept))]


def _get_size(response: SizedResponse | None) -> int:
    return response.size if response else 0


async def share_response(owner: object, key: bytes, call: Callable[[], Awaitable[Response | None]]) -> Response | None:
    """Return the response of `call`, or that of the same key to the same request; `owner` is the API's client.

    Where no request waits, as in a change, every call is made. Raises what `call` does, which is not kept.
    """
    context = get_call_context()
    if context is None:
        return await call()
    responses: SharedResponses = context.shared.setdefault(owner, SharedResponses())
    return await responses.share(key, call)  # type: ignore[return-value]
