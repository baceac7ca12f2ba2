"""Usage and revenue: tables of the warehouse, keyed by customer and date."""

from engine.binding import Binding, Link
from engine.change.declared import Changes
from engine.change.words import Verb

CUSTOMER = {"customer": Link(to="Customer", here="customer_id", there="id")}

BINDINGS = (
    Binding(type="UsageDay", source="snowflake", collection="usage_day", key=("customer_id", "day"), links=CUSTOMER),
    Binding(
        type="RevenueMonth",
        source="snowflake",
        collection="revenue_month",
        key=("customer_id", "month"),
        links=CUSTOMER,
    ),
)
CHANGES = (
    *(Changes(field=f"{verb}UsageDay", type="UsageDay", verb=verb) for verb in Verb),
    Changes(field="putRevenueMonth", type="RevenueMonth", verb=Verb.PUT),
)
