"""End what is under way with a key soon after the key is revoked, by one look at the database for all of it."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from contextvars import Context
from typing import NoReturn, TypeAlias

from auth.api_keys import SecretNumber
from auth.authentication import Principal
from onedoor.runtime.concurrency import run_periodically
from onedoor.storage.database import MetadataDatabaseUnavailable

POLL_SECONDS = 0.4
"""How often keys are looked at while something is under way with them: what ends is to end within a second."""

FindEnded: TypeAlias = Callable[[Collection[SecretNumber]], Awaitable[Collection[SecretNumber]]]
"""Returns those of the secrets that are not valid any more. Raises MetadataDatabaseUnavailable."""


class KeyRevoked(Exception):
    """The key with which something began is not valid any more."""


class KeyWatch:
    """Watches the keys with which something is under way in this process; without any, nothing is looked at."""

    def __init__(self, find_ended: FindEnded, poll_seconds: float = POLL_SECONDS) -> None:
        self._find_ended, self._poll_seconds = find_ended, poll_seconds
        self._waiting: dict[SecretNumber, set[asyncio.Future[NoReturn]]] = {}
        self._polling: asyncio.Task[None] | None = None

    async def wait_until_revoked(self, principal: Principal) -> NoReturn:
        """Wait until the key that a principal sent is revoked, expires or was rotated away; then raise KeyRevoked.

        Raises MetadataDatabaseUnavailable where that cannot be known.
        """
        key = SecretNumber(key_id=principal.key_id, secret=principal.secret or 1)
        waiter: asyncio.Future[NoReturn] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, set()).add(waiter)
        if self._polling is None or self._polling.done():
            self._polling = asyncio.get_running_loop().create_task(self._poll_while_needed(), context=Context())
        try:
            await waiter
        finally:
            self._waiting[key].discard(waiter)
            if not self._waiting[key]:
                del self._waiting[key]
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Stop looking."""
        if self._polling is not None:
            self._polling.cancel()
            with suppress(asyncio.CancelledError):
                await self._polling

    async def _poll_while_needed(self) -> None:
        await run_periodically(
            self._poll, self._poll_seconds, delay=self._poll_seconds, while_needed=lambda: bool(self._waiting)
        )

    async def _poll(self) -> None:
        try:
            for key in await self._find_ended(tuple(self._waiting)):
                self._end(key, KeyRevoked())
        except MetadataDatabaseUnavailable as failure:
            for key in tuple(self._waiting):
                self._end(key, failure)

    def _end(self, key: SecretNumber, reason: Exception) -> None:
        for waiter in self._waiting.get(key, ()):
            if not waiter.done():
                waiter.set_exception(reason)
