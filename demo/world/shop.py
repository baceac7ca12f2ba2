"""Numbers to the rows of `customer`, `product`, `orders` and `order_item`."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import TypeAlias

from demo.world.draw import draw, money, pick, stream
from demo.world.names import (
    COMPANY_ROOTS,
    COMPANY_TRADES,
    COUNTRIES,
    COUNTRY_ODDS,
    MAILBOXES,
    ORDER_NOTES,
    PRODUCT_KINDS,
    PRODUCT_LINES,
    slug,
)
from demo.world.sizes import NOW, STEP, STEPS_A_DAY, size
from demo.world.staff import member_of

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
