"""Media types; requests rejected before they are GraphQL."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

GRAPHQL_JSON = "application/graphql-response+json"

JSON = "application/json"

EVENT_STREAM = "text/event-stream"

EXACT_MATCH, TYPE_MATCH, ANY_MATCH = 2, 1, 0
"""How closely a range fits a media type."""

MEDIA_RANGES_MAX = 64

QUALITY_VALUE = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaRange:
    """One of what a header such as Accept lists, with the weight it gives to that."""

    name: str
    charset: str
    quality: float


def choose_media_type(accept: str) -> str | None:
    """The media type to reply in, None where the client takes neither; JSON where it takes any, as older ones do."""
    ranges = [each for each in _parse_media_ranges(accept) if each.charset in ("", "utf-8", "utf8")]
    if not accept.strip():
        return JSON
    named = any(each.name == GRAPHQL_JSON for each in ranges)
    offers = (GRAPHQL_JSON, JSON) if named else (JSON, GRAPHQL_JSON)
    weight, _, best = max((*_match_quality(each, ranges), -place) for place, each in enumerate(offers))
    return offers[-best] if weight else None


def accepts_event_stream(accept: str) -> bool:
    """Whether the client names the media type of event streams; a range such as `*/*` does not."""
    return any(each.name == EVENT_STREAM and each.quality > 0 for each in _parse_media_ranges(accept))


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether the client takes gzip; one that does not say takes nothing but the plain text."""
    weights = {each.name: each.quality for each in _parse_media_ranges(accept_encoding)}
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _match_quality(media_type: str, ranges: list[MediaRange]) -> tuple[float, int]:
    """The weight given to the media type by the range that names it most closely, and how closely that is."""
    closeness = {media_type: EXACT_MATCH, "application/*": TYPE_MATCH, "*/*": ANY_MATCH}
    close, weight = max(
        ((closeness[each.name], each.quality) for each in ranges if each.name in closeness), default=(ANY_MATCH, 0.0)
    )
    return weight, close


def _parse_media_ranges(header: str) -> Iterator[MediaRange]:
    """Those of the header that can be understood."""
    for each in header.split(",")[:MEDIA_RANGES_MAX]:
        name, *rest = (part.strip().lower() for part in each.split(";"))
        parameters = {
            word.strip(): value.strip().strip('"') for word, _, value in (part.partition("=") for part in rest)
        }
        weight = parameters.get("q", "1")
        if name and QUALITY_VALUE.fullmatch(weight):
            yield MediaRange(name=name, charset=parameters.get("charset", ""), quality=float(weight))
