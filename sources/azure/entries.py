"""One page of a listing in, what it lists and where the next begins out."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from mimetypes import MimeTypes
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from sources.content.words import HIDDEN

TYPES = MimeTypes()
"""Python's own list, the same on every machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file, or a directory or share, which has no size: `path` is where it is in its root."""

    path: str
    size: int | None
    content_type: str | None
    modified: datetime
    version: str
    quota: int | None
    """How many GiB a share may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """`marker`: where the next page begins, empty after the last."""

    files: tuple[Entry, ...] = ()
    directories: tuple[Entry, ...] = ()
    marker: str = ""


NOTHING = Page()


def blobs(listing: Element) -> Page:
    found = [entry(each, "", content_type=None) for each in listing.iterfind("Blobs/Blob")]
    return Page(files=tuple(found), marker=marker(listing))


def directory(listing: Element, within: str) -> Page:
    """`within` ends with `/`, or is empty. A file's content type is guessed: Azure's listing does not tell it."""
    shown = [each for each in listing.iterfind("Entries/File") if not name(each).startswith(HIDDEN)]
    files = [entry(each, within, content_type=TYPES.guess_type(name(each))[0]) for each in shown]
    directories = [entry(each, within, content_type=None) for each in listing.iterfind("Entries/Directory")]
    return Page(files=tuple(files), directories=tuple(directories), marker=marker(listing))


def shares(listing: Element) -> Page:
    found = [entry(each, "", content_type=None) for each in listing.iterfind("Shares/Share")]
    return Page(directories=tuple(found), marker=marker(listing))


def entry(listed: Element, within: str, *, content_type: str | None) -> Entry:
    """Raises KeyError, ValueError where what must be said is not."""
    said = {each.tag: each.text or "" for each in listed.iterfind("Properties/*")}
    return Entry(
        path=within + name(listed),
        size=int(said["Content-Length"]) if "Content-Length" in said else None,
        content_type=said.get("Content-Type") or content_type,
        modified=parsedate_to_datetime(said["Last-Modified"]).astimezone(UTC),
        version=said["Etag"].strip('"'),
        quota=int(said["Quota"]) if "Quota" in said else None,
    )


def name(listed: Element) -> str:
    """What XML cannot hold stands percent-encoded, and the listing says so. Raises ValueError."""
    found = listed.find("Name")
    if found is None or not found.text:
        raise ValueError("no name")
    return unquote(found.text, errors="strict") if found.get("Encoded") == "true" else found.text


def stood(path: str, headers: Mapping[str, str]) -> Entry:
    """A file as its own headers tell it. Raises KeyError, ValueError where what must be said is not."""
    return Entry(
        path=path,
        size=int(headers["content-length"]),
        content_type=headers.get("content-type"),
        modified=parsedate_to_datetime(headers["last-modified"]).astimezone(UTC),
        version=headers["etag"].strip('"'),
        quota=None,
    )


def marker(listing: Element) -> str:
    return listing.findtext("NextMarker") or ""
