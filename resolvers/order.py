"""Orders, their items and products: tables of the internal database."""

from onedoor.mapping import ALL_ROWS, Relationship, TopicSubscription, TypeMapping, attribute
from onedoor.mutations import TABLE_CHANGE_KINDS, RowMutation

MAPPINGS = (
    TypeMapping(
        type="Order",
        source="internal",
        collection="orders",
        relationships={
            "customer": Relationship(to="Customer", local="customer_id", remote="id"),
            "items": Relationship(to="OrderItem", local="id", remote="order_id"),
        },
        rows={
            "sales": ALL_ROWS,
            "finance": ALL_ROWS,
            "support": ALL_ROWS,
            "vendor": {"customer": {"vendor": attribute("vendor")}},
        },
    ),
    TypeMapping(
        type="OrderItem",
        source="internal",
        collection="order_item",
        key=("order_id", "line"),
        relationships={
            "order": Relationship(to="Order", local="order_id", remote="id"),
            "product": Relationship(to="Product", local="product_id", remote="id"),
        },
    ),
    TypeMapping(
        type="Product",
        source="internal",
        collection="product",
        relationships={"items": Relationship(to="OrderItem", local="id", remote="product_id")},
    ),
)
MUTATIONS = tuple(
    RowMutation(field=f"{verb}{each}", type=each, kind=verb)
    for each in ("Order", "Product")
    for verb in TABLE_CHANGE_KINDS
)
SUBSCRIPTIONS = {
    "orderChanged": TopicSubscription(topic="Order", argument="id"),
    "productChanged": TopicSubscription(topic="Product", argument="id"),
}
