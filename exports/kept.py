"""What is kept of an export in, JSON out, and back: under keys that stay, whatever the fields are called."""

from collections.abc import Mapping
from typing import Any

import orjson

from exports.words import Column, Ending, Format, LeftOut, Part, Range, State, Stated, Wish


def written(value: Stated | Part | Ending) -> bytes:
    match value:
        case Stated():
            return orjson.dumps(_stated_json(value))
        case Part():
            return orjson.dumps(_part_json(value))
        case Ending():
            return orjson.dumps({"state": str(value.state), "reason": value.reason})


def stated(line: bytes) -> Stated:
    given = orjson.loads(line)
    return Stated(
        id=given["id"],
        person=given["person"],
        key_id=given["key_id"],
        started=given["started"],
        wish=_wish(given["wish"]),
        columns=tuple(map(_column, given["columns"])),
        left_out=tuple(map(_left_out, given["left_out"])),
        ranges=tuple(map(_range, given["ranges"])),
        rows=given["rows"],
    )


def part(line: bytes) -> Part:
    given = orjson.loads(line)
    return Part(
        range=given["range"],
        number=given["number"],
        rows=given["rows"],
        bytes=given["bytes"],
        sha256=given["sha256"],
        cursor=given["cursor"],
        last=given["last"],
    )


def ending(line: bytes) -> Ending:
    given = orjson.loads(line)
    return Ending(state=State(given["state"]), reason=given["reason"])


def _stated_json(stated: Stated) -> dict[str, Any]:
    return {
        "id": stated.id,
        "person": stated.person,
        "key_id": stated.key_id,
        "started": stated.started,
        "wish": _wish_json(stated.wish),
        "columns": list(map(_column_json, stated.columns)),
        "left_out": list(map(_left_out_json, stated.left_out)),
        "ranges": list(map(_range_json, stated.ranges)),
        "rows": stated.rows,
    }


def _part_json(part: Part) -> dict[str, Any]:
    return {
        "range": part.range,
        "number": part.number,
        "rows": part.rows,
        "bytes": part.bytes,
        "sha256": part.sha256,
        "cursor": part.cursor,
        "last": part.last,
    }


def _wish_json(wish: Wish) -> dict[str, Any]:
    return {
        "text": wish.text,
        "variables": wish.variables,
        "operation": wish.operation,
        "format": str(wish.format),
        "all_or_nothing": wish.all_or_nothing,
    }


def _wish(given: Mapping[str, Any]) -> Wish:
    return Wish(
        text=given["text"],
        variables=given["variables"],
        operation=given["operation"],
        format=Format(given["format"]),
        all_or_nothing=given["all_or_nothing"],
    )


def _column_json(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "path": column.path,
        "scalar": column.scalar,
        "many": column.many,
        "members": column.members,
        "inner": list(map(_column_json, column.inner)),
    }


def _column(given: Mapping[str, Any]) -> Column:
    return Column(
        name=given["name"],
        path=tuple(given["path"]),
        scalar=given["scalar"],
        many=given["many"],
        members=tuple(given["members"]),
        inner=tuple(map(_column, given["inner"])),
    )


def _left_out_json(left_out: LeftOut) -> dict[str, Any]:
    return {"name": left_out.name, "reason": left_out.reason, "position": left_out.position}


def _left_out(given: Mapping[str, Any]) -> LeftOut:
    return LeftOut(name=given["name"], reason=given["reason"], position=given["position"])


def _range_json(range: Range) -> dict[str, Any]:
    return {"number": range.number, "after": range.after, "before": range.before}


def _range(given: Mapping[str, Any]) -> Range:
    return Range(number=given["number"], after=given["after"], before=given["before"])
