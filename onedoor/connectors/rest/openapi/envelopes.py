"""Find the list, or the one object, in the envelope that an API puts around it: told by meaning, not by counting."""

from collections.abc import Mapping
from dataclasses import dataclass

from onedoor.codegen.naming import Words, singularize_last, split_words
from onedoor.connectors.json_rows import JsonPath
from onedoor.connectors.rest.openapi.document import OpenApiDocument
from onedoor.connectors.rest.openapi.schemas import SCALAR_TYPES, ResolvedSchema, resolve_schema

MAX_ENVELOPE_DEPTH = 3

LIST_NAMES = frozenset(
    {
        "data", "items", "results", "result", "entries", "values", "value", "records", "rows", "elements", "resources",
        "list", "collection", "nodes", "hits", "docs", "documents", "objects", "entities", "members", "response",
        "responses", "content", "contents", "payload",
    }
)  # fmt: skip
"""What vendors call a list of anything."""

PLAIN_LIST_NAMES = LIST_NAMES - {"content", "contents", "members", "value", "response", "responses", "payload"}
"""Those that say so even beside values that are not about the page."""

OBJECT_NAMES = frozenset(
    {"data", "result", "results", "response", "payload", "body", "item", "d", "embedded", "content", "attributes"}
)
"""What vendors call an object of anything: that of HAL is `_embedded`, that of OData 2 is `d`."""

PAGE_WORDS = frozenset(
    {
        "page", "pages", "paging", "pagination", "per", "size", "limit", "offset", "skip", "top", "count", "counts",
        "total", "totals", "next", "previous", "prev", "first", "last", "start", "started", "end", "more", "has",
        "is",
        "cursor", "cursors", "marker", "token", "continue", "continuation", "from", "to", "before", "after", "since",
        "until", "index", "number", "num", "items", "item", "results", "result", "records", "entries", "elements",
        "rows",
        "hits", "max", "min", "current", "remaining", "returned", "filtered", "chunk", "stream", "position", "query",
        "incomplete", "truncated", "self", "request", "response", "success", "ok", "status", "code", "error", "errors",
        "message", "warning", "warnings", "object", "type", "kind", "api", "version", "etag", "took", "sync", "context",
        "date", "time", "delta", "odata",
    }
)  # fmt: skip
"""Words of which the names of values consist that tell of a page and of no row."""

LINK_WORDS = frozenset({"url", "uri", "link", "links", "href"})

COMMENTARY_NAMES = frozenset(
    {
        "meta", "metadata", "links", "link", "page", "pages", "paging", "pagination", "page_info", "cursor", "cursors",
        "errors", "error", "warnings", "warning", "messages", "included", "includes", "order", "sort", "sorts",
        "facets",
        "schemas", "response_metadata", "aggregations", "additional_fields", "expandable", "filters", "query", "debug",
        "range", "navigation", "totals", "response_status", "search_metadata",
    }
)  # fmt: skip
"""Objects and lists that stand beside the rows and tell of them, or of the page."""

PAGING_EVIDENCE = frozenset(
    {
        "page", "pages", "paging", "pagination", "next", "previous", "prev", "more", "cursor", "marker", "offset",
        "total", "continue", "truncated",
    }
)  # fmt: skip

