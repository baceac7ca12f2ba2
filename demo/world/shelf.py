"""A scale to the files of the company's shared folder: price lists, stock, what customers ordered, notes of visits."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from demo.world import shop
from demo.world.files import latest_orders
from demo.world.sizes import NOW, size

MONTHS = 12
DIGESTS = 6
VISITS = 9
STOCKTAKES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """A file as it is written: its text, or of a table of stock, what to fill it with."""

    path: str
    text: str = ""
    table: tuple[tuple[str, int], ...] = ()
    """Of a Parquet file: skus, and how many of each there are."""
    modified: datetime


def papers(scale: Fraction | float = 1) -> Iterator[Paper]:
    """About 30, whatever the scale: those of customers are of the first ones."""
    whole = shop.shop(scale)
    filed = size("filed_customer", scale)
    yield Paper(path="readme.txt", text="Price lists, stock, and what we know of customers.\n", modified=months_ago(30))
    yield from (price_list(each, whole) for each in range(MONTHS))
    yield from (stock(each, whole) for each in range(STOCKTAKES))
    yield from (digest(number, orders, whole) for number, orders in latest_orders(min(DIGESTS, filed), whole).items())
    yield from (visit(number, whole) for number in range(1, min(VISITS, filed) + 1))


def months_ago(count: int) -> datetime:
    """The first of a month, at eight in the morning."""
    month = NOW.year * 12 + NOW.month - 1 - count
    return datetime(month // 12, month % 12 + 1, 1, 8, tzinfo=NOW.tzinfo)


def price_list(age: int, whole: shop.Shop) -> Paper:
    at = months_ago(age)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("sku", "product", "category", "price"))
    for number in range(1, whole.products + 1):
        _, sku, name, category, price, _ = shop.product(number)
        writer.writerow((sku, name, category, price))
    return Paper(path=f"prices/{at:%Y-%m}.csv", text=text.getvalue(), modified=at)


def stock(age: int, whole: shop.Shop) -> Paper:
    at = months_ago(age) + timedelta(hours=10)
    counts = tuple((shop.product(number)[1], number * 37 % 240 + age) for number in range(1, whole.products + 1))
    return Paper(path=f"stock/{at:%Y-%m}.parquet", table=counts, modified=at)


def digest(customer: int, orders: list[int], whole: shop.Shop) -> Paper:
    """A line for each of the latest orders."""
    found = [shop.order(number, whole)[0] for number in orders]
    lines = [{"order_id": each[0], "placed_at": each[3].isoformat(), "total": str(each[4])} for each in found]
    text = "".join(f"{json.dumps(each)}\n" for each in lines)
    return Paper(path=f"customers/{customer}/orders/latest.jsonl", text=text, modified=NOW - timedelta(days=customer))


def visit(number: int, whole: shop.Shop) -> Paper:
    _, name, _, _, country, *_ = shop.customer(number, whole)
    day = NOW - timedelta(days=11 * number)
    text = f"Visit to {name} ({country}), {day.date()}.\nThey asked about delivery times and next year's prices.\n"
    return Paper(path=f"customers/{number}/notes/visit-{day.date()}.txt", text=text, modified=day)
