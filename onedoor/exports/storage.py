"""Store exports in a folder: a plan and a result per export, and a manifest and its parts per range.

    <id>/stated.json, ended.json, range-0001/manifest.jsonl, range-0001/part-00001, ...

The names and their contents never change: exports under way were begun with them.
"""

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

FILE_ENDINGS: Mapping[Format, str] = {
    Format.CSV: "csv",
    Format.JSONL: "jsonl",
    Format.PARQUET: "parquet",
    Format.ARROW: "arrow",
}

MEDIA_TYPES: Mapping[Format, str] = {
    Format.CSV: "text/csv; charset=utf-8; header=present",
    Format.JSONL: "application/jsonl",
    Format.PARQUET: "application/vnd.apache.parquet",
    Format.ARROW: "application/vnd.apache.arrow.file",
}

LINE_FORMATS = frozenset({Format.CSV, Format.JSONL})
"""The formats whose parts, one after another, are one file; in the others each part is a file."""


class FolderExportStore:
    """The `ExportStore` in a folder that all processes share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add_plan(self, plan: ExportPlan) -> bool:
        folder = self._get_export_path(plan.id)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for key_range in plan.ranges:
            (folder / _format_range_name(key_range.number)).mkdir(exist_ok=True)
        sync_folder(self.folder)
        return _write_once(folder / PLAN_FILE, models.encode_plan(plan))

    def load_plan(self, id: str) -> ExportPlan | None:
        text = _read_bytes(self._get_export_path(id) / PLAN_FILE) if EXPORT_ID.fullmatch(id) else None
        return None if text is None else models.parse_plan(text)

    @contextmanager
    def claim_range(self, id: str, number: int) -> Iterator[bool]:
        flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC
        file = os.open(self._get_range_path(id, number) / CLAIM_FILE, flags, 0o600)
        try:
            claimed = False
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                claimed = True
            yield claimed
        finally:
            os.close(file)

    def list_parts(self, id: str, number: int) -> Sequence[ExportPart]:
        text = _read_bytes(self._get_range_path(id, number) / MANIFEST_FILE) or b""
        whole_lines = text[: text.rfind(b"\n") + 1]
        return tuple(models.parse_part(line) for line in whole_lines.splitlines())

    def sweep_range(self, id: str, number: int) -> None:
        folder = self._get_range_path(id, number)
        manifest = folder / MANIFEST_FILE
        whole_bytes = (_read_bytes(manifest) or b"").rfind(b"\n") + 1
        if manifest.exists() and manifest.stat().st_size > whole_bytes:
            os.truncate(manifest, whole_bytes)
        parts = {_format_part_name(part.number) for part in self.list_parts(id, number)}
        for path in folder.iterdir():
            if path.name not in {MANIFEST_FILE, CLAIM_FILE, *parts}:
                path.unlink()

    def new_part_path(self, id: str, number: int) -> Path:
        return self._get_range_path(id, number) / NEW_PART_FILE

    def add_part(self, id: str, part: ExportPart, written: Path) -> None:
        folder = self._get_range_path(id, part.range_number)
        _sync_file(written)
        written.rename(folder / _format_part_name(part.number))
        sync_folder(folder)
        _append_line(folder / MANIFEST_FILE, models.encode_part(part) + b"\n")
        sync_folder(folder)

    def add_result(self, id: str, result: ExportResult) -> ExportResult:
        _write_once(self._get_export_path(id) / RESULT_FILE, models.encode_result(result))
        return self.load_result(id) or result

    def load_result(self, id: str) -> ExportResult | None:
        text = _read_bytes(self._get_export_path(id) / RESULT_FILE)
        return None if text is None else models.parse_result(text)

    async def read_part(self, id: str, part: ExportPart) -> AsyncIterator[bytes]:
        """Yield the last chunk only once the whole part has the digest that it was written with."""
        digest, held = sha256(), b""
        path = self._get_range_path(id, part.range_number) / _format_part_name(part.number)
        with path.open("rb") as file:
            for chunk in iter(partial(file.read, CHUNK_BYTES), b""):
                digest.update(chunk)
                if held:
                    yield held
                held = chunk
        if digest.hexdigest() != part.sha256:
            message = f"part {part.number} of the export is not what was written: export it again"
            raise ExportStopped(ExportState.FAILED, message)
        yield held

    def delete_before(self, before: datetime) -> None:
        for path in self.folder.iterdir() if self.folder.exists() else ():
            plan = self.load_plan(path.name)
            if plan is not None and datetime.fromisoformat(plan.started) < before:
                shutil.rmtree(path)

    def _get_export_path(self, id: str) -> Path:
        if not EXPORT_ID.fullmatch(id):
            raise ValueError("no export has such an id")
        return self.folder / id

    def _get_range_path(self, id: str, number: int) -> Path:
        return self._get_export_path(id) / _format_range_name(number)


def build_export_files(plan: ExportPlan, parts: Sequence[ExportPart]) -> tuple[ExportFile, ...]:
    """Return the files of an export, given its parts in the order of their rows; parts without rows make no files."""
    ending = FILE_ENDINGS[plan.request.format]
    if plan.request.format in LINE_FORMATS or len(parts) == 1:
        return (_build_export_file(plan, f"export.{ending}", parts),)
    with_rows = [part for part in parts if part.rows] or list(parts[:1])
    if len(with_rows) == 1:
        return (_build_export_file(plan, f"export.{ending}", with_rows),)
    return tuple(
        _build_export_file(plan, f"part-{number:05}.{ending}", [part]) for number, part in enumerate(with_rows, 1)
    )


def _build_export_file(plan: ExportPlan, name: str, parts: Sequence[ExportPart]) -> ExportFile:
    return ExportFile(
        name=name,
        media_type=MEDIA_TYPES[plan.request.format],
        rows=sum(part.rows for part in parts),
        bytes=sum(part.bytes for part in parts),
        parts=tuple(parts),
    )


def hash_file(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        for chunk in iter(partial(file.read, CHUNK_BYTES), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _format_range_name(number: int) -> str:
    return f"range-{number:04}"


def _format_part_name(number: int) -> str:
    return f"part-{number:05}"


def _write_once(path: Path, content: bytes) -> bool:
    """Write the file whole or not at all, and durably; False: there was one, which is left as it is."""
    new_path = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    new_path.write_bytes(content)
    _sync_file(new_path)
    try:
        os.link(new_path, path)
        return True
    except FileExistsError:
        return False
    finally:
        new_path.unlink()
        sync_folder(path.parent)


def _append_line(path: Path, line: bytes) -> None:
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
