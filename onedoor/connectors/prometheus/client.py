"""Query a Prometheus, and map the errors that it answers with."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from aiohttp import BasicAuth

from onedoor.connectors.http_client import (
    BoundedHttpClient,
    HttpLimits,
    HttpService,
    StatusError,
    build_service_error,
)
from onedoor.connectors.prometheus.collections import PromQLRequest
from onedoor.errors import ConnectorError, ErrorCode

OK = 200

RESULT_TYPES = {"query": "vector", "query_range": "matrix"}

PROMETHEUS = HttpService(name="prometheus", too_long_code=ErrorCode.LIMIT_EXCEEDED, too_long_advice=", ask for less")

GAVE_UP = StatusError(message="gave up on the query, ask for less")

ERRORS_BY_TYPE: Mapping[str, StatusError] = {
    "bad_data": StatusError(message="cannot read the query that the settings declare", code=ErrorCode.SOURCE_INVALID),
    "execution": StatusError(message="could not carry out the query", code=ErrorCode.SOURCE_INVALID),
    "timeout": GAVE_UP,
    "canceled": GAVE_UP,
    "unavailable": StatusError(message="is not ready yet", retryable=True),
    "not_found": StatusError(message="does not know this request", code=ErrorCode.SOURCE_INVALID),
}
"""By the `errorType` of a response."""


class PrometheusClient:
    """Call the HTTP API of one server."""

    def __init__(self, base_url: str, limits: HttpLimits, *, auth: BasicAuth | None, token: str | None) -> None:
        headers = {"accept-encoding": "identity", **({"authorization": f"Bearer {token}"} if token else {})}
        self.http = BoundedHttpClient(limits, PROMETHEUS, headers=headers, auth=auth)
        self.limits = limits
        self.base_url = base_url

    async def execute(self, promql_request: PromQLRequest) -> Sequence[Any]:
        """Return the series of a query as they came. Raises ConnectorError."""
        data = await self.post(promql_request.path, promql_request.form)
        if data.get("resultType") != RESULT_TYPES[promql_request.path] or not isinstance(data.get("result"), list):
            raise self.http.build_unreadable_error()
        series: Sequence[Any] = data["result"]
        return series

    async def post(self, path: str, form: Mapping[str, str]) -> Mapping[str, Any]:
        """Return the data of a response. Raises ConnectorError."""
        url = f"{self.base_url}/api/v1/{path}"
        form = {**form, "timeout": f"{self.limits.timeout:g}s"}
        async with self.http.open_response("POST", url, data=form) as response:
            body = _parse_object(await self.http.read_body(response))
            if response.status != OK or body.get("status") != "success":
                raise self._map_failure(response.status, body)
            data = body.get("data")
            if not isinstance(data, Mapping):
                raise self.http.build_unreadable_error()
            return data

    def _map_failure(self, status: int, body: Mapping[str, Any]) -> ConnectorError:
        error_type = body.get("errorType")
        error = ERRORS_BY_TYPE.get(error_type) if isinstance(error_type, str) else None
        if error is not None:
            return build_service_error(error, PROMETHEUS)
        if status == OK and not body:
            return self.http.build_unreadable_error()
        return self.http.map_status(status)

    async def close(self) -> None:
        await self.http.close()


def _parse_object(body: bytes) -> Mapping[str, Any]:
    """Return an empty object for what is none."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, Mapping) else {}
