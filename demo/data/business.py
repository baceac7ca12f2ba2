"""Shop, staff, warehouse, directory."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any, TypeAlias

from demo.data.random import (
    COMPANY_ROOTS,
    COMPANY_TRADES,
    COUNTRIES,
    COUNTRY_ODDS,
    DEPARTMENTS,
    FIRST_NAMES,
    LAST_NAMES,
    MAILBOXES,
    NOW,
    ORDER_NOTES,
    PRODUCT_KINDS,
    PRODUCT_LINES,
    SERVICES,
    STEP,
    STEPS_A_DAY,
    TITLES,
    draw,
    folded,
    money,
    pick,
    size,
    slug,
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


CUSTOMER_COLUMNS = (
    "id",
    "name",
    "email",
    "phone",
    "country",
    "segment",
    "created_at",
    "account_manager_id",
    "credit_limit",
)

PRODUCT_COLUMNS = ("id", "sku", "name", "category", "price", "discontinued")

ORDER_COLUMNS = ("id", "customer_id", "status", "placed_at", "total", "note")

ITEM_COLUMNS = ("order_id", "line", "product_id", "quantity", "unit_price")

Customer: TypeAlias = tuple[
    int,
    str,
    str,
    str | None,
    str,
    str,
    datetime,
    int | None,
    Decimal | None,
]

Product: TypeAlias = tuple[int, str, str, str, Decimal, bool]

Order: TypeAlias = tuple[int, int, str, datetime, Decimal, str | None]

Item: TypeAlias = tuple[int, int, int, int, Decimal]

CUSTOMER_SPAN = 6 * 365 * STEPS_A_DAY

ORDER_SPAN = 3 * 365 * STEPS_A_DAY

LARGE_EVERY = 20

QUANTITIES = (1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4, 5, 12)

PERCENTS = (100, 100, 100, 100, 100, 95, 95, 90)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """How many of each there are; what a number stands for depends on it."""

    customers: int
    products: int
    orders: int
    staff: int


def shop(scale: Fraction | float = 1) -> Shop:
    return Shop(
        customers=size("customer", scale),
        products=size("product", scale),
        orders=size("orders", scale),
        staff=size("employee", scale),
    )


def customer(number: int, whole: Shop) -> Customer:
    bits = draw(stream("customer"), number)
    country = pick(COUNTRY_ODDS, bits)
    root, trade = pick(COMPANY_ROOTS, bits >> 8), pick(COMPANY_TRADES, bits >> 16)
    suffix, dial = COUNTRIES[country]
    age = CUSTOMER_SPAN * (whole.customers - number) // whole.customers + bits % STEPS_A_DAY
    return (
        number,
        f"{root} {trade} {suffix}",
        f"{pick(MAILBOXES, bits >> 24)}@{slug(root + trade)}.example",
        None if (bits >> 28) % 8 == 0 else f"{dial} {2_000_000 + (bits >> 31) % 7_000_000}",
        country,
        segment(number, bits),
        NOW - age * STEP,
        None if (bits >> 40) % 10 == 0 else member_of("Sales", bits >> 44, whole.staff),
        None if (bits >> 50) % 5 == 0 else money(250_000 * (1 + (bits >> 54) % 40)),
    )


def segment(number: int, bits: int) -> str:
    if number % LARGE_EVERY == 0:
        return "ENTERPRISE"
    return "MID_MARKET" if (bits >> 60) % 4 == 0 else "SMALL_BUSINESS"


def product(number: int) -> Product:
    bits = draw(stream("product"), number)
    category = pick(tuple(PRODUCT_KINDS), bits)
    name = f"{pick(PRODUCT_LINES, bits >> 8)} {pick(PRODUCT_KINDS[category], bits >> 16)} {(bits >> 20) % 9 + 1}00"
    return number, f"{category[:2]}-{1000 + number}", name, category, money(price_cents(number)), (bits >> 40) % 10 == 0


@cache
def price_cents(number: int) -> int:
    bits = draw(stream("price"), number)
    return pick((199, 999, 2_490, 9_900, 24_950, 129_900), bits) + 50 * ((bits >> 32) % 40)


@cache
def unit_cents(product_id: int, percent: int) -> int:
    return (price_cents(product_id) * percent + 50) // 100


@cache
def unit_money(product_id: int, percent: int) -> Decimal:
    return money(unit_cents(product_id, percent))


def placed(number: int, whole: Shop) -> tuple[int, int, int]:
    """An order's customer, its age in steps, and its bits: all that need be known to tell whose it is.

    Most orders are recent, and every eighth comes at the very time of the one before. A customer is always older than
    its orders, and some never order.
    """
    bits = draw(stream("order"), number)
    counted = number - (number % 8 == 0)
    back = (whole.orders - counted) / whole.orders
    age = 1 + int(ORDER_SPAN * (0.3 * back + 0.7 * back * back * back))
    known = whole.customers * (CUSTOMER_SPAN - age) // CUSTOMER_SPAN
    chosen = 1 + (bits >> 2) % known
    if (bits >> 40) % 4 == 0:
        chosen = chosen - chosen % LARGE_EVERY or chosen
    return (chosen - 1 if chosen % 50 == 7 else chosen), age, bits


def order(number: int, whole: Shop) -> tuple[Order, list[Item]]:
    """An order and its items; its total is theirs."""
    customer_id, age, bits = placed(number, whole)
    lines = items(number, whole.products)
    row = (
        number,
        customer_id,
        status(age // STEPS_A_DAY, (bits >> 44) % 100),
        NOW - age * STEP,
        sum_of(lines),
        pick(ORDER_NOTES, bits >> 56) if (bits >> 50) % 12 == 0 else None,
    )
    return row, lines


def items(number: int, products: int) -> list[Item]:
    """One to five lines, in turn, so that five orders have fifteen; a few products sell most."""
    start, rows = stream("item"), []
    for line in range(1, number % 5 + 2):
        bits = draw(start, number * 8 + line)
        product_id = 1 + ((bits & 0xFFFF) ** 2 * products >> 32)
        price = unit_money(product_id, PERCENTS[bits >> 20 & 7])
        rows.append((number, line, product_id, QUANTITIES[bits >> 16 & 15], price))
    return rows


def sum_of(lines: list[Item]) -> Decimal:
    return sum([line[3] * line[4] for line in lines], Decimal("0.00"))


def status(days: int, roll: int) -> str:
    if roll < 5:
        return "CANCELLED"
    if days < 3:
        return "PENDING" if roll < 70 else "PAID"
    if days < 12:
        return "PAID" if roll < 60 else "SHIPPED"
    return "REFUNDED" if roll < 9 else "PENDING" if roll == 9 else "SHIPPED"


def orders_of(customers: int, whole: Shop) -> Iterator[int]:
    """The numbers of the orders of the first `customers` customers, oldest first."""
    return (number for number in range(1, whole.orders + 1) if placed(number, whole)[0] <= customers)


DAYS = 30

MONTHS = 12

FIRST_DAY = NOW.date() - timedelta(days=DAYS)

FIRST_MONTH = date(NOW.year - 1, NOW.month, 1)

UsageDay: TypeAlias = tuple[int, date, int, int, Decimal]

RevenueMonth: TypeAlias = tuple[int, date, Decimal, Decimal]


def usage_day(customer: int, index: int) -> UsageDay:
    """(customer_id, day, api_calls, active_users, storage_gb); every 37th customer is silent."""
    calls = 0 if customer % 37 == 0 else (customer * 7919 + index * 1049) % 5000 + 10 * index
    users = 0 if customer % 37 == 0 else 1 + (customer * 31 + index * 17) % 240
    return customer, FIRST_DAY + timedelta(days=index), calls, users, money((customer * 6151) % 400_000 + 125 * index)


def revenue_month(customer: int, index: int) -> RevenueMonth:
    """(customer_id, month, revenue, refunds); every 20th customer is large, as in the shop."""
    cents = (customer * 48_271 + index * 9_973) % 900_000 * (10 if customer % 20 == 0 else 1) + 2_500 * index
    refunds = cents // 50 if (customer + index) % 6 == 0 else 0
    return customer, month(index), money(cents), money(refunds)


def month(index: int) -> date:
    months = FIRST_MONTH.year * 12 + FIRST_MONTH.month - 1 + index
    return date(months // 12, months % 12 + 1, 1)


def usage_days(customers: int) -> Iterator[UsageDay]:
    return (usage_day(customer, index) for customer in range(1, customers + 1) for index in range(DAYS))


def revenue_months(customers: int) -> Iterator[RevenueMonth]:
    return (revenue_month(customer, index) for customer in range(1, customers + 1) for index in range(MONTHS))


USAGE_DAY_SQL = f"""
    create or replace table usage_day as
    with numbered as (
        select cast(floor(seq4() / {DAYS}) as int) + 1 as c, cast(mod(seq4(), {DAYS}) as int) as i
        from table(generator(rowcount => {{rows}}))
    )
    select
        c as customer_id,
        dateadd(day, i, '{FIRST_DAY}'::date) as day,
        cast(case when mod(c, 37) = 0 then 0 else mod(c * 7919 + i * 1049, 5000) + 10 * i end as int) as api_calls,
        cast(case when mod(c, 37) = 0 then 0 else 1 + mod(c * 31 + i * 17, 240) end as int) as active_users,
        cast((mod(c * 6151, 400000) + 125 * i) / 100 as decimal(12, 2)) as storage_gb
    from numbered
