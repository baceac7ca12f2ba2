"""Numbers to the rows of `employee` and `deployment`."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import cache
from typing import TypeAlias

from demo.world.draw import draw, money, pick, stream
from demo.world.names import DEPARTMENTS, FIRST_NAMES, LAST_NAMES, SERVICES, TITLES, folded
from demo.world.sizes import NOW

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
    """All of them at once: an e-mail carries a number where an earlier employee has the same name."""
    taken: dict[str, int] = {}
    return tuple(employee(number, taken) for number in range(1, count + 1))


def employee(number: int, taken: dict[str, int]) -> Employee:
    bits = draw(stream("employee"), number)
    first, last = pick(FIRST_NAMES, bits), pick(LAST_NAMES, bits >> 16)
    department = department_of(number)
    return (
        number,
        first,
        last,
        email(first, last, taken),
        title(number, department),
        department,
        manager_of(number, bits),
        hired_on(number, bits),
        money(salary_cents(number, bits)),
    )


def email(first: str, last: str, taken: dict[str, int]) -> str:
    name = f"{folded(first)}.{folded(last)}".lower().replace(" ", "")
    taken[name] = taken.get(name, 0) + 1
    return f"{name}{taken[name] if taken[name] > 1 else ''}@acme.example"


def department_of(number: int) -> str:
    """The first employee leads the company from Operations, the next eight a department each, then in turn."""
    return DEPARTMENTS[(number - 2) % len(DEPARTMENTS)]


def member_of(department: str, bits: int, count: int) -> int:
    """One of a department's employees, among the first `count`; never the head of the company."""
    head = 2 + DEPARTMENTS.index(department)
    return head + len(DEPARTMENTS) * (bits % ((count - head) // len(DEPARTMENTS) + 1))


def title(number: int, department: str) -> str:
    if number == 1:
        return "Chief Executive"
    if number <= HEADS:
        return f"Head of {department}"
    return f"{'Lead ' if number <= LEADS else ''}{TITLES[department]}"


def manager_of(number: int, bits: int) -> int | None:
    """Employees to leads to heads to the first employee; a manager's number is always lower."""
    if number == 1:
        return None
    if number <= HEADS:
        return 1
    head = 2 + (number - 2) % len(DEPARTMENTS)
    return head if number <= LEADS else head + len(DEPARTMENTS) * (1 + (bits >> 32) % LEADS_EACH)


def hired_on(number: int, bits: int) -> date:
    days = 4_000 - 12 * number + bits % 300 if number <= LEADS else 30 + (bits >> 20) % 3_000
    return NOW.date() - timedelta(days=days)


def salary_cents(number: int, bits: int) -> int:
    """Whole hundreds, so that ties occur."""
    base = 240_000 if number == 1 else 130_000 if number <= HEADS else 80_000 if number <= LEADS else 42_000
    return 100 * (base + 100 * ((bits >> 40) % 300))


def deployments(count: int, staff: int) -> Iterator[Deployment]:
    return (deployment(number, count, staff) for number in range(1, count + 1))


def deployment(number: int, count: int, staff: int) -> Deployment:
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
        version(number, bits),
        environment,
        status,
        member_of("Engineering", bits >> 50, staff),
        started,
        finished,
        commit(number),
        channel_id("deployments") if announced else None,
        slack_ts(finished or started, number) if announced else None,
    )


def version(number: int, bits: int) -> str:
    return f"{1 + number // 500}.{number // 12 % 40}.{(bits >> 30) % 6}"


def commit(number: int) -> str:
    return "".join(f"{draw(stream('commit'), 3 * number + part):016x}" for part in range(3))[:40]


def channel_id(name: str) -> str:
    """A channel's id in Slack, from its name alone."""
    return slack_id("C", name)


def slack_id(letter: str, name: str) -> str:
    """A letter and ten of Slack's characters."""
    bits = draw(stream("slack " + letter + name), 0)
    return letter + "0" + "".join("ABCDEFGHJKLMNPQRSTUVWXYZ123456789"[bits // 33**place % 33] for place in range(9))


def slack_ts(at: datetime, serial: int) -> str:
    """Slack's name of a message: seconds, a point, and six digits that keep messages of one second apart."""
    return f"{int(at.timestamp())}.{serial * 100 % 1_000_000:06d}"
