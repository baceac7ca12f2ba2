"""A real gateway over the door and another team's subgraph: one question over both, one answer."""

from tests.e2e.clients.conftest import Door
from tests.e2e.federation.conftest import Composed


def test_a_gateway_joins_our_rows_with_those_of_another_subgraph(composed: Composed) -> None:
    told = composed("{ customers(first: 2) { nodes { id visits orders(first: 1) { nodes { id } } } } }")
    assert "errors" not in told
    assert [(each["id"], each["visits"]) for each in told["data"]["customers"]["nodes"]] == [("1", 10), ("2", 20)]


def test_a_gateway_asks_us_for_all_rows_that_another_subgraph_names_at_once(composed: Composed, door: Door) -> None:
    told = composed("{ visited { visits name segment } }")
    assert "errors" not in told
    assert [each["visits"] for each in told["data"]["visited"]] == [30, 10, 20]
    assert all(each["name"] and each["segment"] for each in told["data"]["visited"])
    used = door.records()[-1]["sources"]
    assert [(each["collection"], each["calls"], each["rows"]) for each in used] == [("customer", 1, 3)]


def test_what_a_key_may_not_see_is_null_below_a_gateway_too(composed: Composed) -> None:
    told = composed("{ visited { name creditLimit } }")
    assert {each["creditLimit"] for each in told["data"]["visited"]} == {None}
    assert [each["extensions"]["code"] for each in told["errors"]] == ["FORBIDDEN"]
