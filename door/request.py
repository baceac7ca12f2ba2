"""An HTTP request in, the question and the key it carries out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson

from door.documents import Documents, text_of
from door.negotiate import EVENT_STREAM, GRAPHQL_JSON, JSON, media_for, takes_events
from door.shut import Shut
from engine.desk import Question
from engine.errors import Code, Fault, Refused
from engine.house import Limits

UTF_8 = ("", "utf-8", "utf8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What the headers say."""

    method: str
    query: bytes
    key: str | None
    media: str
    charset: str
    accept: str
    encodings: str
    length: int | None
    encoding: str
    request_id: str | None
    origin: str | None


def head(scope: Mapping[str, Any]) -> Head:
    """Two different keys are no key: the request is then judged as one without."""
    headers: dict[bytes, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.lower(), []).append(value.decode("latin-1"))
    one = {name: values[0] for name, values in headers.items()}
    length = one.get(b"content-length", "")
    media, _, parameters = one.get(b"content-type", "").lower().partition(";")
    return Head(
        method=scope["method"],
        query=scope["query_string"],
        key=_key(headers),
        media=media.strip(),
        charset=_charset(parameters),
        accept=", ".join(headers.get(b"accept", ())),
        encodings=", ".join(headers.get(b"accept-encoding", ())),
        length=int(length) if length.isascii() and length.isdigit() and len(length) < 16 else None,
        encoding=one.get(b"content-encoding", "").strip().lower(),
        request_id=one.get(b"x-request-id"),
        origin=one.get(b"origin"),
    )


def _charset(parameters: str) -> str:
    each = (part.partition("=") for part in parameters.split(";"))
    return next((value.strip(' "') for name, _, value in each if name.strip() == "charset"), "")


def _key(headers: Mapping[bytes, list[str]]) -> str | None:
    given = {value.strip() for value in headers.get(b"x-api-key", ())}
    for value in headers.get(b"authorization", ()):
        scheme, _, rest = value.strip().partition(" ")
        given.add(rest.strip() if scheme.lower() == "bearer" else value)
    return given.pop() if len(given) == 1 else None


def question(head: Head, body: bytes, limits: Limits, documents: Documents) -> Question:
    """Raises Shut for what is no GraphQL request over HTTP, Refused for what is one, but not a whole one."""
    if head.method not in ("GET", "POST"):
        raise Shut(405, "ask with GET or POST", {"allow": "GET, POST, OPTIONS"})
    if media_for(head.accept) is None and not takes_events(head.accept):
        raise Shut(406, f"replies come as `{GRAPHQL_JSON}`, `{JSON}` or `{EVENT_STREAM}`, accept one of them")
    if head.method == "GET":
        return asked(_from_url(head.query), limits.variables_depth, documents)
    if head.media != JSON or head.charset not in UTF_8:
        raise Shut(415, f"send the question as `{JSON}`, in UTF-8")
    if head.encoding not in ("", "identity"):
        raise Shut(415, "send the question uncompressed")
    return asked(_parsed(body, "the body"), limits.variables_depth, documents)


def _from_url(query: bytes) -> dict[str, Any]:
    try:
        given: dict[str, Any] = dict(parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=20))
    except ValueError:
        raise Shut(400, "the address holds what is no query string") from None
    for name in ("variables", "extensions"):
        if name in given:
            given[name] = _parsed(given[name].encode(errors="surrogatepass"), f"`{name}`") if given[name] else None
    return given


def _parsed(text: bytes, what: str) -> Any:
    try:
        return orjson.loads(text)
    except (orjson.JSONDecodeError, RecursionError):
        raise Shut(400, f"{what} is not JSON") from None


def asked(given: Any, deepest: int, documents: Documents) -> Question:
    """The question that a JSON object asks, wherever it came."""
    if not isinstance(given, dict):
        raise Shut(400, "send one question, as a JSON object with `query`")
    variables, name, extensions = given.get("variables"), given.get("operationName"), given.get("extensions")
    if variables is not None and not isinstance(variables, dict):
        raise Shut(400, "`variables` must be an object")
    if name is not None and not isinstance(name, str):
        raise Shut(400, "`operationName` must be text")
    if extensions is not None and not isinstance(extensions, dict):
        raise Shut(400, "`extensions` must be an object")
    options = (extensions or {}).get("onedoor") or {}
    if not isinstance(options, dict):
        raise Shut(400, "`extensions.onedoor` must be an object")
    if _levels(variables or {}, deepest) > deepest:
        limit = f"the limit `variables_depth` of {deepest}"
        raise Refused(Fault(code=Code.LIMIT_EXCEEDED, message=f"`variables` nest deeper than {limit}, flatten them"))
    text, document = text_of(documents, given)
    return Question(text=text, variables=variables or {}, operation=name or None, options=options, document=document)


def _levels(value: Any, enough: int) -> int:
    """How deep the value nests; stops counting past enough, and needs no stack of calls."""
    deepest = 0
    waiting = [(value, 1)]
    while waiting and deepest <= enough:
        here, level = waiting.pop()
        deepest = max(deepest, level)
        inner = here.values() if isinstance(here, dict) else here if isinstance(here, list) else ()
        waiting.extend((each, level + 1) for each in inner)
    return deepest
