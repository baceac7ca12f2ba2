"""What a client says it takes in; what it is sent out: the media type of its reply, and whether that is compressed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

GRAPHQL_JSON = "application/graphql-response+json"
JSON = "application/json"
EVENT_STREAM = "text/event-stream"
NAMED, KIND, ANY = 2, 1, 0
"""How closely a range fits a media type."""
RANGES_MAX = 64
WEIGHT = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """One of what a header such as Accept lists, with the weight it gives to that."""

    name: str
    charset: str
    weight: float


def media_for(accept: str) -> str | None:
    """The media type to reply in, None where the client takes neither; JSON where it takes any, as older ones do."""
    ranges = [each for each in _ranges(accept) if each.charset in ("", "utf-8", "utf8")]
    if not accept.strip():
        return JSON
    named = any(each.name == GRAPHQL_JSON for each in ranges)
    offers = (GRAPHQL_JSON, JSON) if named else (JSON, GRAPHQL_JSON)
    weight, _, best = max((*_fit(each, ranges), -place) for place, each in enumerate(offers))
    return offers[-best] if weight else None


def takes_events(accept: str) -> bool:
    """Whether the client names the media type of event streams; a range such as `*/*` does not."""
    return any(each.name == EVENT_STREAM and each.weight > 0 for each in _ranges(accept))


def gzips(accept_encoding: str) -> bool:
    """Whether the client takes gzip; one that does not say takes nothing but the plain text."""
    weights = {each.name: each.weight for each in _ranges(accept_encoding)}
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _fit(media: str, ranges: list[Range]) -> tuple[float, int]:
    """The weight given to the media type by the range that names it most closely, and how closely that is."""
    closeness = {media: NAMED, "application/*": KIND, "*/*": ANY}
    close, weight = max(
        ((closeness[each.name], each.weight) for each in ranges if each.name in closeness), default=(ANY, 0.0)
    )
    return weight, close


def _ranges(header: str) -> Iterator[Range]:
    """Those of the header that can be understood."""
    for each in header.split(",")[:RANGES_MAX]:
        name, *rest = (part.strip().lower() for part in each.split(";"))
        parameters = {
            word.strip(): value.strip().strip('"') for word, _, value in (part.partition("=") for part in rest)
        }
        weight = parameters.get("q", "1")
        if name and WEIGHT.fullmatch(weight):
            yield Range(name=name, charset=parameters.get("charset", ""), weight=float(weight))
