"""A service's address or the file of its SDL in, its schema out. Raises Mistake, in one sentence."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from graphql import GraphQLError, GraphQLSchema, build_client_schema, build_schema, get_introspection_query

from auth.mistake import Mistake
from engine.errors import SourceFailed
from sources.graphql.calls import Calls
from sources.graphql.document import Document
from sources.graphql.source import ACCEPT
from sources.rest.calls import calls

PREFIX = "graphql+"
"""Before `https://`, where an address does not end as one of GraphQL."""
AUTHORIZATION = "GRAPHQL_AUTHORIZATION"
"""The environment variable that is sent as a header, if it is set."""
SECONDS, BYTES = 30.0, 67_108_864


def address(url: str) -> str | None:
    """None: it is a file."""
    found = url.removeprefix(PREFIX)
    return found if urlsplit(found).scheme in ("https", "http") else None


async def schema(url: str) -> GraphQLSchema:
    at = address(url)
    try:
        return _of_file(Path(url)) if at is None else await _asked(at)
    except SourceFailed as reason:
        raise Mistake(f"the service cannot be read: {reason.reason}") from None
    except OSError:
        raise Mistake("there is no such file, and it is no `https://` address either") from None
    except (GraphQLError, TypeError, ValueError):
        raise Mistake("what is there is no schema of GraphQL") from None


def _of_file(path: Path) -> GraphQLSchema:
    """Directives that nobody declared, such as those of a federation, are let be."""
    return build_schema(path.read_text(encoding="utf-8"), assume_valid_sdl=True)


async def _asked(url: str) -> GraphQLSchema:
    """Whoever types an address means it, wherever it leads."""
    said = os.environ.get(AUTHORIZATION)
    headers = {"accept": ACCEPT, **({"authorization": said} if said else {})}
    called = calls(url, headers, timeout=SECONDS, at_once=1, most=BYTES, private_addresses=True)
    try:
        data = await Calls(called, url).data(Document(text=get_introspection_query(), variables={}))
        return build_client_schema(dict(data))  # type: ignore[arg-type]
    finally:
        await called.session.close()
