"""Serve the schema by hand with FastAPI on uvicorn: `python -m benchmarks.by_hand --port 0`."""

import argparse
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import orjson
import uvicorn
from fastapi import FastAPI, Request
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from strawberry.fastapi import GraphQLRouter

from benchmarks.by_hand.loaders import Context, Upstreams
from benchmarks.by_hand.schema import SCHEMA
from demo.servers.run import HOST

CONNECTIONS = 8


class Router(GraphQLRouter[Context, None]):
    def encode_json(self, data: object) -> bytes:
        return orjson.dumps(data)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    url = make_url(os.environ["DATABASE"]).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url, pool_size=CONNECTIONS, max_overflow=0)
    app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
    async with aiohttp.ClientSession() as session:
        app.state.upstreams = Upstreams(session=session, forum=os.environ["FORUM"], slow_forum=os.environ["SLOW_FORUM"])
        yield
    await engine.dispose()


async def context(request: Request) -> Context:
    return Context(request.app.state.sessions, request.app.state.upstreams)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.by_hand")
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    app = FastAPI(lifespan=lifespan)
    app.include_router(Router(SCHEMA, context_getter=context), prefix="/graphql")
    uvicorn.run(app, host=HOST, port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
