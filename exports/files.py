"""The parts of an export in, the files that it is downloaded as out."""

from collections.abc import Mapping, Sequence

from exports.words import File, Format, Part, Stated

MEDIA: Mapping[Format, tuple[str, str]] = {
    Format.CSV: ("csv", "text/csv; charset=utf-8; header=present"),
    Format.JSONL: ("jsonl", "application/jsonl"),
    Format.PARQUET: ("parquet", "application/vnd.apache.parquet"),
    Format.ARROW: ("arrow", "application/vnd.apache.arrow.file"),
}
LINES = frozenset({Format.CSV, Format.JSONL})
"""Whose parts, one after another, are one file; of the others each part is a file."""


def files(stated: Stated, parts: Sequence[Part]) -> tuple[File, ...]:
    """`parts` in the order of their ranges, and of their rows; those without rows are in no file of theirs."""
    ending, _ = MEDIA[stated.wish.format]
    if stated.wish.format in LINES or len(parts) == 1:
        return (_file(stated, f"export.{ending}", parts),)
    held = [each for each in parts if each.rows] or list(parts[:1])
    if len(held) == 1:
        return (_file(stated, f"export.{ending}", held),)
    return tuple(_file(stated, f"part-{number:05}.{ending}", [each]) for number, each in enumerate(held, 1))


def _file(stated: Stated, name: str, parts: Sequence[Part]) -> File:
    return File(
        name=name,
        media=MEDIA[stated.wish.format][1],
        rows=sum(each.rows for each in parts),
        bytes=sum(each.bytes for each in parts),
        parts=tuple(parts),
    )
