"""List the queries of the benchmark, for Onedoor and for Strawberry by hand, with their goals."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VARIANTS = 100
IDS = tuple({"id": str(number * 97 % 10_000 + 1)} for number in range(VARIANTS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question; load sends its `variables` in turn.

    `of_limit` and `times_by_hand` are what to reach. A hand-written schema has plain lists where ours has connections:
    `by_hand` is the document it is asked.
    """

    name: str
    title: str
    onedoor: str
    by_hand: str
    variables: tuple[Mapping[str, Any], ...] = field(default=({},))
    of_limit: float | None = None
    times_by_hand: float | None = None


ROW = "id name email city country segment credit createdAt"
FLAT = f"query ($first: Int!) {{ customers(first: $first) {{ nodes {{ {ROW} }} }} }}"
FLAT_BY_HAND = f"query ($first: Int!) {{ customers(first: $first) {{ {ROW} }} }}"


def flat(rows: int) -> Question:
    """So many rows of eight columns each."""
    return Question(
        name="flat",
        title=f"{rows} flat rows x 8",
        onedoor=FLAT,
        by_hand=FLAT_BY_HAND,
        variables=({"first": rows},),
    )


QUESTIONS = (
    Question(
        name="one",
        title="one row by id",
        onedoor="query ($id: ID!) { customer(id: $id) { id name email } }",
        by_hand="query ($id: ID!) { customer(id: $id) { id name email } }",
        variables=IDS,
        of_limit=0.45,
        times_by_hand=10,
    ),
    Question(
        name="music",
        title="20 artists > albums > tracks",
        onedoor="{ artists(first: 20) { nodes { id name albums { nodes { id title"
        " tracks { nodes { id title milliseconds unitPrice } } } } } } }",
        by_hand="{ artists(first: 20) { id name albums { id title tracks { id title milliseconds unitPrice } } } }",
        of_limit=0.8,
        times_by_hand=35,
    ),
    Question(
        name="flat",
        title="1000 flat rows x 8",
        onedoor=FLAT,
        by_hand=FLAT_BY_HAND,
        variables=({"first": 1000},),
        of_limit=0.8,
        times_by_hand=15,
    ),
    Question(
        name="orders",
        title="100 customers > last 5 orders > items > product",
        onedoor="{ customers(first: 100) { nodes { id name orders(orderBy: [{placedAt: DESC}], first: 5)"
        " { nodes { id placedAt total items { nodes { quantity product { id name price } } } } } } } }",
        by_hand="{ customers(first: 100) { id name orders(last: 5)"
        " { id placedAt total items { quantity product { id name price } } } } }",
        of_limit=0.8,
        times_by_hand=60,
    ),
    Question(
        name="sums",
        title="count and sum for 50 customers",
        onedoor="{ customers(first: 50) { nodes { id orders { aggregate { count sum { total } } } } } }",
        by_hand="{ customers(first: 50) { id orders: orderTotals { count sum { total } } } }",
        of_limit=0.75,
        times_by_hand=12,
    ),
    Question(
        name="posts",
        title="posts > users over REST",
        onedoor="{ posts(first: 20) { nodes { id title user { id name email } } } }",
        by_hand="{ posts(first: 20) { id title user { id name email } } }",
        of_limit=0.6,
        times_by_hand=40,
    ),
    Question(
        name="slow",
        title="the same, 5 ms upstream",
        onedoor="{ posts: slowPosts(first: 20) { nodes { id title user { id name email } } } }",
        by_hand="{ posts: slowPosts(first: 20) { id title user { id name email } } }",
    ),
    Question(
        name="users",
        title="100 customers > REST user",
        onedoor="{ customers(first: 100) { nodes { id name user { id name email } } } }",
        by_hand="{ customers(first: 100) { id name user { id name email } } }",
        of_limit=0.6,
        times_by_hand=50,
    ),
    Question(
        name="typename",
        title="`{__typename}`",
        onedoor="{ __typename }",
        by_hand="{ __typename }",
        of_limit=0.3,
        times_by_hand=3,
    ),
)
ROWS = (10, 100, 1000, 10_000)
