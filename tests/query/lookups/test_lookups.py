"""A lookup reads its values for all rows at once, filters by its arguments, and is null where nothing matches."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from graphql import GraphQLSchema, parse, validate

from auth.policy import AccessPolicy
from onedoor.connectors.memory import MemoryCollection, MemoryConnector
from onedoor.errors import ConfigurationError, ConnectorError, ErrorCode
from onedoor.model.catalog import Catalog, Limits
from onedoor.model.mapping import Lookup, TypeMapping
from onedoor.query.context import ExecutionResult, QueryEngine
from onedoor.query.startup_checks import validate_catalog
from onedoor.schema.builder import build_document, build_schema_and_policy, print_sdl
from onedoor.schema.reader import SchemaError
from onedoor.schema.visibility import build_visible_schema
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.connector import Connector
from onedoor.spi.predicates import Op, Row
from onedoor.spi.scan import ScanRequest
from tests import acme
from tests.query.lookups import silent, subjects
from tests.query.pushdown.strict import Strict

EQ = frozenset({Op.EQ})
ROOMS = ((1, 1), (2, 1), (3, 2), (4, 9), (5, 2))
HEAT = (
    (1, "1m", 20.5), (1, "1h", 19.0), (2, "1m", 21.0), (2, "1h", None), (3, "1h", 18.0), (9, "1h", 40.0),
    (3, "1m", 30.0), (3, "1m", 29.0),
)  # fmt: skip
TAGS = ((1, ("a", "b")), (2, ()))
SAYING = '[{"times": 2, "word": "x"}]'
LETTERS = ((1, 3, ("a", "b"), SAYING, "abc"), (1, 4, ("a",), "", "abcd"), (2, 3, ("a", "b"), SAYING, "xyz"))

ROOM = Capabilities(columns={"id": Column(ColumnType.INTEGER), "floor": Column(ColumnType.INTEGER)})
HEATED = Capabilities(
    columns={
        "room": Column(ColumnType.INTEGER),
        "window": Column(ColumnType.TEXT, EQ),
        "celsius": Column(ColumnType.FLOAT),
    },
    max_keys=100,
    required_columns=("window",),
    row_cost=7,
)
TAGGED = Capabilities(columns={"room": Column(ColumnType.INTEGER), "tags": Column(ColumnType.LIST)}, max_keys=100)
LETTERED = Capabilities(
    columns={
        "room": Column(ColumnType.INTEGER),
        "most": Column(ColumnType.INTEGER, EQ),
        "words": Column(ColumnType.LIST, EQ),
        "saying": Column(ColumnType.TEXT, EQ),
        "text": Column(ColumnType.TEXT),
    },
    max_keys=100,
)
FAR: Mapping[str, MemoryCollection] = {
    "heat": MemoryCollection(capabilities=HEATED, rows=HEAT),
    "tags": MemoryCollection(capabilities=TAGGED, rows=TAGS),
    "letters": MemoryCollection(capabilities=LETTERED, rows=LETTERS),
}
HEATS = Lookup(
    source="far", collection="heat", local="id", remote="room", column="celsius", arguments={"window": "window"}
)
LOOKUPS = {
    "heat": HEATS,
    "secretHeat": HEATS,
    "tags": Lookup(source="far", collection="tags", local=("id",), remote=("room",), column="tags"),
    "letter": Lookup(
        source="far",
        collection="letters",
        local="id",
        remote="room",
        column="text",
        arguments={"most": "most", "words": "words", "saying": "saying"},
    ),
}


class CountingConnector(Strict):
    """Keeps what it was asked."""

    def __init__(self, memory: MemoryConnector) -> None:
        super().__init__(memory)
        self.asks: list[ScanRequest] = []

    def scan(self, ask: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        self.asks.append(ask)
        return super().scan(ask)


class FailingConnector(MemoryConnector):
    async def scan(self, ask: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        raise ConnectorError("the far side is down")
        yield ()


@cache
def build_schema() -> tuple[GraphQLSchema, AccessPolicy]:
    return build_schema_and_policy([subjects])


def build_catalog(
    connector: Connector, lookups: Mapping[str, Lookup] = LOOKUPS, more: Sequence[TypeMapping] = ()
) -> Catalog:
    schema, rules = build_schema()
    room = TypeMapping(type="Room", source="near", collection="room", lookups=lookups)
    return Catalog(
        schema=schema,
        policy=rules,
        mappings={item.type: item for item in (room, *more)},
        connectors={
            "near": MemoryConnector({"room": MemoryCollection(capabilities=ROOM, rows=ROOMS)}),
            "far": connector,
        },
        limits=Limits(),
        cursor_secret=b"a secret of the tests",
        version="1",
    )


def build_engine(connector: Connector) -> QueryEngine:
    return acme.open_engine(build_catalog(connector))


def build_connector(capabilities: Any = lambda capabilities: capabilities) -> CountingConnector:
    return CountingConnector(
        MemoryConnector(
            {name: replace(item, capabilities=capabilities(item.capabilities)) for name, item in FAR.items()}
        )
    )


async def query_nodes(engine: QueryEngine, wanted: str, **variables: Any) -> list[Any]:
    result = await query_rooms(engine, wanted, **variables)
    assert not result.errors
    assert result.data is not None
    return [node if len(node) > 1 else next(iter(node.values())) for node in result.data["rooms"]["nodes"]]


DEFINED = {"w": "Window! = MINUTE", "words": "[String!]", "saying": "[Saying!]", "most": "Int"}
"""The variables that a query may use."""


async def query_rooms(engine: QueryEngine, wanted: str, **variables: Any) -> ExecutionResult:
    used = ", ".join(f"${name}: {of}" for name, of in DEFINED.items() if f"${name})" in wanted)
    head = f"query ({used}) " if used else ""
    return await acme.ask(engine, f"{head}{{ rooms {{ nodes {{ {wanted} }} }} }}", variables=variables)


WAYS = [
    pytest.param(lambda capabilities: capabilities, id="promised"),
    pytest.param(acme.nothing, id="nothing promised"),
]


@pytest.mark.parametrize("capabilities", WAYS)
@pytest.mark.parametrize(
    ("wanted", "variables", "shown"),
    [
        pytest.param("heat", {}, [19.0, None, 18.0, None, None], id="the default"),
        pytest.param("heat(window: MINUTE)", {}, [20.5, 21.0, 29.0, None, None], id="of several, the least"),
        pytest.param("heat(window: $w)", {}, [20.5, 21.0, 29.0, None, None], id="a variable's default"),
        pytest.param("heat(window: $w)", {"w": "HOUR"}, [19.0, None, 18.0, None, None], id="a variable"),
        pytest.param("tags", {}, [["a", "b"], [], None, None, None], id="a list"),
        pytest.param("letter(most: 3)", {}, ["abc", "xyz", None, None, None], id="a number"),
        pytest.param("letter(most: null)", {}, ["abc", "xyz", None, None, None], id="null decides nothing"),
        pytest.param("letter(most: $most)", {"most": 4}, ["abcd", None, None, None, None], id="a number of variables"),
        pytest.param("letter(most: $most)", {}, ["abc", "xyz", None, None, None], id="a variable not given"),
        pytest.param('letter(words: ["a"])', {}, ["abcd", None, None, None, None], id="a list given"),
        pytest.param("letter(words: $words)", {"words": ["a"]}, ["abcd", None, None, None, None], id="a list variable"),
        pytest.param(
            'letter(saying: [{word: "x", times: 2}])', {}, ["abc", "xyz", None, None, None], id="a list of objects"
        ),
        pytest.param(
            "letter(saying: $saying)",
            {"saying": [{"times": 2, "word": "x"}]},
            ["abc", "xyz", None, None, None],
            id="objects in a variable",
        ),
        pytest.param(
            "floor heat minute: heat(window: MINUTE) __typename",
            {},
            [
                {"floor": 1, "heat": 19.0, "minute": 20.5, "__typename": "Room"},
                {"floor": 1, "heat": None, "minute": 21.0, "__typename": "Room"},
                {"floor": 2, "heat": 18.0, "minute": 29.0, "__typename": "Room"},
                {"floor": 9, "heat": None, "minute": None, "__typename": "Room"},
                {"floor": 2, "heat": None, "minute": None, "__typename": "Room"},
            ],
            id="beside other fields, and twice",
        ),
    ],
)
async def test_a_value_is_found_by_key_and_arguments(
    capabilities: Any, wanted: str, variables: Mapping[str, Any], shown: list[Any]
) -> None:
    assert await query_nodes(build_engine(build_connector(capabilities)), wanted, **variables) == shown


async def test_the_same_plan_takes_other_arguments() -> None:
    engine = build_engine(build_connector())
    first = await query_nodes(engine, "heat(window: $w)", w="MINUTE")
    assert (first, await query_nodes(engine, "heat(window: $w)", w="HOUR")) == (
        [20.5, 21.0, 29.0, None, None],
        [19.0, None, 18.0, None, None],
    )


async def test_all_rows_of_a_level_are_looked_up_in_one_request() -> None:
    source = build_connector()
    await query_nodes(build_engine(source), "heat")
    assert [item.keys.values for item in source.asks if item.keys] == [((1,), (2,), (3,), (4,), (5,))]


async def test_a_failed_lookup_is_null_with_one_error_and_the_rest_is_served() -> None:
    result = await query_rooms(build_engine(FailingConnector(FAR)), "id heat")
    assert result.data == {"rooms": {"nodes": [{"id": str(number), "heat": None} for number, _ in ROOMS]}}
    assert [(error.code, error.path, error.extensions) for error in result.errors] == [
        (ErrorCode.SOURCE_UNAVAILABLE, ("rooms", "nodes", 0, "heat"), {"nulls": 5})
    ]


async def test_a_denied_lookup_is_never_read() -> None:
    source = build_connector()
    result = await query_rooms(build_engine(source), "id secretHeat")
    assert ([error.code for error in result.errors], source.asks) == ([ErrorCode.FORBIDDEN], [])


async def test_a_value_that_its_field_cannot_show_is_null_with_an_error() -> None:
    rows = ((1, "1h", float("inf")),)
    result = await query_rooms(
        build_engine(MemoryConnector({**FAR, "heat": MemoryCollection(capabilities=HEATED, rows=rows)})), "heat"
    )
    assert [error.code for error in result.errors] == [ErrorCode.SOURCE_INVALID]
    assert result.data == {"rooms": {"nodes": [{"heat": None} for _ in ROOMS]}}


async def test_a_lookup_costs_the_row_cost_of_its_collection() -> None:
    result = await acme.ask(build_engine(build_connector()), "{ rooms(first: 5) { nodes { heat } } }", cost=True)
    assert result.extensions["cost"] == 5 + 5 * 7


async def test_a_lookup_is_a_scan_of_the_plan() -> None:
    result = await acme.ask(build_engine(build_connector()), "{ rooms { nodes { heat } } }", plan="ONLY")
    (rooms,) = result.extensions["plan"]["branches"]
    (heat,) = rooms["branches"]
    assert (heat["field"], heat["to"], heat["reads"][0]["collection"]) == ("heat", "Float", "heat")


async def test_an_argument_must_be_of_its_type() -> None:
    result = await query_rooms(build_engine(build_connector()), 'letter(saying: [{word: "x", times: "two"}])')
    assert (result.rejected, {error.code for error in result.errors}) == (True, {ErrorCode.GRAPHQL_VALIDATION_FAILED})


async def test_a_lookup_can_be_neither_filtered_nor_sorted_nor_aggregated_by() -> None:
    schema, _ = build_schema()
    inputs = ("RoomWhere", "RoomOrder", "RoomMaximum", "RoomGroupBy")
    of: Mapping[str, Any] = schema.type_map
    assert [name for name in inputs for field in of[name].fields if field in LOOKUPS] == []


def test_the_sdl_has_the_arguments_defaults_and_inputs_of_lookups() -> None:
    printed = print_sdl([subjects])
    assert "window: Window! = HOUR" in printed
    assert "saying: [Saying!]\n" in printed
    assert 'input Saying @allow(groups: ["everyone"])' in printed


def test_the_view_of_a_principal_has_the_arguments_of_lookups() -> None:
    _, rules = build_schema()
    seen = build_visible_schema(build_document([subjects]), rules, frozenset({"everyone"}))
    assert validate(seen, parse('{ rooms { nodes { heat(window: MINUTE) letter(saying: [{word: "x"}]) } } }')) == []
    assert "secretHeat" not in seen.type_map["Room"].fields  # type: ignore[attr-defined]


def build_catalog_with_lookup(**changes: Any) -> Catalog:
    return build_catalog(build_connector(), {**LOOKUPS, "heat": replace(HEATS, **changes)})


def beside() -> Catalog:
    """A type of its own shows the same column, but to fewer."""
    shown = TypeMapping(type="Query", source="far", collection="heat", key=("room",), columns={"rooms": "celsius"})
    catalog = build_catalog(build_connector(), more=(shown,))
    guarded = {**catalog.policy.requirements, ("Query", "rooms"): (frozenset({"finance"}),)}
    return replace(catalog, policy=replace(catalog.policy, requirements=guarded))


MISFITS = [
    pytest.param(
        lambda: build_catalog(build_connector(), {**LOOKUPS, "heat": replace(HEATS, source="sea")}),
        "the lookup `Room.heat` reads the source `sea`: add `[sources.sea]`",
        id="an unknown source",
    ),
    pytest.param(
        lambda: build_catalog_with_lookup(collection="cold"),
        "the lookup `Room.heat` reads `cold`, which the source `far` does not have",
        id="an unknown collection",
    ),
    pytest.param(
        lambda: build_catalog_with_lookup(local=("id", "floor")),
        "the lookup `Room.heat` compares 2 columns with 1, give as many there",
        id="more columns here than there",
    ),
    pytest.param(
        lambda: build_catalog_with_lookup(local="nmber"),
        "the lookup `Room.heat` names `nmber`, which `room` does not have",
        id="an unknown column here",
    ),
    pytest.param(
        lambda: build_catalog_with_lookup(remote="hall"),
        "the lookup `Room.heat` names `hall`, which `heat` does not have",
        id="an unknown column there",
    ),
    pytest.param(
        lambda: build_catalog_with_lookup(column="kelvin"),
        "the lookup `Room.heat` names `kelvin`, which `heat` does not have",
        id="an unknown column of the value",
    ),
    pytest.param(
        lambda: build_catalog_with_lookup(remote="window"),
        "the lookup `Room.heat` compares `id` with `window`, which hold different kinds",
        id="columns that hold different kinds",
    ),
    pytest.param(
        lambda: build_catalog_with_lookup(column="window"),
        "`Room.heat` is a `Float`, but its column `window` holds text",
        id="a column that holds another kind",
    ),
    pytest.param(
        lambda: build_catalog_with_lookup(arguments={}),
        "the lookup `Room.heat` has the argument `window`, which no column is compared with",
        id="an argument without a column",
    ),
    pytest.param(
        lambda: build_catalog_with_lookup(arguments={"window": "window", "place": "room"}),
        "the lookup `Room.heat` has the argument `place`, which its field does not take",
        id="a column for no argument",
    ),
    pytest.param(
        lambda: build_catalog_with_lookup(arguments={"window": "room"}),
        "`Room.heat(window:)` is a `Window`, but its column `room` holds integer",
        id="an argument of another kind",
    ),
    pytest.param(
        lambda: build_catalog(build_connector(), {name: lookup for name, lookup in LOOKUPS.items() if name != "heat"}),
        "`Room.heat` takes arguments, give its binding a lookup of that name",
        id="no lookup",
    ),
    pytest.param(
        beside,
        "`Room.heat` shows `Query.rooms` but is open to more groups, narrow it to ['finance']",
        id="more open than where its column is shown",
    ),
]


@pytest.mark.parametrize(("build", "message"), MISFITS)
def test_a_lookup_that_does_not_fit_is_named(build: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        validate_catalog(build())
    assert str(error.value) == message


def test_the_lookups_here_fit() -> None:
    validate_catalog(build_catalog(build_connector()))


def test_an_argument_without_a_description_does_not_build() -> None:
    with pytest.raises(SchemaError, match=r"`Room.heat\(window:\)` has no description"):
        build_schema_and_policy([silent])
