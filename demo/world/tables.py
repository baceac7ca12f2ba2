"""A scale to the company's internal tables, parents before their children."""

from collections.abc import Iterable, Mapping, Sequence
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
        "customer": counted(shop.CUSTOMER_COLUMNS, (shop.customer(each, whole) for each in upto(whole.customers))),
        "product": counted(shop.PRODUCT_COLUMNS, map(shop.product, upto(whole.products))),
        "orders": counted(shop.ORDER_COLUMNS, orders),
        "order_item": counted(shop.ITEM_COLUMNS, items),
        "deployment": counted(
            staff.DEPLOYMENT_COLUMNS, staff.deployments(size("deployment", scale), whole.staff), "revision"
        ),
    }


def counted(columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]], name: str = "version") -> Table:
    """With the column that counts a row's changes, which begins at 1."""
    return Table((*columns, name), [(*row, 1) for row in rows])


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
