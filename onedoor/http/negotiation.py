"""Choose the media type of a response from what its client accepts (RFC 9110, section 12.5)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

GRAPHQL_JSON = "application/graphql-response+json"

JSON = "application/json"

EVENT_STREAM = "text/event-stream"

UTF_8_CHARSETS = ("", "utf-8", "utf8")

EXACT_MATCH, TYPE_MATCH, ANY_MATCH = 2, 1, 0
"""How closely a media range matches a media type."""

MEDIA_RANGES_MAX = 64

QUALITY_VALUE = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaRange:
    """A range that a header such as Accept lists, with its weight."""

    name: str
    charset: str
    quality: float


def choose_media_type(accept: str) -> str | None:
    """Return the media type to respond in: JSON where the client accepts any, None where it accepts neither."""
    ranges = [media_range for media_range in _parse_media_ranges(accept) if media_range.charset in UTF_8_CHARSETS]
    if not accept.strip():
        return JSON
    names_graphql = any(media_range.name == GRAPHQL_JSON for media_range in ranges)
    offers = (GRAPHQL_JSON, JSON) if names_graphql else (JSON, GRAPHQL_JSON)
    quality, _, best = max((*_match_quality(offer, ranges), -place) for place, offer in enumerate(offers))
    return offers[-best] if quality else None


def accepts_event_stream(accept: str) -> bool:
    """Whether the client names the media type of event streams; a range such as `*/*` does not."""
    return any(accepted.name == EVENT_STREAM and accepted.quality > 0 for accepted in _parse_media_ranges(accept))


def accepts_html(accept: str) -> bool:
    """Whether the client names HTML, as browsers do for what is typed into their address bar."""
    return any(accepted.name == "text/html" and accepted.quality > 0 for accepted in _parse_media_ranges(accept))


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether the client accepts gzip; one that does not say accepts the plain text alone."""
    qualities = {coding.name: coding.quality for coding in _parse_media_ranges(accept_encoding)}
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0


def _match_quality(media_type: str, ranges: list[MediaRange]) -> tuple[float, int]:
    """Return the weight of the range that matches the media type most closely, and how closely that is."""
    closeness = {media_type: EXACT_MATCH, "application/*": TYPE_MATCH, "*/*": ANY_MATCH}
    matches = ((closeness[match.name], match.quality) for match in ranges if match.name in closeness)
    best_closeness, quality = max(matches, default=(ANY_MATCH, 0.0))
    return quality, best_closeness


def _parse_media_ranges(header: str) -> Iterator[MediaRange]:
    """Yield the ranges of a header that can be parsed."""
    for element in header.split(",")[:MEDIA_RANGES_MAX]:
        name, *pairs = (part.strip().lower() for part in element.split(";"))
        parameters = {
            parameter.strip(): value.strip().strip('"')
            for parameter, _, value in (pair.partition("=") for pair in pairs)
        }
        quality = parameters.get("q", "1")
        if name and QUALITY_VALUE.fullmatch(quality):
            yield MediaRange(name=name, charset=parameters.get("charset", ""), quality=float(quality))