"""

REVENUE_MONTH_SQL = f"""
    create or replace table revenue_month as
    with numbered as (
        select cast(floor(seq4() / {MONTHS}) as int) + 1 as c, cast(mod(seq4(), {MONTHS}) as int) as i
        from table(generator(rowcount => {{rows}}))
    ), counted as (
        select c, i,
            mod(c * 48271 + i * 9973, 900000) * case when mod(c, 20) = 0 then 10 else 1 end + 2500 * i as cents
        from numbered
    )
    select
        c as customer_id,
        cast(dateadd(month, i, '{FIRST_MONTH}'::date) as date) as month,
        cast(cents / 100 as decimal(12, 2)) as revenue,
        cast(case when mod(c + i, 6) = 0 then floor(cents / 50) else 0 end / 100 as decimal(12, 2)) as refunds
    from counted
"""


def statements(customers: int) -> tuple[str, str]:
    """What makes both tables, for customers 1 to `customers`."""
    return USAGE_DAY_SQL.format(rows=customers * DAYS), REVENUE_MONTH_SQL.format(rows=customers * MONTHS)


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


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of values in the order of `columns`: money is Decimal with two places, times are aware."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]


def tables(scale: Fraction | float = 1) -> Mapping[str, Table]:
    """Every internal table by name. At scale 1 about 800,000 rows."""
    whole = shop(scale)
    orders, items = orders_and_items(whole)
    return {
        "employee": Table(EMPLOYEE_COLUMNS, employees(whole.staff)),
        "customer": counted(CUSTOMER_COLUMNS, (customer(each, whole) for each in upto(whole.customers))),
        "product": counted(PRODUCT_COLUMNS, map(product, upto(whole.products))),
        "orders": counted(ORDER_COLUMNS, orders),
        "order_item": counted(ITEM_COLUMNS, items),
        "deployment": counted(DEPLOYMENT_COLUMNS, deployments(size("deployment", scale), whole.staff), "revision"),
    }


def counted(columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]], name: str = "version") -> Table:
    """With the column that counts a row's changes, which begins at 1."""
    return Table((*columns, name), [(*row, 1) for row in rows])


