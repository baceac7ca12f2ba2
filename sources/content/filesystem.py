"""One open file as DuckDB finds it: a filesystem of its own that holds nothing else."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from fsspec import AbstractFileSystem

from sources.content.parquet import Ranges

UNCHANGED = datetime(2026, 1, 1, tzinfo=UTC)
"""It is opened once; nothing is kept of it."""


def one_file(name: str, opened: Callable[[], Ranges]) -> Any:
    class OneFile(AbstractFileSystem):  # type: ignore[misc]
        protocol = name
        cachable = False

        def _open(self, path: str, mode: str = "rb", **_: Any) -> Ranges:
            return opened()

        def info(self, path: str, **_: Any) -> dict[str, Any]:
            return {"name": path, "size": opened().size, "type": "file"}

        def exists(self, path: str, **_: Any) -> bool:
            return True

        def glob(self, path: str, **_: Any) -> list[str]:
            return [path]

        def modified(self, path: str) -> datetime:
            return UNCHANGED

    return OneFile()
