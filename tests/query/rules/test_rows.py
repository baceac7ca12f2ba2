"""A row out of rule does not exist, at any position, and no scan of a type is made without its rule."""

import ast
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from onedoor.errors import ErrorCode
from onedoor.model.reader import narrow_catalog
from onedoor.query.planner.type_scans import build_row_filter
from tests import acme
from tests.acme import ROOT
from tests.query.rules.positions import POSITIONS
from tests.query.rules.world import ACCOUNT, CONTRACTS, DESK, STAFF, VENDOR, World, open_world, person

IN_MODULE = pytest.mark.asyncio(loop_scope="module")

HIDDEN = "DELETE FROM account WHERE region IS NULL OR region <> 'EU'"
SCAN_MAKERS = frozenset({"LogicalScan", "Exists", "build_distinct_scan", "SemiJoinFilter"})
DERIVED = {
    "onedoor/query/planner/nodes.py",  # defines them
    "onedoor/query/planner/explain.py",  # these two of a filter that holds the rule already
    "onedoor/query/executor/dynamic_filter.py",
    "onedoor/query/planner/bind.py",  # an Exists of another, bound
    "onedoor/query/planner/type_scans.py",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reduced_world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """The world without the accounts that a vendor of Europe does not see, and without the contracts about them."""
    folder = tmp_path_factory.mktemp("reduced")
    async with open_world(folder, contracts=CONTRACTS[:1]) as opened:
        with closing(sqlite3.connect(folder / "db.sqlite")) as connection:
            connection.execute(HIDDEN)
            connection.commit()
        yield opened


@pytest.mark.parametrize("position", POSITIONS)
@IN_MODULE
async def test_a_row_out_of_rule_does_not_exist(world: World, reduced_world: World, position: str) -> None:
    text = f"{{ {POSITIONS[position]} }}"
    all_rows, expected, answer = (
        await world.ask(STAFF, text),
        await reduced_world.ask(STAFF, text),
        await world.ask(VENDOR, text),
    )
    assert (answer.data, answer.errors, answer.row_count) == (expected.data, [], expected.row_count)
    assert answer.data != all_rows.data, "no row that is out of rule would show here"


@pytest.mark.parametrize(
    ("who", "seen"),
    [
        pytest.param(STAFF, ["1", "2", "3", "4"], id="all rows"),
        pytest.param(DESK, ["1", "4"], id="a constant"),
        pytest.param(VENDOR, ["1", "4"], id="an attribute"),
        pytest.param(person("vendor", region="EU US"), ["1", "2", "4"], id="an attribute of two values"),
        pytest.param(person("vendor"), [], id="no such attribute"),
        pytest.param(person("vendor", region=""), [], id="an attribute without values"),
        pytest.param(person("vendor", region="None"), [], id="an attribute that names no value"),
        pytest.param(person("vendor", "desk", region="US"), ["1", "2", "4"], id="the union of two groups"),
        pytest.param(person("vendor", "staff"), ["1", "2", "3", "4"], id="the union with all rows"),
    ],
)
@IN_MODULE
async def test_a_person_sees_the_rows_of_all_their_groups(world: World, who: Any, seen: list[str]) -> None:
    answer = await world.ask(who, "{ accounts { nodes { id } } }")
    assert answer.data == {"accounts": {"nodes": [{"id": id} for id in seen]}}


@IN_MODULE
async def test_people_with_other_attributes_share_a_plan_and_no_rows(world: World) -> None:
    text = "query Same { accounts { nodes { id } } }"
    for _ in range(2):
        for region, seen in (("EU", ["1", "4"]), ("US", ["2"]), ("", [])):
            answer = await world.ask(person("vendor", region=region), text)
            assert answer.data == {"accounts": {"nodes": [{"id": id} for id in seen]}}
    plans = {
        id(plan) for who in ("EU", "US") if (plan := (await world.ask(person("vendor", region=who), text)).cached_plan)
    }
    assert len(plans) == 1


@pytest.mark.parametrize(
    ("field", "arguments", "is_bound"),
    [
        pytest.param("accounts", "first: 1", True, id="of a list with rules"),
        pytest.param("papers", "first: 1", True, id="of an interface with rules"),
        pytest.param("deals", "first: 1, orderBy: [{account: {name: DESC}}]", True, id="of a sort through a link"),
        pytest.param("notes", "first: 1, orderBy: [{account: {name: DESC}}]", True, id="of a sort across sources"),
        pytest.param("accounts", "first: 1, orderBy: [{deals: {count: DESC}}]", True, id="of a sort by related rows"),
        pytest.param("deals", "first: 1, orderBy: [{title: ASC}]", False, id="of rows that all see"),
    ],
)
@IN_MODULE
async def test_a_cursor_leads_those_alone_who_see_the_same_rows(
    world: World, field: str, arguments: str, is_bound: bool
) -> None:
    first = await world.ask(STAFF, f"{{ {field}({arguments}) {{ pageInfo {{ endCursor }} }} }}")
    assert first.data is not None
    cursors = {"staff": first.data[field]["pageInfo"]["endCursor"]}
    for name, who in (("vendor", VENDOR), ("both", person("vendor", "desk", region="EU"))):
        own = await world.ask(who, f"{{ {field}({arguments}) {{ pageInfo {{ endCursor }} }} }}")
        assert own.data is not None
        cursors[name] = own.data[field]["pageInfo"]["endCursor"]
    text = f"query ($at: String) {{ {field}({arguments}, after: $at) {{ nodes {{ id }} }} }}"
    for reader in (person("vendor", region="US"), person("vendor", region="EU US")):
        codes = [[error.code for error in (await world.ask(reader, text, at=at)).errors] for at in cursors.values()]
        assert codes == [[ErrorCode.BAD_CURSOR] if is_bound else []] * len(cursors)
    for reader in (VENDOR, person("vendor", region="EU")):
        assert (await world.ask(reader, text, at=cursors["vendor"])).errors == []


@pytest.mark.parametrize("rule", [{}, (), [{}], {"deals": {}}, {"deals": [{}]}, {"region": ()}], ids=str)
@IN_MODULE
async def test_a_rule_that_names_nothing_holds_for_no_row(world: World, rule: Any) -> None:
    mappings = {**world.engine.catalog.mappings, "Account": replace(ACCOUNT, rows={"vendor": rule})}
    catalog = narrow_catalog(replace(world.engine.catalog, mappings=mappings), frozenset({"vendor"}))
    assert repr(build_row_filter(catalog, catalog.mappings["Account"])) == "Or(parts=())"


@IN_MODULE
async def test_rows_with_rules_are_never_read_for_nobody(world: World) -> None:
    with pytest.raises(LookupError, match="`Account` are read for nobody"):
        build_row_filter(world.engine.catalog, ACCOUNT)


@IN_MODULE
async def test_types_without_rules_are_planned_with_the_catalog_itself(world: World) -> None:
    mappings = {name: replace(mapping, rows=None, mask={}) for name, mapping in world.engine.catalog.mappings.items()}
    catalog = replace(world.engine.catalog, mappings=mappings)
    assert narrow_catalog(catalog, frozenset({"vendor"})) is catalog


def test_every_scan_is_made_where_its_rule_is_added() -> None:
    makers = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "onedoor" / "query").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in SCAN_MAKERS
    }
    assert makers == DERIVED


@IN_MODULE
async def test_a_plan_shows_the_rule_without_its_constants(world: World) -> None:
    answer = await acme.ask_as(world.engine, DESK, "{ accounts { nodes { id } } }", plan=True)
    shown = str(answer.extensions["plan"])
    assert "region eq by the rule for rows" in shown
    assert "EU" not in shown


@IN_MODULE
async def test_a_plan_counts_no_rows_that_the_reader_does_not_see(world: World) -> None:
    answer = await acme.ask_as(world.engine, VENDOR, "{ accounts { nodes { id } } }", plan=True)
    ran = answer.extensions["plan"]["branches"][0]["reads"][0]["ran"]
    assert ran.get("rows") in (None, 2)
    assert "4 rows" not in str(answer.extensions)
