"""A file's name in, its media type out: Python's own list, the same on every machine, and what it lacks of tables."""

import mimetypes

TYPES = mimetypes.MimeTypes()
TYPES.add_type("application/vnd.apache.parquet", ".parquet")
TYPES.add_type("application/jsonl", ".jsonl")


PACKED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}


def media_type(name: str) -> str | None:
    """None: the ending says nothing. What is packed is of the type of what it is packed in."""
    found, packed = TYPES.guess_type(name)
    return found if packed is None else PACKED.get(packed)


def is_packed(name: str) -> bool:
    return TYPES.guess_type(name)[1] is not None
