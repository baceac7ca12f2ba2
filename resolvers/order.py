"""Orders, their items and products: tables of the internal database."""

from engine.binding import Binding, Link
from engine.change.declared import Changes
from engine.change.words import ROW_VERBS
from engine.feed import Listens

BINDINGS = (
    Binding(
        type="Order",
        source="internal",
        collection="orders",
        links={
            "customer": Link(to="Customer", here="customer_id", there="id"),
            "items": Link(to="OrderItem", here="id", there="order_id"),
        },
    ),
    Binding(
        type="OrderItem",
        source="internal",
        collection="order_item",
        key=("order_id", "line"),
        links={
            "order": Link(to="Order", here="order_id", there="id"),
            "product": Link(to="Product", here="product_id", there="id"),
        },
    ),
    Binding(
        type="Product",
        source="internal",
        collection="product",
        links={"items": Link(to="OrderItem", here="id", there="product_id")},
    ),
)
CHANGES = tuple(
    Changes(field=f"{verb}{each}", type=each, verb=verb) for each in ("Order", "Product") for verb in ROW_VERBS
)
FEEDS = {
    "orderChanged": Listens(topic="Order", argument="id"),
    "productChanged": Listens(topic="Product", argument="id"),
}
