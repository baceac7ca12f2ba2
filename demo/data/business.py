"""Make up Acme's customers, products and orders, its warehouse, and the tables of the internal database."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any, TypeAlias

from demo.data.operations import DEPLOYMENT_COLUMNS, EMPLOYEE_COLUMNS, deployments, employees, pick_member
from demo.data.random import (
    COMPANY_ROOTS,
    COMPANY_TRADES,
    COUNTRIES,
    COUNTRY_ODDS,
    MAILBOXES,
    NOW,
    ORDER_NOTES,
    PRODUCT_KINDS,
    PRODUCT_LINES,
    STEP,
    STEPS_A_DAY,
    draw,
    money,
    pick,
    size,
    slug,
    stream,
)

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

CUSTOMER_TABLE_COLUMNS = (*CUSTOMER_COLUMNS, "vendor")

VENDORS = (None, None, "brightwater", "kestrel")
"""Who looks after a customer in our place; most customers are our own."""

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
class CompanySize:
    """The number of customers, products, orders and employees; what a number stands for depends on them."""

    customers: int
    products: int
    orders: int
    staff: int


def get_company_size(scale: Fraction | float = 1) -> CompanySize:
    return CompanySize(
        customers=size("customer", scale),
        products=size("product", scale),
        orders=size("orders", scale),
        staff=size("employee", scale),
    )


def build_customer(number: int, whole: CompanySize) -> Customer:
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
        get_segment(number, bits),
        NOW - age * STEP,
        None if (bits >> 40) % 10 == 0 else pick_member("Sales", bits >> 44, whole.staff),
        None if (bits >> 50) % 5 == 0 else money(250_000 * (1 + (bits >> 54) % 40)),
    )


def get_vendor(number: int) -> str | None:
    """Return the vendor who looks after a customer."""
    return pick(VENDORS, draw(stream("vendor"), number))


def get_segment(number: int, bits: int) -> str:
    if number % LARGE_EVERY == 0:
        return "ENTERPRISE"
    return "MID_MARKET" if (bits >> 60) % 4 == 0 else "SMALL_BUSINESS"


def build_product(number: int) -> Product:
    bits = draw(stream("product"), number)
    category = pick(tuple(PRODUCT_KINDS), bits)
    name = f"{pick(PRODUCT_LINES, bits >> 8)} {pick(PRODUCT_KINDS[category], bits >> 16)} {(bits >> 20) % 9 + 1}00"
    return (
        number,
        f"{category[:2]}-{1000 + number}",
        name,
        category,
        money(draw_price_cents(number)),
        (bits >> 40) % 10 == 0,
    )


@cache
def draw_price_cents(number: int) -> int:
    bits = draw(stream("price"), number)
    return pick((199, 999, 2_490, 9_900, 24_950, 129_900), bits) + 50 * ((bits >> 32) % 40)


@cache
def compute_unit_cents(product_id: int, percent: int) -> int:
    return (draw_price_cents(product_id) * percent + 50) // 100


@cache
def compute_unit_price(product_id: int, percent: int) -> Decimal:
    return money(compute_unit_cents(product_id, percent))


def draw_order(number: int, whole: CompanySize) -> tuple[int, int, int]:
    """Draw an order's customer, its age in steps, and its bits.

    Most orders are recent, and every eighth has exactly the time of the one before. A customer is always older than its
    orders, and some customers never order.
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


