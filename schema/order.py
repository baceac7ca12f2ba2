"""Declare orders, their items, and the products in them."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

import strawberry

from onedoor.schema import Argument, ById, Changed, History, Many, One, allow, owned, with_arguments, with_input

if TYPE_CHECKING:
    from schema.customer import Customer


@strawberry.enum(description="The status of an order.")
class OrderStatus(StrEnum):
    PENDING = "PENDING"
    PAID = "PAID"
    SHIPPED = "SHIPPED"
    CANCELLED = "CANCELLED"
    REFUNDED = "REFUNDED"


@strawberry.enum(description="The category of a product.")
class ProductCategory(StrEnum):
    HARDWARE = "HARDWARE"
    SOFTWARE = "SOFTWARE"
    SERVICE = "SERVICE"
    ACCESSORY = "ACCESSORY"


@strawberry.type(
    description="One order of one customer.",
    directives=[allow("sales", "finance", "support", "vendor"), owned("order desk")],
)
class Order:
    id: strawberry.ID = strawberry.field(description="The order number.")
    status: OrderStatus = strawberry.field(description="The status of the order.")
    placed_at: datetime = strawberry.field(description="When the order was placed.")
    total: Decimal = strawberry.field(description="The sum of its items, in euros.")
    note: str | None = strawberry.field(description="The note of the customer.")
    version: int = strawberry.field(description="The number of changes so far; pass it as `ifVersion`.")
    customer: One["Customer"] = strawberry.field(description="The customer who ordered.")
    items: Many["OrderItem"] = strawberry.field(description="The lines of the order, one for each product.")
    history: History["Order"] = strawberry.field(description="Every change of the order that was made through Onedoor.")


@strawberry.type(
    description="One line of an order.",
    directives=[allow("sales", "finance", "support"), owned("order desk")],
)
class OrderItem:
    id: strawberry.ID = strawberry.field(description="The order number and the line, as `order:line`.")
    line: int = strawberry.field(description="The number of the line in the order, from 1.")
    quantity: int = strawberry.field(description="The number of pieces.")
    unit_price: Decimal = strawberry.field(description="The price of one piece when it was ordered, in euros.")
    version: int = strawberry.field(description="The number of changes so far; pass it as `ifVersion`.")
    order: One["Order"] = strawberry.field(description="The order that has this line.")
    product: One["Product"] = strawberry.field(description="The product that was ordered.")


@strawberry.type(
    description="A product that we sell.",
    directives=[allow("everyone"), owned("product management")],
)
class Product:
    id: strawberry.ID = strawberry.field(description="The product number.")
    sku: str = strawberry.field(description="The code on the box.")
    name: str = strawberry.field(description="The name in the catalogue.")
    category: ProductCategory = strawberry.field(description="The category of the product.")
    price: Decimal = strawberry.field(description="The list price today, in euros.")
    discontinued: bool = strawberry.field(description="Whether it is no longer sold.")
    version: int = strawberry.field(description="The number of changes so far; pass it as `ifVersion`.")
    items: Many["OrderItem"] = strawberry.field(description="The order lines with this product.")
    history: History["Product"] = strawberry.field(
        description="Every change of the product that was made through Onedoor."
    )


@strawberry.input(description="The values of a new order.")
class CreateOrderInput:
    customer_id: strawberry.ID = strawberry.field(description="The id of the customer who orders.")
    status: OrderStatus = strawberry.field(description="The status of the order.")
    placed_at: datetime = strawberry.field(description="When the order was placed.")
    total: Decimal = strawberry.field(description="The sum of its items, in euros.")
    note: str | None = strawberry.field(description="The note of the customer.")


@strawberry.input(description="The values to change in an order; those not given stay as they are.")
class UpdateOrderInput:
    id: strawberry.ID = strawberry.field(description="The id of the order.")
    status: OrderStatus | None = strawberry.field(description="The status of the order.")
    total: Decimal | None = strawberry.field(description="The sum of its items, in euros.")
    note: str | None = strawberry.field(description="The note of the customer; null removes it.")


@strawberry.input(description="The order to delete; it must not have items.")
class DeleteOrderInput:
    id: strawberry.ID = strawberry.field(description="The id of the order.")


@strawberry.input(description="The values of a new product.")
class CreateProductInput:
    sku: str = strawberry.field(description="The code on the box.")
    name: str = strawberry.field(description="The name in the catalogue.")
    category: ProductCategory = strawberry.field(description="The category of the product.")
    price: Decimal = strawberry.field(description="The list price, in euros.")
    discontinued: bool = strawberry.field(description="Whether it is no longer sold.")


@strawberry.input(description="The values to change in a product; those not given stay as they are.")
class UpdateProductInput:
    id: strawberry.ID = strawberry.field(description="The id of the product.")
    sku: str | None = strawberry.field(description="The code on the box.")
    name: str | None = strawberry.field(description="The name in the catalogue.")
    category: ProductCategory | None = strawberry.field(description="The category of the product.")
    price: Decimal | None = strawberry.field(description="The list price, in euros.")
    discontinued: bool | None = strawberry.field(description="Whether it is no longer sold.")


@strawberry.input(description="The product to delete; it must never have been ordered.")
class DeleteProductInput:
    id: strawberry.ID = strawberry.field(description="The id of the product.")


@strawberry.type
class Query:
    order: ById["Order"] = strawberry.field(description="The order with this number.")
    orders: Many["Order"] = strawberry.field(description="All orders.")
    order_item: ById["OrderItem"] = strawberry.field(description="One line of an order, by `order:line`.")
    order_items: Many["OrderItem"] = strawberry.field(description="All lines of all orders.")
    product: ById["Product"] = strawberry.field(description="The product with this number.")
    products: Many["Product"] = strawberry.field(description="All products.")


@strawberry.type
class Mutation:
    create_order: Changed["Order"] = strawberry.field(
        description="Creates an order.",
        directives=[allow("sales", "support"), owned("order desk")],
        metadata=with_input(CreateOrderInput),
    )
    update_order: Changed["Order"] = strawberry.field(
        description="Changes an order.",
        directives=[allow("sales", "support", "finance"), owned("order desk")],
        metadata=with_input(UpdateOrderInput),
    )
    delete_order: Changed["Order"] = strawberry.field(
        description="Deletes an order without items.",
        directives=[allow("sales"), owned("order desk")],
        metadata=with_input(DeleteOrderInput),
    )
    create_product: Changed["Product"] = strawberry.field(
        description="Creates a product.",
        directives=[allow("sales"), owned("product management")],
        metadata=with_input(CreateProductInput),
    )
    update_product: Changed["Product"] = strawberry.field(
        description="Changes a product.",
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
        description="A change of an order, as soon as it is made.",
        metadata=with_arguments(id=Argument(strawberry.ID, "Only changes of the order with this id.", default=None)),
    )
    product_changed: Changed["Product"] = strawberry.field(
        description="A change of a product, as soon as it is made.",
        metadata=with_arguments(id=Argument(strawberry.ID, "Only changes of the product with this id.", default=None)),
    )
