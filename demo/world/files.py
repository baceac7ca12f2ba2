"""A scale to the company's files: profiles, contracts, and invoices that say what the orders say."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from demo.world import shop
from demo.world.sizes import NOW, size

INVOICES_EACH = 3
TYPES = {"csv": "text/csv", "json": "application/json", "txt": "text/plain; charset=utf-8"}


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One object: its key in the bucket, its bytes, and when it was last written."""

    key: str
    body: bytes
    modified: datetime


def content_type(key: str) -> str:
    return TYPES[key.rpartition(".")[2]]


def files(scale: Fraction | float = 1) -> Iterator[File]:
    """The files of the first customers. At scale 1 about 2,000."""
    whole = shop.shop(scale)
    billed = latest_orders(size("filed_customer", scale), whole)
    for number, orders in billed.items():
        customer = shop.customer(number, whole)
        yield profile(customer)
        yield contract(customer)
        yield from (invoice(customer, *shop.order(order, whole)) for order in orders)


def latest_orders(customers: int, whole: shop.Shop) -> dict[int, list[int]]:
    """Each customer's most recent order numbers; none for those who never ordered."""
    found: dict[int, list[int]] = {number: [] for number in range(1, customers + 1)}
    for number in shop.orders_of(customers, whole):
        found[shop.placed(number, whole)[0]].append(number)
    return {customer: numbers[-INVOICES_EACH:] for customer, numbers in found.items()}


def profile(customer: shop.Customer) -> File:
    number, name, email, phone, country, segment, created_at, _, _ = customer
    content = {
        "id": number,
        "name": name,
        "email": email,
        "phone": phone,
        "country": country,
        "segment": segment,
        "customer_since": created_at.date().isoformat(),
    }
    body = json.dumps(content, ensure_ascii=False, indent=2).encode()
    return File(key=f"customers/{number}/profile/profile.json", body=body, modified=created_at)


def contract(customer: shop.Customer) -> File:
    number, name, _, _, country, segment, created_at, _, credit_limit = customer
    text = (
        f"FRAMEWORK AGREEMENT AC-{number:05d}\n\nBetween Acme Inc. and {name} ({country}).\n"
        f"In force since {created_at.date()}, renewed each year.\nSegment: {segment}\n"
        f"Credit limit: {'none agreed' if credit_limit is None else f'{credit_limit} EUR'}\n"
        f"Payment within {60 if segment == 'ENTERPRISE' else 30} days.\n"
    )
    key = f"customers/{number}/contracts/framework-{created_at.year}.txt"
    return File(key=key, body=text.encode(), modified=created_at)


def invoice(customer: shop.Customer, order: shop.Order, lines: list[shop.Item]) -> File:
    """As a table; every tenth one as JSON, in the form the company's older system wrote."""
    written = invoice_json if order[0] % 10 == 0 else invoice_csv
    ending = "json" if order[0] % 10 == 0 else "csv"
    key = f"customers/{customer[0]}/invoices/INV-{order[0]:06d}.{ending}"
    return File(key=key, body=written(customer, order, lines).encode(), modified=min(order[3], NOW))


def invoice_csv(customer: shop.Customer, order: shop.Order, lines: list[shop.Item]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("order_id", "customer_id", "line", "sku", "product", "quantity", "unit_price", "amount"))
    for _, line, product_id, quantity, price in lines:
        _, sku, name, *_ = shop.product(product_id)
        writer.writerow((order[0], customer[0], line, sku, name, quantity, price, quantity * price))
    return text.getvalue()


def invoice_json(customer: shop.Customer, order: shop.Order, lines: list[shop.Item]) -> str:
    content = {
        "order_id": order[0],
        "customer_id": customer[0],
        "customer": customer[1],
        "placed_at": order[3].isoformat(),
        "total": str(order[4]),
        "lines": [
            {"line": line, "sku": shop.product(product_id)[1], "quantity": quantity, "unit_price": str(price)}
            for _, line, product_id, quantity, price in lines
        ],
    }
    return json.dumps(content, ensure_ascii=False, indent=2)
