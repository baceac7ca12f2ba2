"""Report on /health whether server, connectors and checkpoints are up; no key is needed, so nothing more."""

import asyncio
from collections.abc import Iterable, Mapping

import orjson
from fastapi import APIRouter, Request, Response

from onedoor.audit.log import AuditLog
from onedoor.http.responses import ALL_METHODS, build_raw_response
from onedoor.spi.connector import Connector

PING_SECONDS = 1.0

PING_MAX_AGE_SECONDS = 0.5

router = APIRouter()


@router.api_route("/health", methods=ALL_METHODS)
@router.api_route("/health/", methods=ALL_METHODS)
async def report_health(request: Request) -> Response:
    """Answer any method, as probes differ in theirs."""
    health: HealthCheck = request.state.app_state.health
    sources = {name: "up" if is_up else "down" for name, is_up in (await health.check_connectors()).items()}
    checkpointer = None if health.audit_log is None else health.audit_log.checkpointer
    checkpoints = {} if checkpointer is None else {"checkpoints": "up" if checkpointer.is_up else "down"}
    body = orjson.dumps({"alive": True, "ready": True, "sources": sources, **checkpoints})
    headers = ((b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()))
    return build_raw_response(200, headers, body)


class HealthCheck:
    """Pings the connectors, at most once every PING_MAX_AGE_SECONDS however many requests want to know."""

    def __init__(self, connectors: Mapping[str, Connector], audit_log: AuditLog | None = None) -> None:
        self.connectors = connectors
        self.audit_log = audit_log
        self.last_check: tuple[float, asyncio.Task[list[bool]]] | None = None

    async def check_connectors(self) -> dict[str, bool]:
        """Return whether each connector answered its last ping in time."""
        now = asyncio.get_running_loop().time()
        if self.last_check is None or now - self.last_check[0] >= PING_MAX_AGE_SECONDS:
            self.last_check = now, asyncio.ensure_future(_ping_all(self.connectors.values()))
        return dict(zip(self.connectors, await asyncio.shield(self.last_check[1]), strict=True))


async def _ping_all(connectors: Iterable[Connector]) -> list[bool]:
    return list(await asyncio.gather(*map(_is_up, connectors)))


async def _is_up(connector: Connector) -> bool:
    try:
        async with asyncio.timeout(PING_SECONDS):
            await connector.ping()
    except Exception:
        return False
    return True
