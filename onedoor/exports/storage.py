"""Parts and manifests on disk."""

import fcntl
import os
import re
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path

from onedoor.audit.log import sync_folder
from onedoor.exports import models
from onedoor.exports.models import ExportFile, ExportPart, ExportPlan, ExportResult, ExportState, ExportStopped, Format

EXPORT_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,99}")

PLAN_FILE, RESULT_FILE, MANIFEST_FILE, CLAIM_FILE, NEW_PART_FILE = (
    "stated.json",
    "ended.json",
    "manifest.jsonl",
    "claim",
    "fresh",
)

CHUNK_BYTES = 2**20


class FolderExportStore:
    """A `Store`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add_plan(self, plan: ExportPlan) -> bool:
        place = self._get_export_path(plan.id)
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        for each in plan.ranges:
            (place / _format_range_name(each.number)).mkdir(exist_ok=True)
        sync_folder(self.folder)
        return _write_once(place / PLAN_FILE, models.encode_export_json(plan))

    def load_plan(self, id: str) -> ExportPlan | None:
        found = _read_bytes(self._get_export_path(id) / PLAN_FILE) if EXPORT_ID.fullmatch(id) else None
        return None if found is None else models.parse_plan(found)

    @contextmanager
    def claim_range(self, id: str, number: int) -> Iterator[bool]:
        file = os.open(
            self._get_export_path(id) / _format_range_name(number) / CLAIM_FILE,
            os.O_CREAT | os.O_RDWR | os.O_CLOEXEC,
            0o600,
        )
        try:
            ours = False
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                ours = True
            yield ours
        finally:
            os.close(file)

    def list_parts(self, id: str, number: int) -> Sequence[ExportPart]:
        found = _read_bytes(self._get_export_path(id) / _format_range_name(number) / MANIFEST_FILE) or b""
        whole = found[: found.rfind(b"\n") + 1]
        return tuple(models.parse_part(each) for each in whole.splitlines())

    def sweep_range(self, id: str, number: int) -> None:
        place = self._get_export_path(id) / _format_range_name(number)
        manifest = place / MANIFEST_FILE
        whole = (_read_bytes(manifest) or b"").rfind(b"\n") + 1
        if manifest.exists() and manifest.stat().st_size > whole:
            os.truncate(manifest, whole)
        named = {MANIFEST_FILE, CLAIM_FILE, *(_format_part_name(each.number) for each in self.list_parts(id, number))}
        for each in place.iterdir():
            if each.name not in named:
                each.unlink()

    def new_part_path(self, id: str, number: int) -> Path:
        return self._get_export_path(id) / _format_range_name(number) / NEW_PART_FILE

    def keep_part(self, id: str, part: ExportPart, written: Path) -> None:
        place = self._get_export_path(id) / _format_range_name(part.range)
        _sync_file(written)
        written.rename(place / _format_part_name(part.number))
        sync_folder(place)
        _append_manifest_line(place / MANIFEST_FILE, models.encode_export_json(part) + b"\n")
        sync_folder(place)

    def add_result(self, id: str, result: ExportResult) -> ExportResult:
        _write_once(self._get_export_path(id) / RESULT_FILE, models.encode_export_json(result))
        return self.load_result(id) or result

    def load_result(self, id: str) -> ExportResult | None:
        found = _read_bytes(self._get_export_path(id) / RESULT_FILE)
        return None if found is None else models.parse_result(found)

    async def read_part(self, id: str, part: ExportPart) -> AsyncIterator[bytes]:
        """Its end is not given away before all of it was found to be what was written."""
        found, held = sha256(), b""
        with (self._get_export_path(id) / _format_range_name(part.range) / _format_part_name(part.number)).open(
            "rb"
        ) as file:
            for chunk in iter(partial(file.read, CHUNK_BYTES), b""):
                found.update(chunk)
                if held:
                    yield held
                held = chunk
        if found.hexdigest() != part.sha256:
            raise ExportStopped(
                ExportState.FAILED, f"part {part.number} of the export is not what was written: export it again"
            )
        yield held

    def delete_before(self, before: datetime) -> None:
        """Removes the exports that were started before then, done or not."""
        for each in self.folder.iterdir() if self.folder.exists() else ():
            stated = self.load_plan(each.name)
            if stated is not None and datetime.fromisoformat(stated.started) < before:
                shutil.rmtree(each)

    def _get_export_path(self, id: str) -> Path:
        if not EXPORT_ID.fullmatch(id):
            raise ValueError("no export has such an id")
        return self.folder / id


def hash_file(path: Path) -> str:
    with path.open("rb") as file:
        found = sha256()
        for chunk in iter(partial(file.read, CHUNK_BYTES), b""):
            found.update(chunk)
        return found.hexdigest()


def _format_range_name(number: int) -> str:
    return f"range-{number:04}"


def _format_part_name(number: int) -> str:
    return f"part-{number:05}"


def _write_once(path: Path, body: bytes) -> bool:
    """Whole or not at all, and never in place of another; durable in either case."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    fresh.write_bytes(body)
    _sync_file(fresh)
    try:
        os.link(fresh, path)
        return True
    except FileExistsError:
        return False
    finally:
        fresh.unlink()
        sync_folder(path.parent)


def _append_manifest_line(path: Path, line: bytes) -> None:
    file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    try:
        os.write(file, line)
        os.fsync(file)
    finally:
        os.close(file)


def _sync_file(path: Path) -> None:
    file = os.open(path, os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _read_bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


MEDIA_TYPES: Mapping[Format, tuple[str, str]] = {
    Format.CSV: ("csv", "text/csv; charset=utf-8; header=present"),
    Format.JSONL: ("jsonl", "application/jsonl"),
    Format.PARQUET: ("parquet", "application/vnd.apache.parquet"),
    Format.ARROW: ("arrow", "application/vnd.apache.arrow.file"),
}

LINE_FORMATS = frozenset({Format.CSV, Format.JSONL})
"""Whose parts, one after another, are one file; of the others each part is a file."""


def build_export_files(plan: ExportPlan, parts: Sequence[ExportPart]) -> tuple[ExportFile, ...]:
    """`parts` in the order of their ranges, and of their rows; those without rows are in no file of theirs."""
    ending, _ = MEDIA_TYPES[plan.wish.format]
    if plan.wish.format in LINE_FORMATS or len(parts) == 1:
        return (_build_export_file(plan, f"export.{ending}", parts),)
    held = [each for each in parts if each.rows] or list(parts[:1])
    if len(held) == 1:
        return (_build_export_file(plan, f"export.{ending}", held),)
    return tuple(_build_export_file(plan, f"part-{number:05}.{ending}", [each]) for number, each in enumerate(held, 1))


def _build_export_file(stated: ExportPlan, name: str, parts: Sequence[ExportPart]) -> ExportFile:
    return ExportFile(
        name=name,
        media_type=MEDIA_TYPES[stated.wish.format][1],
        rows=sum(each.rows for each in parts),
        bytes=sum(each.bytes for each in parts),
        parts=tuple(parts),
    )
