"""A file's name in, its media type out: Python's own list, the same on every machine, and what it lacks of tables."""

import mimetypes

TYPES = mimetypes.MimeTypes()
TYPES.add_type("application/vnd.apache.parquet", ".parquet")
TYPES.add_type("application/jsonl", ".jsonl")


def media_type(name: str) -> str | None:
    """None: the ending says nothing."""
    return TYPES.guess_type(name)[0]
