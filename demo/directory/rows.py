"""The fields of the root to rows: equality on each argument, pages of at most a hundred."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, TypeAlias

from graphql import GraphQLError

from demo.world import directory

PAGE = 100
"""The most rows of a page."""
Shown: TypeAlias = Mapping[str, Any]


class Rows:
    """What graphql-core takes for its root: a method for each field."""

    def __init__(self, scale: Fraction | float = 1) -> None:
        self._offices = {each.id: _office(each) for each in directory.OFFICES}
        self._desks = [_desk(each, self._offices) for each in directory.desks(scale)]
        self._shifts = {each.id: _shift(each) for each in directory.shifts(scale)}

    def offices(self, _: Any) -> Sequence[Shown]:
        return list(self._offices.values())

    def office(self, _: Any, id: str) -> Shown | None:
        return self._offices.get(id)

    def desks(
        self, _: Any, first: int, after: str | None = None, ids: Sequence[str] | None = None,
        office: str | None = None, floor: int | None = None, staffNumbers: Sequence[str] | None = None,  # noqa: N803
    ) -> Shown:  # fmt: skip
        rows = [
            each
            for each in self._desks
            if (ids is None or each["id"] in ids)
            and (office is None or each["office"]["id"] == office)
            and (floor is None or each["floor"] == floor)
            and (staffNumbers is None or (each["person"] and each["person"]["staffNumber"] in staffNumbers))
        ]
        found = _page(rows, first, after)
        return {"nodes": [node for _, node in found[0]], "pageInfo": found[1]}

    def onCall(  # noqa: N802
        self, _: Any, first: int, after: str | None = None, service: str | None = None,
        staffNumber: str | None = None, level: str | None = None,  # noqa: N803
    ) -> Shown:  # fmt: skip
        rows = [
            each
            for each in self._shifts.values()
            if service in (None, each["service"])
            and level in (None, each["level"])
            and staffNumber in (None, each["person"]["staffNumber"])
        ]
        found = _page(rows, first, after)
        return {"edges": [{"cursor": cursor, "node": node} for cursor, node in found[0]], "pageInfo": found[1]}

    def shift(self, _: Any, id: str) -> Shown | None:
        return self._shifts.get(id)


def _office(of: directory.Office) -> Shown:
    return {
        "id": of.id,
        "name": of.name,
        "address": {"street": of.street, "city": of.city, "country": of.country},
    }


def _desk(of: directory.Desk, offices: Mapping[str, Shown]) -> Shown:
    person = None if of.employee is None else {"staffNumber": str(of.employee)}
    return {"id": of.id, "label": of.label, "floor": of.floor, "office": offices[of.office], "person": person}


def _shift(of: directory.Shift) -> Shown:
    return {
        "id": of.id,
        "service": of.service,
        "level": of.level,
        "person": {"staffNumber": str(of.employee)},
        "starts": of.starts.isoformat(),
        "ends": of.ends.isoformat(),
    }


def _page(rows: Sequence[Shown], first: int, after: str | None) -> tuple[Sequence[tuple[str, Shown]], Shown]:
    """Rows with their cursors, and what is known of those that follow."""
    if not 0 <= first <= PAGE:
        raise GraphQLError(f"`first` must be from 0 to {PAGE}", extensions={"code": "BAD_USER_INPUT"})
    start = 0 if after is None else _place(after)
    found = [(_cursor(place), row) for place, row in enumerate(rows[start : start + first], start + 1)]
    more = start + first < len(rows)
    return found, {"hasNextPage": more, "endCursor": found[-1][0] if found else None}


def _cursor(place: int) -> str:
    return urlsafe_b64encode(f"row:{place}".encode()).decode()


def _place(cursor: str) -> int:
    try:
        return int(urlsafe_b64decode(cursor.encode()).decode().removeprefix("row:"))
    except ValueError:
        raise GraphQLError("`after` is no cursor of ours", extensions={"code": "BAD_USER_INPUT"}) from None
