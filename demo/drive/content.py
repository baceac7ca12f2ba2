"""A file in, its bytes out: as they are, or exported in another form."""

import re
from collections.abc import Callable, Mapping

from demo.drive.failures import Failure
from demo.world.documents import DOC, GOOGLE, SHEET, Document

MOST = 10_485_760
RANGE = re.compile(r"bytes=(\d+)-(\d*)")
NO_RANGE = 416


def as_text(body: bytes) -> bytes:
    """As Google writes plain text: with a mark of its encoding, and lines that end in two characters."""
    return b"\xef\xbb\xbf" + body.replace(b"\n", b"\r\n")


def as_csv(body: bytes) -> bytes:
    return body.replace(b"\n", b"\r\n")


FORMS: Mapping[str, Mapping[str, Callable[[bytes], bytes]]] = {
    DOC: {"text/plain": as_text, "text/markdown": bytes},
    SHEET: {"text/csv": as_csv, "text/tab-separated-values": lambda body: as_csv(body).replace(b",", b"\t")},
}


def exported(document: Document, content_type: str) -> bytes:
    forms = FORMS.get(document.content_type)
    if forms is None:
        raise Failure(403, "fileNotExportable", "Export only supports Docs Editors files.")
    if content_type not in forms:
        raise Failure(400, "badRequest", "The requested conversion is not supported.", "convertTo")
    body = forms[content_type](document.body)
    if len(body) > MOST:
        raise Failure(403, "exportSizeLimitExceeded", "This file is too large to be exported.")
    return body


def stored(document: Document) -> bytes:
    if document.content_type.startswith(GOOGLE):
        raise Failure(
            403, "fileNotDownloadable",
            "Only files with binary content can be downloaded. Use Export with Docs Editors files.", "alt",
        )  # fmt: skip
    return document.body


def ranged(body: bytes, header: str | None) -> tuple[int, bytes, Mapping[str, str]]:
    """Status, bytes and headers; a range that cannot be read is none."""
    found = None if header is None else RANGE.fullmatch(header)
    if found is None:
        return 200, body, {}
    first, last = int(found[1]), min(int(found[2] or len(body)), len(body) - 1)
    if first >= len(body) or last < first:
        return NO_RANGE, b"", {"content-range": f"bytes */{len(body)}"}
    return 206, body[first : last + 1], {"content-range": f"bytes {first}-{last}/{len(body)}"}
