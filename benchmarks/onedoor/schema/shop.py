"""Define the customers, orders, items and products of a shop."""

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import strawberry

from onedoor.schema import ById, Many, One, allow, owned

if TYPE_CHECKING:
    from benchmarks.onedoor.schema.forum import User


@strawberry.type(description="Who buys.", directives=[allow("sales", "support"), owned("shop")])
class Customer:
    id: strawberry.ID = strawberry.field(description="The customer's number.")
    name: str = strawberry.field(description="The company's name.")
    email: str | None = strawberry.field(description="Where invoices go.", directives=[allow("sales")])
    city: str = strawberry.field(description="Where the company is.")
    country: str = strawberry.field(description="ISO 3166 code, two letters.")
    segment: str = strawberry.field(description="How large the company is.")
    credit: Decimal | None = strawberry.field(description="What may be owed, in euros.", directives=[allow("sales")])
    created_at: datetime = strawberry.field(description="When the company first signed.")
    orders: Many["Order"] = strawberry.field(description="What was ordered.")
    user: One["User"] = strawberry.field(description="Who speaks for the company in the forum.")


@strawberry.type(description="One order.", directives=[allow("sales", "support"), owned("shop")])
class Order:
    id: strawberry.ID = strawberry.field(description="The order's number.")
    placed_at: datetime = strawberry.field(description="When it was ordered.")
    status: str = strawberry.field(description="How far it is.")
    total: Decimal = strawberry.field(description="What it costs, in euros.")
    items: Many["Item"] = strawberry.field(description="What it consists of.")


@strawberry.type(description="One line of an order.", directives=[allow("sales", "support"), owned("shop")])
class Item:
    id: strawberry.ID = strawberry.field(description="The line's number.")
    quantity: int = strawberry.field(description="How many.")
    product: One["Product"] = strawberry.field(description="What was ordered.")


@strawberry.type(description="Something for sale.", directives=[allow("everyone"), owned("shop")])
class Product:
    id: strawberry.ID = strawberry.field(description="The product's number.")
    name: str = strawberry.field(description="Its name.")
    price: Decimal = strawberry.field(description="Its price, in euros.")


@strawberry.type
class Query:
    customer: ById["Customer"] = strawberry.field(description="The customer with this number.")
    customers: Many["Customer"] = strawberry.field(description="All customers.")
