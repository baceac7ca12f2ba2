"""A document in, the service's data out: errors beside data are a failure, as nobody knows which nulls they made."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from yarl import URL

from sources.graphql.document import Document
from sources.graphql.failures import refusal
from sources.rest import calls as rest
from sources.rest.calls import NOT_FOUND
from sources.rest.failures import refused, unreadable


class Calls:
    """One service's calls, bounded as those of any API."""

    def __init__(self, calls: rest.Calls, url: str) -> None:
        self.calls = calls
        self.url = URL(url, encoded=True)

    async def data(self, document: Document) -> Mapping[str, Any]:
        """Raises SourceFailed."""
        body = orjson.dumps({"query": document.text, "variables": document.variables})
        answer = await self.calls.asked(self.url, body)
        if answer is None:
            raise refused(NOT_FOUND)
        return _data(answer.said)


def _data(said: Any) -> Mapping[str, Any]:
    if not isinstance(said, dict):
        raise unreadable()
    errors = said.get("errors")
    if errors:
        raise refusal(errors if isinstance(errors, Sequence) else ())
    if not isinstance(said.get("data"), dict):
        raise unreadable()
    data: Mapping[str, Any] = said["data"]
    return data
