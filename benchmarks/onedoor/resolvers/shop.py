"""Customers, orders, items and products: tables of the database; who speaks for a customer is known upstream."""

from engine.binding import Binding, Link

BINDINGS = (
    Binding(
        type="Customer",
        source="database",
        collection="customer",
        links={
            "orders": Link(to="Order", here="id", there="customer_id"),
            "user": Link(to="User", here="user_id", there="id"),
        },
    ),
    Binding(
        type="Order",
        source="database",
        collection="orders",
        links={"items": Link(to="Item", here="id", there="order_id")},
    ),
    Binding(
        type="Item",
        source="database",
        collection="item",
        links={"product": Link(to="Product", here="product_id", there="id")},
    ),
    Binding(type="Product", source="database", collection="product"),
)
