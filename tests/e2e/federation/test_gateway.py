"""A real gateway answers one query over Onedoor and another team's subgraph."""

from tests.e2e.clients.conftest import RunningServer
from tests.e2e.federation.conftest import Composed


def test_a_gateway_joins_our_rows_with_those_of_another_subgraph(composed: Composed) -> None:
    reply = composed("{ customers(first: 2) { nodes { id visits orders(first: 1) { nodes { id } } } } }")
    assert "errors" not in reply
    assert [(node["id"], node["visits"]) for node in reply["data"]["customers"]["nodes"]] == [("1", 10), ("2", 20)]


def test_a_gateway_asks_us_for_all_rows_that_another_subgraph_names_at_once(
    composed: Composed, server: RunningServer
) -> None:
    reply = composed("{ visited { visits name segment } }")
    assert "errors" not in reply
    assert [item["visits"] for item in reply["data"]["visited"]] == [30, 10, 20]
    assert all(item["name"] and item["segment"] for item in reply["data"]["visited"])
    used = server.records()[-1]["sources"]
    assert [(item["collection"], item["calls"], item["rows"]) for item in used] == [("customer", 1, 3)]


def test_what_a_key_may_not_see_is_null_below_a_gateway_too(composed: Composed) -> None:
    reply = composed("{ visited { name creditLimit } }")
    assert {item["creditLimit"] for item in reply["data"]["visited"]} == {None}
    assert [error["extensions"]["code"] for error in reply["errors"]] == ["FORBIDDEN"]
