"""A scale to the company's internal tables, parents before their children."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from demo.world import shop, staff
from demo.world.sizes import size


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of values in the order of `columns`: money is Decimal with two places, times are aware."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]


def tables(scale: Fraction | float = 1) -> Mapping[str, Table]:
    """Every internal table by name. At scale 1 about 800,000 rows."""
    whole = shop.shop(scale)
    orders, items = orders_and_items(whole)
    return {
        "employee": Table(staff.EMPLOYEE_COLUMNS, staff.employees(whole.staff)),
        "customer": Table(shop.CUSTOMER_COLUMNS, [shop.customer(number, whole) for number in upto(whole.customers)]),
        "product": Table(shop.PRODUCT_COLUMNS, [shop.product(number) for number in upto(whole.products)]),
        "orders": Table(shop.ORDER_COLUMNS, orders),
        "order_item": Table(shop.ITEM_COLUMNS, items),
        "deployment": Table(staff.DEPLOYMENT_COLUMNS, list(staff.deployments(size("deployment", scale), whole.staff))),
    }


def orders_and_items(whole: shop.Shop) -> tuple[list[shop.Order], list[shop.Item]]:
    orders: list[shop.Order] = []
    items: list[shop.Item] = []
    for number in upto(whole.orders):
        order, lines = shop.order(number, whole)
        orders.append(order)
        items += lines
    return orders, items


def upto(last: int) -> range:
    return range(1, last + 1)
