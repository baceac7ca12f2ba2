"""Orders, their items, and the products in them."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

import strawberry

from schema.arguments import ById, Many, One
from schema.directives import allow, owned

if TYPE_CHECKING:
    from schema.customer import Customer


@strawberry.enum(description="How far an order is.")
class OrderStatus(StrEnum):
    PENDING = "PENDING"
    PAID = "PAID"
    SHIPPED = "SHIPPED"
    CANCELLED = "CANCELLED"
    REFUNDED = "REFUNDED"


@strawberry.enum(description="What kind of thing a product is.")
class ProductCategory(StrEnum):
    HARDWARE = "HARDWARE"
    SOFTWARE = "SOFTWARE"
    SERVICE = "SERVICE"
    ACCESSORY = "ACCESSORY"


@strawberry.type(
    description="One order of one customer.",
    directives=[allow("sales", "finance", "support"), owned("order desk")],
)
class Order:
    id: strawberry.ID = strawberry.field(description="The order number.")
    status: OrderStatus = strawberry.field(description="How far the order is.")
    placed_at: datetime = strawberry.field(description="When it was ordered.")
    total: Decimal = strawberry.field(description="The sum of its items, in euros.")
    note: str | None = strawberry.field(description="What the customer asked for in words.")
    version: int = strawberry.field(description="Counts the changes; give it as `ifVersion`.")
    customer: One["Customer"] = strawberry.field(description="Who ordered.")
    items: Many["OrderItem"] = strawberry.field(description="What was ordered, a row a product.")


@strawberry.type(
    description="One line of an order.",
    directives=[allow("sales", "finance", "support"), owned("order desk")],
)
class OrderItem:
    id: strawberry.ID = strawberry.field(description="The order number and the line, as `order:line`.")
    line: int = strawberry.field(description="The line in the order, from 1.")
    quantity: int = strawberry.field(description="How many.")
    unit_price: Decimal = strawberry.field(description="What one cost when it was ordered, in euros.")
    version: int = strawberry.field(description="Counts the changes; give it as `ifVersion`.")
    order: One["Order"] = strawberry.field(description="The order this line is of.")
    product: One["Product"] = strawberry.field(description="What was ordered.")


@strawberry.type(
    description="Something we sell.",
    directives=[allow("everyone"), owned("product management")],
)
class Product:
    id: strawberry.ID = strawberry.field(description="The product number.")
    sku: str = strawberry.field(description="The code on the box.")
    name: str = strawberry.field(description="The name in the catalogue.")
    category: ProductCategory = strawberry.field(description="What kind of thing it is.")
    price: Decimal = strawberry.field(description="The list price today, in euros.")
    discontinued: bool = strawberry.field(description="Whether it is no longer sold.")
    version: int = strawberry.field(description="Counts the changes; give it as `ifVersion`.")
    items: Many["OrderItem"] = strawberry.field(description="The order lines that name it.")


@strawberry.type
class Query:
    order: ById["Order"] = strawberry.field(description="The order with this number.")
    orders: Many["Order"] = strawberry.field(description="All orders.")
    order_item: ById["OrderItem"] = strawberry.field(description="One line of an order, by `order:line`.")
    order_items: Many["OrderItem"] = strawberry.field(description="All lines of all orders.")
    product: ById["Product"] = strawberry.field(description="The product with this number.")
    products: Many["Product"] = strawberry.field(description="Everything we sell.")
