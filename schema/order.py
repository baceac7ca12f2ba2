"""Orders, their items, and the products in them."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

import strawberry

from onedoor.schema import Argument, ById, Changed, History, Many, One, allow, owned, with_arguments, with_input

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
    history: History["Order"] = strawberry.field(description="Every change of the order that was made here.")


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
    history: History["Product"] = strawberry.field(description="Every change of the product that was made here.")


@strawberry.input(description="An order to be.")
class CreateOrderInput:
    customer_id: strawberry.ID = strawberry.field(description="Who orders.")
    status: OrderStatus = strawberry.field(description="How far the order is.")
    placed_at: datetime = strawberry.field(description="When it was ordered.")
    total: Decimal = strawberry.field(description="The sum of its items, in euros.")
    note: str | None = strawberry.field(description="What the customer asked for in words.")


@strawberry.input(description="What is to be changed of an order; what is not given stays as it is.")
class UpdateOrderInput:
    id: strawberry.ID = strawberry.field(description="Which one.")
    status: OrderStatus | None = strawberry.field(description="How far the order is.")
    total: Decimal | None = strawberry.field(description="The sum of its items, in euros.")
    note: str | None = strawberry.field(description="What the customer asked for in words; null: nothing.")


@strawberry.input(description="An order to be deleted, which has no items any more.")
class DeleteOrderInput:
    id: strawberry.ID = strawberry.field(description="Which one.")


@strawberry.input(description="A product to be.")
class CreateProductInput:
    sku: str = strawberry.field(description="The code on the box.")
    name: str = strawberry.field(description="The name in the catalogue.")
    category: ProductCategory = strawberry.field(description="What kind of thing it is.")
    price: Decimal = strawberry.field(description="The list price, in euros.")
    discontinued: bool = strawberry.field(description="Whether it is no longer sold.")


@strawberry.input(description="What is to be changed of a product; what is not given stays as it is.")
class UpdateProductInput:
    id: strawberry.ID = strawberry.field(description="Which one.")
    sku: str | None = strawberry.field(description="The code on the box.")
    name: str | None = strawberry.field(description="The name in the catalogue.")
    category: ProductCategory | None = strawberry.field(description="What kind of thing it is.")
    price: Decimal | None = strawberry.field(description="The list price, in euros.")
    discontinued: bool | None = strawberry.field(description="Whether it is no longer sold.")


@strawberry.input(description="A product to be deleted, which was never ordered.")
class DeleteProductInput:
    id: strawberry.ID = strawberry.field(description="Which one.")


@strawberry.type
class Query:
    order: ById["Order"] = strawberry.field(description="The order with this number.")
    orders: Many["Order"] = strawberry.field(description="All orders.")
    order_item: ById["OrderItem"] = strawberry.field(description="One line of an order, by `order:line`.")
    order_items: Many["OrderItem"] = strawberry.field(description="All lines of all orders.")
    product: ById["Product"] = strawberry.field(description="The product with this number.")
    products: Many["Product"] = strawberry.field(description="Everything we sell.")


@strawberry.type
class Mutation:
    create_order: Changed["Order"] = strawberry.field(
        description="Makes an order.",
        directives=[allow("sales", "support"), owned("order desk")],
        metadata=with_input(CreateOrderInput),
    )
    update_order: Changed["Order"] = strawberry.field(
        description="Changes what is kept of an order.",
        directives=[allow("sales", "support", "finance"), owned("order desk")],
        metadata=with_input(UpdateOrderInput),
    )
    delete_order: Changed["Order"] = strawberry.field(
        description="Deletes an order without items.",
        directives=[allow("sales"), owned("order desk")],
        metadata=with_input(DeleteOrderInput),
    )
    create_product: Changed["Product"] = strawberry.field(
        description="Makes a product.",
        directives=[allow("sales"), owned("product management")],
        metadata=with_input(CreateProductInput),
    )
    update_product: Changed["Product"] = strawberry.field(
        description="Changes what is kept of a product.",
        directives=[allow("sales"), owned("product management")],
        metadata=with_input(UpdateProductInput),
    )
    delete_product: Changed["Product"] = strawberry.field(
        description="Deletes a product that was never ordered.",
        directives=[allow("sales"), owned("product management")],
        metadata=with_input(DeleteProductInput),
    )


@strawberry.type
class Subscription:
    order_changed: Changed["Order"] = strawberry.field(
        description="A change of a order, as soon as it is made.",
        metadata=with_arguments(id=Argument(strawberry.ID, "Only of this one.", default=None)),
    )
    product_changed: Changed["Product"] = strawberry.field(
        description="A change of a product, as soon as it is made.",
        metadata=with_arguments(id=Argument(strawberry.ID, "Only of this one.", default=None)),
    )
