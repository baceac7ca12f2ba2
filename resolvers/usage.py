"""Usage and revenue: tables of the warehouse, keyed by customer and date."""

from onedoor.mapping import Relationship, TypeMapping
from onedoor.mutations import ChangeKind, RowMutation

CUSTOMER = {"customer": Relationship(to="Customer", local="customer_id", remote="id")}

MAPPINGS = (
    TypeMapping(
        type="UsageDay", source="snowflake", collection="usage_day", key=("customer_id", "day"), relationships=CUSTOMER
    ),
    TypeMapping(
        type="RevenueMonth",
        source="snowflake",
        collection="revenue_month",
        key=("customer_id", "month"),
        relationships=CUSTOMER,
    ),
)
MUTATIONS = (
    *(RowMutation(field=f"{verb}UsageDay", type="UsageDay", kind=verb) for verb in ChangeKind),
    RowMutation(field="putRevenueMonth", type="RevenueMonth", kind=ChangeKind.PUT),
)