IDENTITY_NAMES = frozenset({"id", "uuid", "guid", "gid", "sid", "key", "slug", "login"})
"""Values that only a row has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundList:
    """The list in an envelope, and the names of values beside it that are no row's and tell of no page."""

    path: JsonPath
    array: ResolvedSchema
    beside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundObject:
    """The one object in an envelope. `doubtful_lists`: those in it that may be what is meant instead."""

    path: JsonPath
    schema: ResolvedSchema
    doubtful_lists: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopeReader:
    """Look into the responses of one operation, whose path has the words `segments`.

    `has_pages`: it takes parameters of paging. `is_row_path`: its path ends in a parameter, as that of one row does.
    """

    document: OpenApiDocument
    segments: tuple[Words, ...]
    has_pages: bool
    is_row_path: bool = False

    def find_rows(self, response: ResolvedSchema) -> FoundList | FoundObject:
        found = self._find_list(response, ())
        return found or self._find_object(response)

    def _find_list(self, envelope: ResolvedSchema, place: JsonPath) -> FoundList | None:
        members = self._resolve_members(envelope)
        name = self._choose_list(members)
        if name is not None:
            beside = tuple(other for other, member in members.items() if other != name and not _is_page(other, member))
            return FoundList(path=(*place, name), array=members[name], beside=beside)
        if len(place) >= MAX_ENVELOPE_DEPTH or self._list_candidates(members):
            return None
        for name in self._choose_inner_objects(members):
            found = self._find_list(members[name], (*place, name))
            if found is not None:
                return found
        return None

    def _resolve_members(self, envelope: ResolvedSchema) -> Mapping[str, ResolvedSchema]:
        return {name: resolve_schema(self.document, node) for name, node in envelope.properties.items() if name}

    def _choose_list(self, members: Mapping[str, ResolvedSchema]) -> str | None:
        """Choose the list that the envelope is for; None when it is a row itself, or that is in doubt."""
        candidates = self._list_candidates(members)
        rest = {name: member for name, member in members.items() if name not in candidates}
        only_pages = all(_is_page(name, member) for name, member in rest.items())
        has_evidence = self.has_pages or any(_is_paging(name) for name in rest)
        is_row = any(_is_identity(name, member) for name, member in rest.items())
        if is_row and not self.has_pages:
            return None
        named = self._choose_named(candidates, last_segment_only=not (only_pages or has_evidence))
        if named is not None:
            return named
        general = [name for name in candidates if _normalize(name) in (LIST_NAMES if only_pages else PLAIN_LIST_NAMES)]
        if len(general) == 1 and (only_pages or self._has_object_items(members[general[0]])):
            return general[0]
        return candidates[0] if len(candidates) == 1 and (only_pages or has_evidence) else None

    def _list_candidates(self, members: Mapping[str, ResolvedSchema]) -> list[str]:
        return [name for name, member in members.items() if self._may_be_rows(name, member)]

    def _may_be_rows(self, name: str, member: ResolvedSchema) -> bool:
        """Tell whether a member is a list of objects, or of values where it has a name that rows have."""
        if member.type != "array":
            return False
        is_named = self._find_distance(name) is not None
        if _normalize(name) in COMMENTARY_NAMES and not is_named:
            return False
        if self._has_object_items(member):
            return True
        has_scalars = resolve_schema(self.document, member.items).type in SCALAR_TYPES
        return has_scalars and (is_named or _normalize(name) in LIST_NAMES)

    def _has_object_items(self, array: ResolvedSchema) -> bool:
        item = resolve_schema(self.document, array.items)
        return item.type == "object" and bool(item.properties)

    def _choose_named(self, names: list[str], *, last_segment_only: bool) -> str | None:
        """Choose the one that has the noun of a segment of the path, of the last one that any has the noun of."""
        distances = {name: distance for name in names if (distance := self._find_distance(name)) is not None}
        if last_segment_only:
            distances = {name: distance for name, distance in distances.items() if distance == 0}
        nearest = [name for name, distance in distances.items() if distance == min(distances.values())]
        return nearest[0] if len(nearest) == 1 else None

    def _find_distance(self, name: str) -> int | None:
        """Return how many segments from the end of the path the one of this name stands; None where none has it."""
        words = singularize_last(split_words(name))
        distances = (
            distance
            for distance, segment in enumerate(reversed(self.segments))
            if _have_same_noun(words, singularize_last(segment), is_last=distance == 0)
        )
        return next(distances, None)

    def _choose_inner_objects(self, members: Mapping[str, ResolvedSchema]) -> list[str]:
        """Choose the objects that may hold the list: those of a general name, of the path's, or the only one.

        Commentary comes last: some vendors put the list there.
        """
        objects = [name for name, member in members.items() if member.type == "object" and member.properties]
        plain = [name for name in objects if _normalize(name) not in COMMENTARY_NAMES]
        if any(_is_identity(name, member) for name, member in members.items()):
            return []
        likely = [name for name in plain if _normalize(name) in OBJECT_NAMES or self._find_distance(name) is not None]
        likely += [name for name in plain if len(plain) == 1 and name not in likely]
        return likely + ([name for name in objects if name not in plain] if not plain else [])

    def _find_object(self, response: ResolvedSchema) -> FoundObject:
        """Return the object itself, or the only one that stands in it beside words of paging."""
        place: JsonPath = ()
        while len(place) < MAX_ENVELOPE_DEPTH:
            members = self._resolve_members(response)
            plain = {name: member for name, member in members.items() if not _is_page(name, member)}
            if len(plain) != 1:
                break
            ((name, member),) = plain.items()
            is_wrapped = _normalize(name) in OBJECT_NAMES or self._find_distance(name) is not None
            if member.type != "object" or not member.properties or not (is_wrapped or len(members) == 1):
                break
            place, response = (*place, name), member
        members = self._resolve_members(response)
        scalars = {name: member for name, member in members.items() if member.type in SCALAR_TYPES}
        own = [name for name, member in scalars.items() if not _is_page(name, member)]
        is_row = any(self.is_row_path or _normalize(name) in IDENTITY_NAMES for name in own)
        lists = () if is_row else tuple(self._list_candidates(members))
        return FoundObject(path=place, schema=response, doubtful_lists=lists)


def _normalize(name: str) -> str:
    """Return `page_info` for `pageInfo` and `embedded` for `_embedded`."""
    return "_".join(split_words(name))


def _have_same_noun(words: Words, segment: Words, *, is_last: bool) -> bool:
    """Tell whether a member is named as a segment is; of the last one, its last word or its beginning is enough."""
    return words == segment or (is_last and (words[-1:] == segment[-1:] or words[: len(segment)] == segment))


def _is_page(name: str, member: ResolvedSchema) -> bool:
    """Tell whether a member tells of the page and of no row."""
    words = set(split_words(name))
    if member.type in SCALAR_TYPES or not member.type:
        return member.format in ("uri", "url") or words <= PAGE_WORDS or bool(words & LINK_WORDS)
    return _normalize(name) in COMMENTARY_NAMES or words <= {"links", "meta", "page", "paging", "pagination", "info"}


def _is_paging(name: str) -> bool:
    return not PAGING_EVIDENCE.isdisjoint(split_words(name))


def _is_identity(name: str, member: ResolvedSchema) -> bool:
    return member.type in SCALAR_TYPES and _normalize(name) in IDENTITY_NAMES
