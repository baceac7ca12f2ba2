"""What both services do with octets: what is kept to a reply, whole or a range of it."""

import re
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TypeAlias

from demo.azure.words import ETAGS, Call, Kept, Refusal, Reply

RANGE = re.compile(r"bytes=(\d+)-(\d*)")
Extent: TypeAlias = tuple[int, int]
"""From, and up to, but without."""


def told(kept: Kept, **more: str) -> dict[str, str]:
    return {
        "last-modified": format_datetime(kept.modified, usegmt=True),
        "etag": f'"{kept.etag}"',
        **kept.metadata,
        **more,
    }


def served(call: Call, kept: Kept, **more: str) -> Reply:
    body = bytes(kept.body or b"")
    headers = told(kept, **more) | {"content-type": kept.content_type, "accept-ranges": "bytes"}
    if call.method == "HEAD":
        return Reply(headers=headers | {"content-length": str(len(body))})
    extent = asked(call)
    if extent is None:
        return Reply(headers=headers, body=body)
    start, end = extent
    if start >= len(body):
        raise Refusal(416, "InvalidRange", "The range specified is invalid for the current size of the resource.")
    part = body[start:end]
    headers["content-range"] = f"bytes {start}-{start + len(part) - 1}/{len(body)}"
    return Reply(status=206, headers=headers, body=part)


def asked(call: Call) -> Extent | None:
    text = call.headers.get("x-ms-range") or call.headers.get("range")
    if text is None:
        return None
    found = RANGE.fullmatch(text)
    if found is None:
        raise Refusal(400, "InvalidHeaderValue", "The value for one of the HTTP headers is not in the correct format.")
    return int(found[1]), int(found[2]) + 1 if found[2] else 2**63


def changed(kept: Kept) -> None:
    kept.etag = f"0x{next(ETAGS):X}"
    kept.modified = datetime.now(UTC).replace(microsecond=0)
