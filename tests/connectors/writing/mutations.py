"""Serve Onedoor over Acme's servers, with a GitHub that refuses or dies at a call."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn
from github import Auth, Github
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.run import SECRETS
from demo.servers.github.app import app, build_rate
from demo.servers.github.shapes import Organization, build_organization
from demo.servers.run import HOST, RunningServers
from onedoor.mutations.service import MutationAction
from tests.runtime.failures.conftest import READY_SECONDS, Reply, RunningServer, run_server
from tests.servers.ports import find_free_port

TOKEN = SECRETS["GITHUB_AUTHORIZATION"].removeprefix("Bearer ")
UNFENCED_SECONDS = 0.5
DIES = 0


@dataclass(slots=True, kw_only=True)
class Hub:
    """GitHub in a thread of its own: `refuses` are calls that end otherwise, each once, by how their path ends."""

    behind: ASGIApp
    here: Organization
    port: int
    refuses: list[tuple[str, int]] = field(default_factory=list)
    server: uvicorn.Server | None = None
    thread: threading.Thread | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        execute = [
            refusal for refusal in self.refuses if scope["method"] != "GET" and scope["path"].endswith(refusal[0])
        ]
        if not execute:
            await self.behind(scope, receive, send)
            return
        self.refuses.remove(execute[0])
        if execute[0][1] == DIES and self.server is not None:
            self.server.force_exit = self.server.should_exit = True
            await asyncio.sleep(READY_SECONDS)
        await JSONResponse({"message": "no"}, execute[0][1])(scope, receive, send)

    def start(self) -> None:
        self.server = uvicorn.Server(
            uvicorn.Config(self, host=HOST, port=self.port, log_level="critical", lifespan="off")
        )
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        deadline = time.monotonic() + READY_SECONDS
        while not self.server.started:
            assert time.monotonic() < deadline, "GitHub did not start"
            time.sleep(0.02)

    def stop(self) -> None:
        if self.server is not None and self.thread is not None:
            self.server.force_exit = self.server.should_exit = True
            self.thread.join()

    def commits(self, repo: str, conclusion: str = "success") -> list[str]:
        """Those whose checks ended so, the newest first."""
        return list(
            dict.fromkeys(rollout.sha for rollout in self.here.rollouts[repo] if rollout.conclusion == conclusion)
        )


@contextmanager
def open_server_with_hub(running: RunningServers, folder: Path) -> Iterator[tuple[RunningServer, Hub]]:
    here = build_organization(0.01)
    hub = Hub(behind=app(TOKEN, here, build_rate(100_000)), here=here, port=find_free_port())
    hub.start()
    try:
        with run_server(running, folder, github=(HOST, hub.port)) as server:
            assert server.app.app_state is not None
            changing = server.app.app_state.engine.catalog.actions["startDeployment"]
            assert isinstance(changing, MutationAction)
            object.__setattr__(changing.context, "unfenced_seconds", UNFENCED_SECONDS)
            yield server, hub
    finally:
        hub.stop()


async def execute(server: RunningServer, text: str, group: str = "engineering", **variables: Any) -> Reply:
    headers = {"authorization": f"Bearer {server.keys[group]}"}
    body = {"query": text, "variables": variables}
    async with (
        aiohttp.ClientSession(f"http://{HOST}:{server.port}") as session,
        session.post("/graphql", json=body, headers=headers) as response,
    ):
        result = await response.json()
        return Reply(status=response.status, data=result.get("data"), errors=result.get("errors", []))


def mutation(name: str, shown: str) -> str:
    takes = f"{name[0].upper()}{name[1:]}Input"
    return f"mutation ($input: {takes}!) {{ {name}(input: $input) {{ id state {shown} }} }}"


async def apply_mutation(
    server: RunningServer, name: str, given: dict[str, Any], shown: str = "", group: str = "engineering"
) -> Any:
    """What a mutation answers, which is no error."""
    reply = await execute(server, mutation(name, shown), group, input=given)
    assert reply.errors == [], reply.errors
    return reply.data[name]


async def get_refusal(
    server: RunningServer, name: str, given: dict[str, Any], group: str = "engineering"
) -> tuple[str, str]:
    """The code and the sentence it is refused with."""
    reply = await execute(server, mutation(name, ""), group, input=given)
    assert (reply.data or {}).get(name) is None
    return next(iter(reply.errors_by_path().values()))


async def query_github(hub: Hub, repo: str, ask: Any) -> Any:
    """What the leading client says of a repository."""

    def told() -> Any:
        auth = Auth.Token(TOKEN)
        with Github(auth=auth, base_url=f"http://{HOST}:{hub.port}", retry=None, seconds_between_requests=None) as hub_:
            return ask(hub_.get_repo(f"acme/{repo}"))

    return await asyncio.to_thread(told)
