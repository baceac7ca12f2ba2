"""Usage and revenue: what customers used and brought in, from the warehouse."""

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import strawberry

from onedoor.schema import ById, Changed, History, Many, One, allow, owned, with_input

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
    history: History["UsageDay"] = strawberry.field(description="Every change of the day that was made here.")


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
    history: History["RevenueMonth"] = strawberry.field(description="Every change of the month that was made here.")


@strawberry.input(description="A day of a customer, of which nothing is kept yet.")
class CreateUsageDayInput:
    customer_id: strawberry.ID = strawberry.field(description="Whose.")
    day: date = strawberry.field(description="The day, in UTC.")
    api_calls: int = strawberry.field(description="Calls to our API.")
    active_users: int = strawberry.field(description="People who signed in.")
    storage_gb: Decimal = strawberry.field(description="What was stored, in gigabytes.")


@strawberry.input(description="A day of a customer as it is to be, whether anything is kept of it or not.")
class PutUsageDayInput:
    customer_id: strawberry.ID = strawberry.field(description="Whose.")
    day: date = strawberry.field(description="The day, in UTC.")
    api_calls: int = strawberry.field(description="Calls to our API.")
    active_users: int = strawberry.field(description="People who signed in.")
    storage_gb: Decimal = strawberry.field(description="What was stored, in gigabytes.")


@strawberry.input(description="What is to be changed of a day; what is not given stays as it is.")
class UpdateUsageDayInput:
    id: strawberry.ID = strawberry.field(description="The customer and the day, as `customer:day`.")
    api_calls: int | None = strawberry.field(description="Calls to our API.")
    active_users: int | None = strawberry.field(description="People who signed in.")
    storage_gb: Decimal | None = strawberry.field(description="What was stored, in gigabytes.")


@strawberry.input(description="A day of a customer, of which nothing is to be kept any more.")
class DeleteUsageDayInput:
    id: strawberry.ID = strawberry.field(description="The customer and the day, as `customer:day`.")


@strawberry.input(description="A month of a customer as it is to be, whether anything is kept of it or not.")
class PutRevenueMonthInput:
    customer_id: strawberry.ID = strawberry.field(description="Whose.")
    month: date = strawberry.field(description="The first day of the month.")
    revenue: Decimal = strawberry.field(description="What was invoiced, in euros.")
    refunds: Decimal = strawberry.field(description="What was given back, in euros.")


@strawberry.type
class Query:
    usage_day: ById["UsageDay"] = strawberry.field(description="One customer's day, by `customer:day`.")
    usage_days: Many["UsageDay"] = strawberry.field(description="All days of all customers.")
    revenue_month: ById["RevenueMonth"] = strawberry.field(description="One customer's month, by `customer:month`.")
    revenue_months: Many["RevenueMonth"] = strawberry.field(description="All months of all customers.")


@strawberry.type
class Mutation:
    create_usage_day: Changed["UsageDay"] = strawberry.field(
        description="Keeps what a customer used on a day.",
        directives=[allow("engineering"), owned("data platform")],
        metadata=with_input(CreateUsageDayInput),
    )
    put_usage_day: Changed["UsageDay"] = strawberry.field(
        description="Keeps what a customer used on a day, in the place of what was kept.",
        directives=[allow("engineering"), owned("data platform")],
        metadata=with_input(PutUsageDayInput),
    )
    update_usage_day: Changed["UsageDay"] = strawberry.field(
        description="Changes what is kept of a day.",
        directives=[allow("engineering"), owned("data platform")],
        metadata=with_input(UpdateUsageDayInput),
    )
    delete_usage_day: Changed["UsageDay"] = strawberry.field(
        description="Deletes what is kept of a day.",
        directives=[allow("engineering"), owned("data platform")],
        metadata=with_input(DeleteUsageDayInput),
    )
    put_revenue_month: Changed["RevenueMonth"] = strawberry.field(
        description="Keeps what a customer brought in in a month, in the place of what was kept.",
        directives=[allow("finance"), owned("finance systems")],
        metadata=with_input(PutRevenueMonthInput),
    )
