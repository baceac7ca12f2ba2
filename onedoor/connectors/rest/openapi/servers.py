"""Find where an OpenAPI document says that its API is, and which of its operations are elsewhere."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from onedoor.connectors.rest.openapi.document import JsonNode, OpenApiDocument

HTTP_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def find_main_server(document: OpenApiDocument, base_url: str = "") -> str:
    """Return the URL that most operations have, or the one given, if any of them has it; empty when none is named."""
    urls = Counter(filter(None, _iterate_server_urls(document)))
    given = base_url.rstrip("/")
    if given in urls:
        return given
    return get_server_url(document.root) or next((url for url, _ in urls.most_common(1)), "")


def is_served_elsewhere(owners: tuple[JsonNode, ...], main_server: str) -> bool:
    """Tell whether an operation has another server than the API; `owners`: itself, its path and the document."""
    url = _find_own_server(owners)
    return bool(url) and is_absolute_url(url) and url != main_server


def get_server_url(owner: JsonNode) -> str:
    """Return the first URL that is absolute, or else the first, with the defaults of its variables."""
    servers = owner.get("servers")
    servers = servers if isinstance(servers, list) else []
    urls = [_fill_variables(server) for server in servers if isinstance(server, Mapping)]
    return next(filter(is_absolute_url, urls), urls[0] if urls else "")


def is_absolute_url(url: str) -> bool:
    return urlsplit(url).scheme in ("http", "https")


def _iterate_server_urls(document: OpenApiDocument) -> Iterator[str]:
    for item in map(document.resolve, document.root["paths"].values()):
        for method in HTTP_METHODS:
            operation = item.get(method)
            if isinstance(operation, Mapping):
                yield _find_own_server((operation, item, document.root))


def _find_own_server(owners: tuple[JsonNode, ...]) -> str:
    return next(filter(None, map(get_server_url, owners)), "")


def _fill_variables(server: JsonNode) -> str:
    """Fill in each variable's default, or else the first of the values that it may have."""
    variables = server.get("variables")
    url = str(server.get("url", ""))
    for name, variable in variables.items() if isinstance(variables, Mapping) else ():
        if value := _choose_value(variable):
            url = url.replace(f"{{{name}}}", value)
    return url.strip().rstrip("/")


def _choose_value(variable: Any) -> str:
    if not isinstance(variable, Mapping):
        return ""
    values = variable.get("enum")
    first = values[0] if isinstance(values, list) and values else ""
    return str(variable.get("default") or first)
