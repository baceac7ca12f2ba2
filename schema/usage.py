"""Declare the usage of and the revenue from customers, from the warehouse."""

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import strawberry

from onedoor.schema import ById, Changed, History, Many, One, allow, owned, with_input

if TYPE_CHECKING:
    from schema.customer import Customer


@strawberry.type(
    description="The usage of one customer on one day.",
    directives=[allow("sales", "marketing", "finance", "support", "engineering"), owned("data platform")],
)
class UsageDay:
    id: strawberry.ID = strawberry.field(description="The customer and the day, as `customer:day`.")
    day: date = strawberry.field(description="The day, in UTC.")
    api_calls: int = strawberry.field(description="The number of calls to our API.")
    active_users: int = strawberry.field(description="The number of people who signed in.")
    storage_gb: Decimal = strawberry.field(description="The storage in use, in gigabytes.")
    customer: One["Customer"] = strawberry.field(description="The customer whose usage it is.")
    history: History["UsageDay"] = strawberry.field(
        description="Every change of the day that was made through Onedoor."
    )


@strawberry.type(
    description="The revenue from one customer in one month.",
    directives=[allow("sales", "finance"), owned("finance systems")],
)
class RevenueMonth:
    id: strawberry.ID = strawberry.field(description="The customer and the month, as `customer:month`.")
    month: date = strawberry.field(description="The first day of the month.")
    revenue: Decimal = strawberry.field(description="The amount invoiced, in euros.")
    refunds: Decimal | None = strawberry.field(
        description="The amount refunded, in euros.", directives=[allow("finance")]
    )
    customer: One["Customer"] = strawberry.field(description="The customer whose revenue it is.")
    history: History["RevenueMonth"] = strawberry.field(
        description="Every change of the month that was made through Onedoor."
    )


@strawberry.input(description="The usage of a customer on a day without a row.")
class CreateUsageDayInput:
    customer_id: strawberry.ID = strawberry.field(description="The id of the customer.")
    day: date = strawberry.field(description="The day, in UTC.")
    api_calls: int = strawberry.field(description="The number of calls to our API.")
    active_users: int = strawberry.field(description="The number of people who signed in.")
    storage_gb: Decimal = strawberry.field(description="The storage in use, in gigabytes.")


@strawberry.input(description="The usage of a customer on a day, whether there is a row or not.")
class PutUsageDayInput:
    customer_id: strawberry.ID = strawberry.field(description="The id of the customer.")
    day: date = strawberry.field(description="The day, in UTC.")
    api_calls: int = strawberry.field(description="The number of calls to our API.")
    active_users: int = strawberry.field(description="The number of people who signed in.")
    storage_gb: Decimal = strawberry.field(description="The storage in use, in gigabytes.")


@strawberry.input(description="The values to change in a day; those not given stay as they are.")
class UpdateUsageDayInput:
    id: strawberry.ID = strawberry.field(description="The customer and the day, as `customer:day`.")
    api_calls: int | None = strawberry.field(description="The number of calls to our API.")
    active_users: int | None = strawberry.field(description="The number of people who signed in.")
    storage_gb: Decimal | None = strawberry.field(description="The storage in use, in gigabytes.")


@strawberry.input(description="The day of a customer to delete.")
class DeleteUsageDayInput:
    id: strawberry.ID = strawberry.field(description="The customer and the day, as `customer:day`.")


@strawberry.input(description="The revenue from a customer in a month, whether there is a row or not.")
class PutRevenueMonthInput:
    customer_id: strawberry.ID = strawberry.field(description="The id of the customer.")
    month: date = strawberry.field(description="The first day of the month.")
    revenue: Decimal = strawberry.field(description="The amount invoiced, in euros.")
    refunds: Decimal = strawberry.field(description="The amount refunded, in euros.")


@strawberry.type
class Query:
    usage_day: ById["UsageDay"] = strawberry.field(description="One customer's day, by `customer:day`.")
    usage_days: Many["UsageDay"] = strawberry.field(description="All days of all customers.")
    revenue_month: ById["RevenueMonth"] = strawberry.field(description="One customer's month, by `customer:month`.")
    revenue_months: Many["RevenueMonth"] = strawberry.field(description="All months of all customers.")


@strawberry.type
class Mutation:
    create_usage_day: Changed["UsageDay"] = strawberry.field(
        description="Creates the usage of a customer on a day.",
        directives=[allow("engineering"), owned("data platform")],
        metadata=with_input(CreateUsageDayInput),
    )
    put_usage_day: Changed["UsageDay"] = strawberry.field(
        description="Writes the usage of a customer on a day, replacing what was there.",
        directives=[allow("engineering"), owned("data platform")],
        metadata=with_input(PutUsageDayInput),
    )
    update_usage_day: Changed["UsageDay"] = strawberry.field(
        description="Changes the usage of a day.",
        directives=[allow("engineering"), owned("data platform")],
        metadata=with_input(UpdateUsageDayInput),
    )
    delete_usage_day: Changed["UsageDay"] = strawberry.field(
        description="Deletes the usage of a day.",
        directives=[allow("engineering"), owned("data platform")],
        metadata=with_input(DeleteUsageDayInput),
    )
    put_revenue_month: Changed["RevenueMonth"] = strawberry.field(
        description="Writes the revenue from a customer in a month, replacing what was there.",
        directives=[allow("finance"), owned("finance systems")],
        metadata=with_input(PutRevenueMonthInput),
    )
