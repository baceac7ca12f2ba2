"""Execute documents at a GraphQL service, and map the errors that it answers with."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from yarl import URL

from onedoor.connectors.graphql.compiler import GraphQLDocument
from onedoor.connectors.http_client import API, HttpLimits, build_unreadable_response_error, map_http_error
from onedoor.connectors.rest.client import NOT_FOUND, RestClient
from onedoor.errors import ConnectorError, ErrorCode

ACCEPT = "application/graphql-response+json, application/json;q=0.9"

STATUSES_BY_ERROR_CODE: Mapping[str, int] = {
    **dict.fromkeys(("RATE_LIMITED", "RATE_LIMIT_EXCEEDED", "THROTTLED", "TOO_MANY_REQUESTS"), 429),
    **dict.fromkeys(("UNAUTHENTICATED", "UNAUTHORIZED", "FORBIDDEN", "INVALID_TOKEN"), 401),
}
"""What codes that many services put into `extensions.code` of an error mean to HTTP."""


class GraphQLClient:
    """Call one service, bounded as any API is."""

    def __init__(self, url: str, headers: Mapping[str, str], limits: HttpLimits) -> None:
        self.rest_client = RestClient(url, {"accept": ACCEPT, **headers}, limits)
        self.limits = limits
        self.url = URL(url, encoded=True)

    async def execute(self, document: GraphQLDocument) -> Mapping[str, Any]:
        """Return the data of the response. Raises ConnectorError, for errors beside the data too."""
        body = orjson.dumps({"query": document.text, "variables": document.variables})
        response = await self.rest_client.post(self.url, body)
        if response is None:
            raise map_http_error(NOT_FOUND, API)
        return _extract_data(response.body)

    async def close(self) -> None:
        await self.rest_client.close()


def _extract_data(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise build_unreadable_response_error(API)
    errors = body.get("errors")
    if errors:
        raise _map_graphql_errors(errors if isinstance(errors, Sequence) else ())
    if not isinstance(body.get("data"), dict):
        raise build_unreadable_response_error(API)
    data: Mapping[str, Any] = body["data"]
    return data


def _map_graphql_errors(errors: Sequence[Any]) -> ConnectorError:
    """Map the errors of a response; their messages may hold secrets, so none of them is passed on."""
    codes = map(_parse_error_code, errors)
    statuses = {STATUSES_BY_ERROR_CODE[code] for code in codes if code in STATUSES_BY_ERROR_CODE}
    if statuses:
        return map_http_error(max(statuses), API)
    return ConnectorError("the API answered with errors", ErrorCode.SOURCE_INVALID)


def _parse_error_code(error: Any) -> str:
    extensions = error.get("extensions") if isinstance(error, Mapping) else None
    code = extensions.get("code") if isinstance(extensions, Mapping) else None
    return code.upper() if isinstance(code, str) else ""
