"""The small requests that cost the most, as far as they are known; each takes a number, which makes it another one."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import get_introspection_query


@dataclass(frozen=True, slots=True, kw_only=True)
class CrowdRequest:
    """One request; `sent_bytes` of its body are sent, and no more; None: all of it."""

    method: str = "POST"
    path: str = "/graphql"
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    sent_bytes: int | None = None


def ask(query: str, variables: Any = None, **headers: str) -> CrowdRequest:
    return CrowdRequest(body=json.dumps({"query": query, "variables": variables}).encode(), headers=headers)


INTROSPECTION = get_introspection_query()

LEAF = "fragment L on Employee { id firstName lastName fullName email title department }"

DOUBLING = (
    LEAF
    + " fragment F0 on Employee { ...L } "
    + " ".join(
        f"fragment F{k} on Employee {{ ...L manager {{ ...F{k - 1} }}"
        f" reports(first: 1) {{ nodes {{ ...F{k - 1} }} }} }}"
        for k in range(1, 9)
    )
)

DOUBLED = "{ employees(first: 1) { nodes { ...F8 } } }"

SPREADS = (
    "{ employees(first: 1) { nodes { "
    + " ".join(f"...F{k}" for k in range(300))
    + " } } } "
    + " ".join(f"fragment F{k} on Employee {{ manager {{ id title }} }}" for k in range(300))
)

LARGE = "{ customers(first: 1000) { nodes { id name country orders(first: 20) { nodes { id total note } } } } }"

LINK = "a%d: orders(first: 1, where: {customer: {orders: {some: {note: {eq: %s}}}}}) { nodes { id } }"


def ask_links(number: int) -> CrowdRequest:
    return ask("{ " + " ".join(LINK % (k, json.dumps(f"no{number} {k}")) for k in range(16)) + " }")


def ask_flat(number: int) -> CrowdRequest:
    tests = ", ".join(f'{{note: {{iContains: "x{number} {k}"}}}}' for k in range(150))
    return ask(f"{{ orders(first: 1, where: {{or: [{tests}]}}) {{ nodes {{ id }} }} }}")


def send_half(_: int) -> CrowdRequest:
    return CrowdRequest(body=b"{" + b" " * 100, sent_bytes=1)


SHAPES: Mapping[str, Callable[[int], CrowdRequest]] = {
    "half-sent bodies": send_half,
    "filters through list links": ask_links,
    "many texts in one filter": ask_flat,
    "introspection": lambda _: ask(INTROSPECTION),
    "introspection, each another": lambda number: ask(INTROSPECTION.replace("queryType {", f"a{number}: queryType {{")),
    "one name 4,900 times": lambda number: ask("{ employees { nodes { " + "id " * 4_900 + "} } } # " + str(number)),
    "300 fragments": lambda number: ask(SPREADS + f" # {number}"),
    "fragments that double": lambda number: ask(f"{DOUBLING} query Q{number} {DOUBLED}"),
    "many values": lambda number: ask(
        "query($x: [ID!]) { employees(where: {id: {in: $x}}) { totalCount } }", {"x": [str(number)] * 80_000}
    ),
    "large results": lambda number: ask(f"{LARGE} # {number}"),
    "permissions": lambda _: CrowdRequest(method="GET", path="/graphiql/permissions.json"),
    "bad keys": lambda number: ask("{ me { id } }", None, authorization=f"Bearer od_{number:016x}_bad"),
    "no key": lambda _: ask("{ me { id } }"),
}

KEYLESS = frozenset({"bad keys", "no key"})
