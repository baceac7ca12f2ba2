"""Make up Acme's staff, offices, desks and shifts, and the deployments and traffic of its services."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from functools import cache
from typing import TypeAlias

from demo.data.random import (
    DEPARTMENTS,
    FIRST_NAMES,
    LAST_NAMES,
    NOW,
    SERVICES,
    TITLES,
    draw,
    fold_to_ascii,
    money,
    pick,
    size,
    stream,
)

EMPLOYEE_COLUMNS = (
    "id",
    "first_name",
    "last_name",
    "email",
    "title",
    "department",
    "manager_id",
    "hired_on",
    "salary",
)

DEPLOYMENT_COLUMNS = (
    "id",
    "service",
    "version",
    "environment",
    "status",
    "author_id",
    "started_at",
    "finished_at",
    "commit_sha",
    "slack_channel_id",
    "slack_ts",
)

Employee: TypeAlias = tuple[int, str, str, str, str, str, int | None, date, object]

Deployment: TypeAlias = tuple[
    int,
    str,
    str,
    str,
    str,
    int,
    datetime,
    datetime | None,
    str,
    str | None,
    str | None,
]

HEADS = 1 + len(DEPARTMENTS)

LEADS_EACH = 4

LEADS = HEADS + LEADS_EACH * len(DEPARTMENTS)

DEPLOYMENT_DAYS = 180

STATUSES = ("SUCCEEDED",) * 17 + ("FAILED",) * 2 + ("ROLLED_BACK",)


@cache
def employees(count: int) -> tuple[Employee, ...]:
    """Build all employees at once, as an e-mail address gets a number if an earlier employee has the same name."""
    taken: dict[str, int] = {}
    return tuple(build_employee(number, taken) for number in range(1, count + 1))


def build_employee(number: int, taken: dict[str, int]) -> Employee:
    bits = draw(stream("employee"), number)
    first, last = pick(FIRST_NAMES, bits), pick(LAST_NAMES, bits >> 16)
    department = get_department(number)
    return (
        number,
        first,
        last,
        build_email(first, last, taken),
        build_title(number, department),
        department,
        find_manager(number, bits),
        draw_hire_date(number, bits),
        money(draw_salary_cents(number, bits)),
    )


def build_email(first: str, last: str, taken: dict[str, int]) -> str:
    name = f"{fold_to_ascii(first)}.{fold_to_ascii(last)}".lower().replace(" ", "")
    taken[name] = taken.get(name, 0) + 1
    return f"{name}{taken[name] if taken[name] > 1 else ''}@acme.example"


def get_department(number: int) -> str:
    """Return a department: the first employee is in Operations, the next eight lead one each, then in turn."""
    return DEPARTMENTS[(number - 2) % len(DEPARTMENTS)]


def pick_member(department: str, bits: int, count: int) -> int:
    """Pick one of a department's first `count` employees, never the head of the company."""
    head = 2 + DEPARTMENTS.index(department)
    return head + len(DEPARTMENTS) * (bits % ((count - head) // len(DEPARTMENTS) + 1))


def build_title(number: int, department: str) -> str:
    if number == 1:
        return "Chief Executive"
    if number <= HEADS:
        return f"Head of {department}"
    return f"{'Lead ' if number <= LEADS else ''}{TITLES[department]}"


def find_manager(number: int, bits: int) -> int | None:
    """Return the number of a manager, which is always lower than that of the employee."""
    if number == 1:
        return None
    if number <= HEADS:
        return 1
    head = 2 + (number - 2) % len(DEPARTMENTS)
    return head if number <= LEADS else head + len(DEPARTMENTS) * (1 + (bits >> 32) % LEADS_EACH)


def draw_hire_date(number: int, bits: int) -> date:
    days = 4_000 - 12 * number + bits % 300 if number <= LEADS else 30 + (bits >> 20) % 3_000
    return NOW.date() - timedelta(days=days)


def draw_salary_cents(number: int, bits: int) -> int:
    """Return whole hundreds, so that ties occur."""
    base = 240_000 if number == 1 else 130_000 if number <= HEADS else 80_000 if number <= LEADS else 42_000
    return 100 * (base + 100 * ((bits >> 40) % 300))


def deployments(count: int, staff: int) -> Iterator[Deployment]:
    return (build_deployment(number, count, staff) for number in range(1, count + 1))


def build_deployment(number: int, count: int, staff: int) -> Deployment:
    bits = draw(stream("deployment"), number)
    started = NOW - timedelta(days=DEPLOYMENT_DAYS) * (count - number + 1) / count + timedelta(seconds=bits % 600)
    started = started.replace(microsecond=0)
    status = pick(STATUSES, bits >> 8)
    environment = pick(("PRODUCTION", "PRODUCTION", "STAGING"), bits >> 16)
    crashed = status == "FAILED" and bits >> 63 == 1
    finished = None if crashed else started + timedelta(seconds=40 + (bits >> 24) % 800)
    announced = environment == "PRODUCTION" and (bits >> 36) % 20 > 0
    return (
        number,
        pick(SERVICES, bits >> 44),
        build_version(number, bits),
        environment,
        status,
        pick_member("Engineering", bits >> 50, staff),
        started,
        finished,
        build_commit_sha(number),
        build_channel_id("deployments") if announced else None,
        build_slack_ts(finished or started, number) if announced else None,
    )


def build_version(number: int, bits: int) -> str:
    return f"{1 + number // 500}.{number // 12 % 40}.{(bits >> 30) % 6}"


def build_commit_sha(number: int) -> str:
    return "".join(f"{draw(stream('commit'), 3 * number + part):016x}" for part in range(3))[:40]


def build_channel_id(name: str) -> str:
    """Return a channel's id in Slack, which follows from its name."""
    return build_slack_id("C", name)


def build_slack_id(letter: str, name: str) -> str:
    """Return an id as Slack writes it: a letter and ten characters."""
    bits = draw(stream("slack " + letter + name), 0)
    return letter + "0" + "".join("ABCDEFGHJKLMNPQRSTUVWXYZ123456789"[bits // 33**place % 33] for place in range(9))


def build_slack_ts(time: datetime, serial: int) -> str:
    """Return Slack's name for a message: seconds, and six digits that tell apart the messages of one second."""
    return f"{int(time.timestamp())}.{serial * 100 % 1_000_000:06d}"


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
    """A place to sit; `employee` is None where nobody sits."""

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
    """Yield desks for four of five employees, and a free one beside each tenth."""
    for number in range(1, size("employee", scale) + 1):
        bits = draw(stream("desk"), number)
        if bits % 5:
            yield build_desk(number, bits, number)
        if bits % 10 == 0:
            yield build_desk(number, bits, None)


def build_desk(number: int, bits: int, employee: int | None) -> Desk:
    office, floor = OFFICES[(bits >> 8) % len(OFFICES)].id, (bits >> 16) % 6
    label = f"{'H' if employee is None else 'D'}{floor}-{number:03d}"
    return Desk(id=f"{office}-{label.lower()}", label=label, floor=floor, office=office, employee=employee)


def shifts(scale: Fraction | float = 1) -> Iterator[Shift]:
    """Yield shifts of a week from Monday at nine; the last of them are still to come."""
    staff, monday = size("employee", scale), NOW.replace(hour=9) - timedelta(days=NOW.weekday())
    for week in range(AHEAD - WEEKS, AHEAD):
        starts = monday + week * WEEK
        for place, service in enumerate(SERVICES):
            for level, name in enumerate(LEVELS):
                bits = draw(stream("shift"), (week + WEEKS) * 100 + place * 2 + level)
                yield Shift(
                    id=f"{starts:%G-W%V}-{service}-{level + 1}", service=service, level=name,
                    employee=pick_member("Engineering", bits, staff), starts=starts, ends=starts + WEEK,
                )  # fmt: skip


ENVIRONMENTS = ("PRODUCTION", "STAGING")

TROUBLE = {"FAILED": 3600, "ROLLED_BACK": 1200}
"""Seconds that requests fail after a deployment ended so."""

SINCE = int(NOW.timestamp()) - (DEPLOYMENT_DAYS + 1) * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTraffic:
    """The traffic of a service in one environment: its start, requests a minute, and the spans of trouble."""

    service: str
    environment: str
    since: int
    a_minute: int
    begins: Sequence[int]
    ends: Sequence[int]
    before: Sequence[int]
    """Seconds of trouble before each of those."""


def list_traffic(scale: Fraction | float) -> list[ServiceTraffic]:
    troubled = list_troubles(scale)
    return [
        build_traffic(service, environment, troubled.get((service, environment), []))
        for service in SERVICES
        for environment in ENVIRONMENTS
    ]


def list_troubles(scale: Fraction | float) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """Return spans of seconds by service and environment, in order and without overlap."""
    result: defaultdict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for _, service, _, environment, status, _, started, *_ in deployments(size("deployment", scale), 1000):
        if status in TROUBLE:
            start = int(started.timestamp())
            end = start + TROUBLE[status]
            before = result[service, environment]
            if before and before[-1][1] >= start:
                before[-1] = (before[-1][0], max(before[-1][1], end))
            else:
                before.append((start, end))
    return dict(result)


def build_traffic(service: str, environment: str, troubled: Sequence[tuple[int, int]]) -> ServiceTraffic:
    bits = draw(stream("traffic " + service), 0 if environment == "PRODUCTION" else 1)
    before = [0]
    for start, end in troubled:
        before.append(before[-1] + end - start)
    return ServiceTraffic(
        service=service,
        environment=environment,
        since=SINCE,
        a_minute=(300 + bits % 900) if environment == "PRODUCTION" else 20 + bits % 40,
        begins=[start for start, _ in troubled],
        ends=[end for _, end in troubled],
        before=before,
    )


def count_requests(traffic: ServiceTraffic, code: str, at: int) -> int:
    """Count requests with this code up to a time: a thousandth fails, and a quarter while there is trouble."""
    seconds = at - traffic.since
    trouble = count_trouble_seconds(traffic, at)
    failed = traffic.a_minute * (seconds + 249 * trouble) // 60_000
    return failed if code == "500" else traffic.a_minute * seconds // 60 - failed


def count_trouble_seconds(traffic: ServiceTraffic, at: int) -> int:
    """Count the seconds of trouble up to a time."""
    place = bisect_right(traffic.begins, at)
    if not place:
        return 0
    return traffic.before[place - 1] + min(at, traffic.ends[place - 1]) - traffic.begins[place - 1]
