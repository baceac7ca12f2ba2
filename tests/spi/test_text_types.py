"""Texts that mean more than their code points have one spelling, and one order, wherever they are."""

import itertools
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from onedoor.connectors.memory import MemoryConnector
from onedoor.errors import ErrorCode
from onedoor.model.names import MalformedId, NoSuchId, parse_id
from onedoor.query.cursors import decode_cursor, encode_cursor
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import Connector
from onedoor.spi.json_values import decode_json_value, encode_json_value
from onedoor.spi.text_types import (
    JSON_TEXT,
    MAC_ADDRESS,
    MAC_ADDRESS_64,
    NETWORK_ADDRESS,
    PADDED_TEXT,
    UUID,
    InvalidText,
    RankedText,
    TextType,
    build_enum_type,
)
from tests import acme
from tests.query.spec.conftest import GROUPS

PLAIN_UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
MOOD = build_enum_type("mood", ("zen", "", "glad"))


@pytest.mark.parametrize(("type", "text", "spelled"), [
    (UUID, PLAIN_UUID, PLAIN_UUID),
    (UUID, PLAIN_UUID.upper(), PLAIN_UUID),
    (UUID, PLAIN_UUID.replace("-", ""), PLAIN_UUID),
    (UUID, f"{{{PLAIN_UUID}}}", PLAIN_UUID),
    (UUID, f"urn:uuid:{PLAIN_UUID}", PLAIN_UUID),
    (UUID, "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11", PLAIN_UUID),
    (NETWORK_ADDRESS, "10.0.0.1/32", "10.0.0.1"),
    (NETWORK_ADDRESS, "10.0.0.1/8", "10.0.0.1/8"),
    (NETWORK_ADDRESS, "2001:DB8:0:0::1", "2001:db8::1"),
    (MAC_ADDRESS, "08-00-2B-01-02-03", "08:00:2b:01:02:03"),
    (MAC_ADDRESS, "0800.2b01.0203", "08:00:2b:01:02:03"),
    (MAC_ADDRESS_64, "08:00:2b:01:02:03", "08:00:2b:ff:fe:01:02:03"),
    (PADDED_TEXT, "ab  ", "ab"),
    (JSON_TEXT, '{"bb":1.0,"a":[1e2,-0.0,"é"],"a":null}', '{"a": null, "bb": 1}'),
    (JSON_TEXT, '"x\\u00e9"', '"xé"'),
    (MOOD, "", ""),
])  # fmt: skip
def test_a_text_has_one_spelling(type: TextType, text: str, spelled: str) -> None:
    assert (type.parse(text), type.is_canonical(text), type.parse(spelled)) == (spelled, text == spelled, spelled)


@pytest.mark.parametrize(("type", "text", "message"), [
    (UUID, "abc", "`abc` is no UUID"),
    (UUID, f"{{{PLAIN_UUID}", f"`{{{PLAIN_UUID}` is no UUID"),
    (UUID, f"{PLAIN_UUID}-", f"`{PLAIN_UUID}-` is no UUID"),
    (NETWORK_ADDRESS, "10.0.0.256", "`10.0.0.256` is no network address"),
    (NETWORK_ADDRESS, "fe80::1%eth0", "`fe80::1%eth0` is no network address"),
    (MAC_ADDRESS, "08:00:2b:01:02:03:04:05", "`08:00:2b:01:02:03:04:05` is no MAC address"),
    (JSON_TEXT, "{", "`{` is no JSON"),
    (JSON_TEXT, "NaN", "`NaN` is no JSON"),
    (MOOD, "sad", "`sad` is no value of `mood`"),
    (UUID, "x" * 200, f"`{'x' * 100}...` is no UUID"),
])  # fmt: skip
def test_a_text_that_is_not_of_its_type_is_named(type: TextType, text: str, message: str) -> None:
    with pytest.raises(InvalidText) as caught:
        type.parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(("type", "texts"), [
    (NETWORK_ADDRESS, ("10.0.0.0/8", "10.0.0.0/16", "10.0.0.9", "10.0.0.10", "192.168.1.5/24", "::1", "2001:db8::/32")),
    (MOOD, ("zen", "", "glad")),
])  # fmt: skip
def test_texts_are_ordered_by_what_they_mean(type: TextType, texts: tuple[str, ...]) -> None:
    parsed = [type.parse(text) for text in texts]
    assert sorted(parsed) == parsed
    assert [low < high and low <= high and high > low and high >= low for low, high in itertools.pairwise(parsed)] == [
        True
    ] * (len(texts) - 1)


RANKED = NETWORK_ADDRESS.parse("10.0.0.9")


@pytest.mark.parametrize("carry", [
    pytest.param(lambda text: decode_json_value(encode_json_value(text)), id="as JSON"),
    pytest.param(lambda text: pickle.loads(pickle.dumps(text)), id="pickled"),
    pytest.param(
        lambda text: decode_cursor(encode_cursor((text,), b"key"), (NETWORK_ADDRESS,), b"key")[0], id="in a cursor"
    ),
])  # fmt: skip
def test_a_rank_goes_with_its_text(carry: Callable[[str], Any]) -> None:
    carried = carry(RANKED)
    assert isinstance(carried, RankedText)
    assert (carried, carried < NETWORK_ADDRESS.parse("10.0.0.10")) == (RANKED, True)


def test_an_id_is_taken_in_any_spelling_of_its_type() -> None:
    types = (UUID, ColumnType.INTEGER)
    assert parse_id((UUID,), PLAIN_UUID.upper()) == (PLAIN_UUID,)
    assert parse_id(types, f"{PLAIN_UUID.upper()}:7") == (PLAIN_UUID, 7)
    with pytest.raises(MalformedId, match="`abc` is no UUID"):
        parse_id(types, "abc:7")
    with pytest.raises(NoSuchId):
        parse_id(types, f"{PLAIN_UUID}:07")


@pytest.mark.parametrize("text", [
    '{ customers(where: {name: {eq: "abc"}}) { totalCount } }',
    'query ($name: String = "abc") { customers(where: {name: {eq: $name}}) { totalCount } }',
    'query ($names: [String!] = ["abc"]) { customers(where: {not: {name: {in: $names}}}) { totalCount } }',
    'query ($name: String = "abc") { orders(where: {customer: {name: {eq: $name}}}) { totalCount } }',
])  # fmt: skip
async def test_a_filter_names_the_text_that_is_not_of_its_columns_type(text: str) -> None:
    collections = acme.sources()["internal"].collections
    customer = collections["customer"]
    columns = customer.capabilities.columns
    columns = {**columns, "name": replace(columns["name"], text_type=UUID)}
    customer = replace(customer, capabilities=replace(customer.capabilities, columns=columns))
    source = MemoryConnector({**collections, "customer": customer})
    engine = acme.open_engine(acme.build_catalog(dict[str, Connector]({**acme.sources(), "internal": source})))
    result = await acme.ask(engine, text, *GROUPS)
    assert [(error.code, error.message) for error in result.errors] == [(ErrorCode.BAD_USER_INPUT, "`abc` is no UUID")]
