"""Map customers, orders, items and products to tables; a customer's user comes from a REST API."""

from onedoor.mapping import Relationship, TypeMapping

MAPPINGS = (
    TypeMapping(
        type="Customer",
        source="database",
        collection="customer",
        relationships={
            "orders": Relationship(to="Order", local="id", remote="customer_id"),
            "user": Relationship(to="User", local="user_id", remote="id"),
        },
    ),
    TypeMapping(
        type="Order",
        source="database",
        collection="orders",
        relationships={"items": Relationship(to="Item", local="id", remote="order_id")},
    ),
    TypeMapping(
        type="Item",
        source="database",
        collection="item",
        relationships={"product": Relationship(to="Product", local="product_id", remote="id")},
    ),
    TypeMapping(type="Product", source="database", collection="product"),
)
