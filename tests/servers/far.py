"""Serve a scripted reply, record requests, and notice clients that disconnect."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web

Reply: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedRequest:
    """One request."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    form: Mapping[str, Any]
    json: Any


@dataclass(slots=True, kw_only=True)
class Far:
    reply: Reply
    requests: list[ReceivedRequest] = field(default_factory=list)
    began: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append(await receive(request))
        self.began.set()
        try:
            return await self.reply(request)
        except asyncio.CancelledError:
            self.left.set()
            raise


async def receive(request: web.Request) -> ReceivedRequest:
    packed = request.content_type == "application/json"
    return ReceivedRequest(
        method=request.method,
        path=request.path,
        query=dict(request.query),
        headers=dict(request.headers),
        form={} if packed else dict(await request.post()),
        json=await request.json() if packed and request.can_read_body else None,
    )


@asynccontextmanager
async def serve_reply(reply: Reply) -> AsyncIterator[tuple[str, Far]]:
    """Its URL, on a free port of loopback."""
    far = Far(reply=reply)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", far.answer)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}", far
    finally:
        await runner.cleanup()


def answer_with(status: int = 200, json: Any = None, text: str | None = None, **headers: str) -> Reply:
    async def reply(_: web.Request) -> web.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if text is not None:
            return web.Response(status=status, text=text, headers=named)
        return web.json_response(json, status=status, headers=named)

    return reply


async def slow(_: web.Request) -> web.Response:
    await asyncio.sleep(60)
    return web.Response()
