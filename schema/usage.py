"""Usage and revenue: what customers used and brought in, from the warehouse."""

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import strawberry

from schema.arguments import ById, Many, One
from schema.directives import allow, owned

if TYPE_CHECKING:
    from schema.customer import Customer


@strawberry.type(
    description="What one customer used on one day.",
    directives=[allow("sales", "marketing", "finance", "support", "engineering"), owned("data platform")],
)
class UsageDay:
    id: strawberry.ID = strawberry.field(description="The customer and the day, as `customer:day`.")
    day: date = strawberry.field(description="The day, in UTC.")
    api_calls: int = strawberry.field(description="Calls to our API.")
    active_users: int = strawberry.field(description="People who signed in.")
    storage_gb: Decimal = strawberry.field(description="What was stored, in gigabytes.")
    customer: One["Customer"] = strawberry.field(description="Who used it.")


@strawberry.type(
    description="What one customer brought in in one month.",
    directives=[allow("sales", "finance"), owned("finance systems")],
)
class RevenueMonth:
    id: strawberry.ID = strawberry.field(description="The customer and the month, as `customer:month`.")
    month: date = strawberry.field(description="The first day of the month.")
    revenue: Decimal = strawberry.field(description="What was invoiced, in euros.")
    refunds: Decimal | None = strawberry.field(
        description="What was given back, in euros.", directives=[allow("finance")]
    )
    customer: One["Customer"] = strawberry.field(description="Who brought it in.")


@strawberry.type
class Query:
    usage_day: ById["UsageDay"] = strawberry.field(description="One customer's day, by `customer:day`.")
    usage_days: Many["UsageDay"] = strawberry.field(description="All days of all customers.")
    revenue_month: ById["RevenueMonth"] = strawberry.field(description="One customer's month, by `customer:month`.")
    revenue_months: Many["RevenueMonth"] = strawberry.field(description="All months of all customers.")
