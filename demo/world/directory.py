"""A scale to what the office team knows: offices, who sits at which desk, and who is on call for which service."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from demo.world.draw import draw, stream
from demo.world.names import SERVICES
from demo.world.sizes import NOW, size
from demo.world.staff import member_of

LEVELS = ("PRIMARY", "SECONDARY")
WEEKS = 26
WEEK = timedelta(days=7)
AHEAD = 4
"""Weeks that are planned already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    id: str
    name: str
    city: str
    country: str
    street: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """`employee` is None where nobody sits."""

    id: str
    label: str
    floor: int
    office: str
    employee: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    id: str
    service: str
    level: str
    employee: int
    starts: datetime
    ends: datetime


OFFICES = (
    Office(id="ams", name="Amsterdam Canal House", city="Amsterdam", country="NL", street="Keizersgracht 1000"),
    Office(id="ber", name="Berlin Yard", city="Berlin", country="DE", street="Hinterhof 3"),
    Office(id="lis", name="Lisbon Terrace", city="Lisbon", country="PT", street="Rua das Flores 90"),
    Office(id="osa", name="Osaka Tower", city="Osaka", country="JP", street="Kita 7-7"),
    Office(id="tor", name="Toronto Dock", city="Toronto", country="CA", street="Harbour Street 12"),
)


def desks(scale: Fraction | float = 1) -> Iterator[Desk]:
    """Four of five employees have one; beside each tenth of them one is free."""
    for number in range(1, size("employee", scale) + 1):
        bits = draw(stream("desk"), number)
        if bits % 5:
            yield desk(number, bits, number)
        if bits % 10 == 0:
            yield desk(number, bits, None)


def desk(number: int, bits: int, employee: int | None) -> Desk:
    office, floor = OFFICES[(bits >> 8) % len(OFFICES)].id, (bits >> 16) % 6
    label = f"{'H' if employee is None else 'D'}{floor}-{number:03d}"
    return Desk(id=f"{office}-{label.lower()}", label=label, floor=floor, office=office, employee=employee)


def shifts(scale: Fraction | float = 1) -> Iterator[Shift]:
    """A week each, from Monday nine o'clock; the last of them are still to come."""
    staff, monday = size("employee", scale), NOW.replace(hour=9) - timedelta(days=NOW.weekday())
    for week in range(AHEAD - WEEKS, AHEAD):
        starts = monday + week * WEEK
        for place, service in enumerate(SERVICES):
            for level, name in enumerate(LEVELS):
                bits = draw(stream("shift"), (week + WEEKS) * 100 + place * 2 + level)
                yield Shift(
                    id=f"{starts:%G-W%V}-{service}-{level + 1}", service=service, level=name,
                    employee=member_of("Engineering", bits, staff), starts=starts, ends=starts + WEEK,
                )  # fmt: skip
