"""Build changes of the test tables, apply them, and read the rows."""

from collections.abc import Sequence
from contextlib import aclosing
from itertools import count
from typing import Any

from onedoor.errors import ErrorCode
from onedoor.spi.connector import (
    ChangeKind,
    ChangeRejected,
    ChangeResult,
    Connector,
    RowChange,
    RowValues,
    WritableConnector,
)
from onedoor.spi.scan import ScanRequest, SortKey
from tests.connectors.writing.tables import KEYS, KINDS

NUMBERS = count(1)


def build_change(
    verb: ChangeKind, key: RowValues | None = None, /, *, collection: str = "thing", **values: Any
) -> RowChange:
    """`at`: the version; `id`: the change's own, or a new one."""
    id, at = values.pop("told", None) or f"change-{next(NUMBERS)}", values.pop("at", None)
    return RowChange(id=id, collection=collection, kind=verb, key=key or {}, values=values, version=at)


def build_creation(number: int, **values: Any) -> RowChange:
    return build_change(ChangeKind.CREATE, {"id": number}, **{"code": f"code {number}", **values})


def build_part_change(thing: int, line: int = 1, verb: ChangeKind = ChangeKind.CREATE, **values: Any) -> RowChange:
    return build_change(verb, {"thing_id": thing, "line": line}, collection="part", **values)


async def apply_changes(source: WritableConnector, *changes: RowChange, dry: bool = False) -> list[ChangeResult]:
    return list(await source.apply(changes, dry_run=dry))


async def get_refusal(source: WritableConnector, *changes: RowChange, dry: bool = False) -> tuple[ErrorCode, str]:
    try:
        await source.apply(changes, dry_run=dry)
    except ChangeRejected as reason:
        return reason.code, reason.reason
    raise AssertionError("it was made")


async def read_rows(source: Connector, collection: str = "thing") -> list[dict[str, Any]]:
    columns = tuple(KINDS[collection])
    ask = ScanRequest(collection=collection, columns=columns, sort=tuple(SortKey(key) for key in KEYS[collection]))
    async with aclosing(source.scan(ask)) as batches:  # type: ignore[type-var]
        rows: list[Sequence[Any]] = [row for batch in [item async for item in batches] for row in batch]
    return [dict(zip(columns, row, strict=True)) for row in rows]


def build_row(number: int, **values: Any) -> dict[str, Any]:
    return {**dict.fromkeys(KINDS["thing"]), "id": number, "code": f"code {number}", "version": 1, **values}