def orders_and_items(whole: Shop) -> tuple[list[Order], list[Item]]:
    orders: list[Order] = []
    items: list[Item] = []
    for number in upto(whole.orders):
        placed, lines = order(number, whole)
        orders.append(placed)
        items += lines
    return orders, items


def upto(last: int) -> range:
    return range(1, last + 1)


ENVIRONMENTS = ("PRODUCTION", "STAGING")

TROUBLE = {"FAILED": 3600, "ROLLED_BACK": 1200}
"""Seconds that requests fail after a deployment ended so."""

SINCE = int(NOW.timestamp()) - (DEPLOYMENT_DAYS + 1) * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One service where it runs: since when, requests a minute, and from when to when it was in trouble."""

    service: str
    environment: str
    since: int
    a_minute: int
    begins: Sequence[int]
    ends: Sequence[int]
    before: Sequence[int]
    """Seconds of trouble before each of those."""


def served(scale: Fraction | float) -> list[Served]:
    troubled = troubles(scale)
    return [
        made(service, environment, troubled.get((service, environment), []))
        for service in SERVICES
        for environment in ENVIRONMENTS
    ]


def troubles(scale: Fraction | float) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """Seconds from and to, by service and environment, in order, none across another."""
    found: defaultdict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for _, service, _, environment, status, _, started, *_ in deployments(size("deployment", scale), 1000):
        if status in TROUBLE:
            start = int(started.timestamp())
            end = start + TROUBLE[status]
            before = found[service, environment]
            if before and before[-1][1] >= start:
                before[-1] = (before[-1][0], max(before[-1][1], end))
            else:
                before.append((start, end))
    return dict(found)


def made(service: str, environment: str, troubled: Sequence[tuple[int, int]]) -> Served:
    bits = draw(stream("traffic " + service), 0 if environment == "PRODUCTION" else 1)
    before = [0]
    for start, end in troubled:
        before.append(before[-1] + end - start)
    return Served(
        service=service,
        environment=environment,
        since=SINCE,
        a_minute=(300 + bits % 900) if environment == "PRODUCTION" else 20 + bits % 40,
        begins=[start for start, _ in troubled],
        ends=[end for _, end in troubled],
        before=before,
    )


def traffic_counted(one: Served, code: str, at: int) -> int:
    """Requests with this code since the beginning: a thousandth fails, a quarter while there is trouble."""
    seconds = at - one.since
    trouble = in_trouble(one, at)
    failed = one.a_minute * (seconds + 249 * trouble) // 60_000
    return failed if code == "500" else one.a_minute * seconds // 60 - failed


def in_trouble(one: Served, at: int) -> int:
    """Seconds of trouble up to a second."""
    place = bisect_right(one.begins, at)
    if not place:
        return 0
    return one.before[place - 1] + min(at, one.ends[place - 1]) - one.begins[place - 1]
