"""A row's number to the rows of the warehouse, in Python and, mirrored, in Snowflake's SQL; a test compares the two."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import TypeAlias

from demo.world.draw import money
from demo.world.sizes import NOW

DAYS = 30
MONTHS = 12
FIRST_DAY = NOW.date() - timedelta(days=DAYS)
FIRST_MONTH = date(NOW.year - 1, NOW.month, 1)
UsageDay: TypeAlias = tuple[int, date, int, int, Decimal]
RevenueMonth: TypeAlias = tuple[int, date, Decimal, Decimal]


def usage_day(customer: int, index: int) -> UsageDay:
    """(customer_id, day, api_calls, active_users, storage_gb); every 37th customer is silent."""
    calls = 0 if customer % 37 == 0 else (customer * 7919 + index * 1049) % 5000 + 10 * index
    users = 0 if customer % 37 == 0 else 1 + (customer * 31 + index * 17) % 240
    return customer, FIRST_DAY + timedelta(days=index), calls, users, money((customer * 6151) % 400_000 + 125 * index)


def revenue_month(customer: int, index: int) -> RevenueMonth:
    """(customer_id, month, revenue, refunds); every 20th customer is large, as in the shop."""
    cents = (customer * 48_271 + index * 9_973) % 900_000 * (10 if customer % 20 == 0 else 1) + 2_500 * index
    refunds = cents // 50 if (customer + index) % 6 == 0 else 0
    return customer, month(index), money(cents), money(refunds)


def month(index: int) -> date:
    months = FIRST_MONTH.year * 12 + FIRST_MONTH.month - 1 + index
    return date(months // 12, months % 12 + 1, 1)


def usage_days(customers: int) -> Iterator[UsageDay]:
    return (usage_day(customer, index) for customer in range(1, customers + 1) for index in range(DAYS))


def revenue_months(customers: int) -> Iterator[RevenueMonth]:
    return (revenue_month(customer, index) for customer in range(1, customers + 1) for index in range(MONTHS))


USAGE_DAY_SQL = f"""
    create or replace table usage_day as
    with numbered as (
        select cast(floor(seq4() / {DAYS}) as int) + 1 as c, cast(mod(seq4(), {DAYS}) as int) as i
        from table(generator(rowcount => {{rows}}))
    )
    select
        c as customer_id,
        dateadd(day, i, '{FIRST_DAY}'::date) as day,
        cast(case when mod(c, 37) = 0 then 0 else mod(c * 7919 + i * 1049, 5000) + 10 * i end as int) as api_calls,
        cast(case when mod(c, 37) = 0 then 0 else 1 + mod(c * 31 + i * 17, 240) end as int) as active_users,
        cast((mod(c * 6151, 400000) + 125 * i) / 100 as decimal(12, 2)) as storage_gb
    from numbered
"""
REVENUE_MONTH_SQL = f"""
    create or replace table revenue_month as
    with numbered as (
        select cast(floor(seq4() / {MONTHS}) as int) + 1 as c, cast(mod(seq4(), {MONTHS}) as int) as i
        from table(generator(rowcount => {{rows}}))
    ), counted as (
        select c, i,
            mod(c * 48271 + i * 9973, 900000) * case when mod(c, 20) = 0 then 10 else 1 end + 2500 * i as cents
        from numbered
    )
    select
        c as customer_id,
        cast(dateadd(month, i, '{FIRST_MONTH}'::date) as date) as month,
        cast(cents / 100 as decimal(12, 2)) as revenue,
        cast(case when mod(c + i, 6) = 0 then floor(cents / 50) else 0 end / 100 as decimal(12, 2)) as refunds
    from counted
"""


def statements(customers: int) -> tuple[str, str]:
    """What makes both tables, for customers 1 to `customers`."""
    return USAGE_DAY_SQL.format(rows=customers * DAYS), REVENUE_MONTH_SQL.format(rows=customers * MONTHS)