def build_order(number: int, whole: CompanySize) -> tuple[Order, list[Item]]:
    """Build an order, whose total is that of its items, and the items."""
    customer_id, age, bits = draw_order(number, whole)
    lines = build_items(number, whole.products)
    row = (
        number,
        customer_id,
        get_order_status(age // STEPS_A_DAY, (bits >> 44) % 100),
        NOW - age * STEP,
        sum_items(lines),
        pick(ORDER_NOTES, bits >> 56) if (bits >> 50) % 12 == 0 else None,
    )
    return row, lines


def build_items(number: int, products: int) -> list[Item]:
    """Build one to five lines, in turn, so that five orders have fifteen; a few products sell most."""
    start, rows = stream("item"), []
    for line in range(1, number % 5 + 2):
        bits = draw(start, number * 8 + line)
        product_id = 1 + ((bits & 0xFFFF) ** 2 * products >> 32)
        price = compute_unit_price(product_id, PERCENTS[bits >> 20 & 7])
        rows.append((number, line, product_id, QUANTITIES[bits >> 16 & 15], price))
    return rows


def sum_items(lines: list[Item]) -> Decimal:
    return sum([line[3] * line[4] for line in lines], Decimal("0.00"))


def get_order_status(days: int, roll: int) -> str:
    if roll < 5:
        return "CANCELLED"
    if days < 3:
        return "PENDING" if roll < 70 else "PAID"
    if days < 12:
        return "PAID" if roll < 60 else "SHIPPED"
    return "REFUNDED" if roll < 9 else "PENDING" if roll == 9 else "SHIPPED"


def list_order_numbers(customers: int, whole: CompanySize) -> Iterator[int]:
    """Yield the numbers of the orders of the first `customers` customers, the oldest first."""
    return (number for number in range(1, whole.orders + 1) if draw_order(number, whole)[0] <= customers)


DAYS = 30

MONTHS = 12

FIRST_DAY = NOW.date() - timedelta(days=DAYS)

FIRST_MONTH = date(NOW.year - 1, NOW.month, 1)

UsageDay: TypeAlias = tuple[int, date, int, int, Decimal]

RevenueMonth: TypeAlias = tuple[int, date, Decimal, Decimal]


def usage_day(customer: int, index: int) -> UsageDay:
    """Return (customer_id, day, api_calls, active_users, storage_gb); every 37th customer is silent."""
    calls = 0 if customer % 37 == 0 else (customer * 7919 + index * 1049) % 5000 + 10 * index
    users = 0 if customer % 37 == 0 else 1 + (customer * 31 + index * 17) % 240
    return customer, FIRST_DAY + timedelta(days=index), calls, users, money((customer * 6151) % 400_000 + 125 * index)


def revenue_month(customer: int, index: int) -> RevenueMonth:
    """Return (customer_id, month, revenue, refunds); every 20th customer is large, as in the tables."""
    cents = (customer * 48_271 + index * 9_973) % 900_000 * (10 if customer % 20 == 0 else 1) + 2_500 * index
    refunds = cents // 50 if (customer + index) % 6 == 0 else 0
    return customer, get_month(index), money(cents), money(refunds)


def get_month(index: int) -> date:
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


def build_seed_statements(customers: int) -> tuple[str, str]:
    """Return the statements that create both warehouse tables, for customers 1 to `customers`."""
    return USAGE_DAY_SQL.format(rows=customers * DAYS), REVENUE_MONTH_SQL.format(rows=customers * MONTHS)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of values in the order of `columns`: money is Decimal with two places, times are aware."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]


def tables(scale: Fraction | float = 1) -> Mapping[str, Table]:
    """Return every internal table by name: about 800,000 rows at scale 1."""
    whole = get_company_size(scale)
    orders, items = build_orders_and_items(whole)
    return {
        "employee": Table(EMPLOYEE_COLUMNS, employees(whole.staff)),
        "customer": add_version(
            CUSTOMER_TABLE_COLUMNS,
            ((*build_customer(number, whole), get_vendor(number)) for number in count_to(whole.customers)),
        ),
        "product": add_version(PRODUCT_COLUMNS, map(build_product, count_to(whole.products))),
        "orders": add_version(ORDER_COLUMNS, orders),
        "order_item": add_version(ITEM_COLUMNS, items),
        "deployment": add_version(DEPLOYMENT_COLUMNS, deployments(size("deployment", scale), whole.staff), "revision"),
    }


def add_version(columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]], name: str = "version") -> Table:
    """Add the column that counts a row's changes, which begins at 1."""
    return Table((*columns, name), [(*row, 1) for row in rows])


def build_orders_and_items(whole: CompanySize) -> tuple[list[Order], list[Item]]:
    orders: list[Order] = []
    items: list[Item] = []
    for number in count_to(whole.orders):
        placed, lines = build_order(number, whole)
        orders.append(placed)
        items += lines
    return orders, items


def count_to(last: int) -> range:
    return range(1, last + 1)
