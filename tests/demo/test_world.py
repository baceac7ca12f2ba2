"""Acme's rows are the same in every run, have whole references, and are of the promised sizes."""

import subprocess
import sys
from collections import Counter
from decimal import Decimal
from fractions import Fraction

import pytest

from demo.data import activity, business, files
from demo.data.business import tables
from demo.data.random import NOW, size
from demo.data.seed_sql import METADATA
from demo.servers.run import ROOT

SMALL = Fraction(1, 100)
WORLD = tables(SMALL)
ROWS = {name: [dict(zip(table.columns, row, strict=True)) for row in table.rows] for name, table in WORLD.items()}
DIGEST = """
from hashlib import sha256
from demo.data.activity import messages
from demo.data.business import tables
from demo.data.files import files
print(sha256(repr((tables(0.01), list(files(0.01)), messages(0.01))).encode()).hexdigest())
"""


def test_two_processes_make_the_same_company() -> None:
    digests = {
        subprocess.run([sys.executable, "-c", DIGEST], cwd=ROOT, capture_output=True, check=True).stdout for _ in "ab"
    }

    assert len(digests) == 1


@pytest.mark.parametrize(("scale", "sizes"), [
    pytest.param(1, (10_000, 200, 200_000, 600_000, 300, 2_000), id="whole"),
    pytest.param(SMALL, (100, 20, 2_000, 6_000, 20, 20), id="a hundredth"),
])  # fmt: skip
def test_sizes_follow_the_scale(scale: Fraction | int, sizes: tuple[int, ...]) -> None:
    names = ("customer", "product", "orders", "order_item", "employee", "deployment")

    assert tuple(size(name, scale) for name in names) == sizes


def test_every_table_has_as_many_rows_as_its_size_says() -> None:
    assert {name: len(table.rows) for name, table in WORLD.items()} == {name: size(name, SMALL) for name in WORLD}


def test_five_orders_in_a_row_have_fifteen_items_whatever_the_scale() -> None:
    assert sum(len(business.build_items(number, 200)) for number in range(199_996, 200_001)) == 15


def test_the_rows_have_the_columns_of_the_sql_tables() -> None:
    assert {name: table.columns for name, table in WORLD.items()} == {
        name: tuple(table.columns.keys()) for name, table in METADATA.tables.items()
    }


@pytest.mark.parametrize("link", [
    pytest.param(key, id=f"{key.parent.table.name}.{key.parent.name}")
    for table in METADATA.tables.values() for key in sorted(table.foreign_keys, key=lambda key: key.parent.name)
])  # fmt: skip
def test_every_reference_finds_its_row(link) -> None:  # type: ignore[no-untyped-def]
    known = {row[link.column.name] for row in ROWS[link.column.table.name]}
    named = {row[link.parent.name] for row in ROWS[link.parent.table.name]} - {None}

    assert named
    assert named <= known


def test_an_orders_total_is_the_sum_of_its_items() -> None:
    sums: Counter[int] = Counter()
    for item in ROWS["order_item"]:
        sums[item["order_id"]] += item["quantity"] * item["unit_price"]

    assert {order["id"]: order["total"] for order in ROWS["orders"]} == sums


def test_no_order_is_older_than_its_customer_or_newer_than_today() -> None:
    created = {customer["id"]: customer["created_at"] for customer in ROWS["customer"]}

    assert [row for row in ROWS["orders"] if not created[row["customer_id"]] <= row["placed_at"] < NOW] == []


def test_most_orders_are_of_the_last_year() -> None:
    recent = sum((NOW - row["placed_at"]).days < 365 for row in ROWS["orders"])

    assert recent > size("orders", SMALL) / 2


def test_a_manager_has_a_lower_number_so_nobody_manages_themselves_through_others() -> None:
    assert [row for row in ROWS["employee"][1:] if row["manager_id"] >= row["id"]] == []


@pytest.mark.parametrize("column", [
    "customer.phone", "customer.account_manager_id", "customer.credit_limit", "customer.vendor", "orders.note",
    "deployment.slack_ts",
])  # fmt: skip
def test_some_rows_have_no_value_and_some_have_one(column: str) -> None:
    table, _, name = column.partition(".")
    values = [row[name] is None for row in ROWS[table]]

    assert {*values} == {True, False}


def test_some_orders_tie_in_time_and_in_total() -> None:
    for column in ("placed_at", "total"):
        assert Counter(row[column] for row in ROWS["orders"]).most_common(1)[0][1] > 1


def test_some_names_are_not_ascii() -> None:
    assert [row["name"] for row in ROWS["customer"] if not row["name"].isascii()]


def test_an_email_address_is_one_employees() -> None:
    whole = tables(SMALL)["employee"]

    assert len({row[3] for row in whole.rows}) == len(whole.rows)


def test_money_has_two_places() -> None:
    amounts = {row["total"].as_tuple().exponent for row in ROWS["orders"]}

    assert amounts == {-2}


def test_slack_is_of_the_sizes_promised() -> None:
    messages = activity.messages(1)

    assert len(messages) == 10_000
    assert len({message.thread for message in messages} - {None}) == 1_500
    assert len({(message.channel, message.ts) for message in messages}) == 10_000
    assert len(activity.channels(1)) == 103


def test_every_announced_deployment_points_at_its_message() -> None:
    texts = {(message.channel, message.ts): message.text for message in activity.messages(SMALL)}
    announced = [row for row in ROWS["deployment"] if row["slack_ts"]]

    assert announced
    for row in announced:
        assert row["service"] in texts[row["slack_channel_id"], row["slack_ts"]]


def test_a_slack_user_has_the_address_of_each_employee() -> None:
    assert {user.email for user in activity.users(SMALL)} == {row["email"] for row in ROWS["employee"]} | {None}


def test_a_reply_stands_after_its_parent_which_is_no_reply() -> None:
    messages = activity.messages(SMALL)
    tops = {(message.channel, message.ts) for message in messages if message.thread is None}
    replies = [message for message in messages if message.thread is not None]

    assert [reply for reply in replies if (reply.channel, reply.thread) not in tops or reply.ts <= reply.thread] == []


def test_an_invoice_says_what_its_order_says() -> None:
    totals = {row["id"]: row["total"] for row in ROWS["orders"]}
    invoices = [file for file in files.files(SMALL) if file.key.endswith(".csv")]

    assert invoices
    for file in invoices:
        lines = [line.split(",") for line in file.body.decode().splitlines()[1:]]
        assert sum((Decimal(line[-1]) for line in lines), Decimal(0)) == totals[int(lines[0][0])]


def test_about_two_thousand_files_stand_under_names_of_their_own() -> None:
    keys = [file.key for file in files.files(1)]

    assert 1_900 < len(keys) < 2_100
    assert len({*keys}) == len(keys)
