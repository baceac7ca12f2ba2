"""A list of an interface names the types it leaves out and the types that fail, and never reads a denied type."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from onedoor.errors import ConfigurationError, ErrorCode
from onedoor.model.mapping import Relationship
from onedoor.query.startup_checks import validate_catalog
from tests.acme import ask
from tests.query.interfaces.conftest import INSIDER, OUTSIDER, count_requests, describe_errors
from tests.query.interfaces.question import ident
from tests.query.interfaces.world import FailingConnector, World, build_mappings


async def test_a_denied_type_is_neither_read_nor_counted_and_named_once(law_world: World) -> None:
    answer = await ask(
        law_world.build_engine(), "{ papers(first: 100) { totalCount nodes { __typename } } }", *OUTSIDER
    )

    rows = len(law_world.papers["RED"]) + len(law_world.papers["GREEN"])
    assert answer.data is not None
    assert (answer.data["papers"]["totalCount"], len(answer.data["papers"]["nodes"])) == (rows, rows)
    assert {node["__typename"] for node in answer.data["papers"]["nodes"]} == {"RedPaper", "GreenPaper"}
    assert describe_errors(answer) == [(ErrorCode.FORBIDDEN, ("papers",), "BluePaper")]
    assert answer.errors[0].extensions == {"position": "BluePaper", "groups": [["people"]], "owner": "tests"}
    assert count_requests(law_world, "BLUE") == 0


async def test_only_the_type_that_the_filter_names_is_read(law_world: World) -> None:
    text = "query($in: [Shelf!]!) { papers(where: { shelf: { in: $in } }) { totalCount } }"
    answer = await ask(law_world.build_engine(), text, *INSIDER, variables={"in": ["RED"]})

    assert answer.data == {"papers": {"totalCount": len(law_world.papers["RED"])}}
    assert (
        count_requests(law_world, "RED") > 0,
        count_requests(law_world, "GREEN"),
        count_requests(law_world, "BLUE"),
    ) == (True, 0, 0)
    assert {scan_stat.source for scan_stat in answer.scan_stats} == {"RED"}


async def test_a_denied_type_that_cannot_match_is_not_reported(law_world: World) -> None:
    answer = await ask(
        law_world.build_engine(), "{ papers(where: { shelf: { in: [RED] } }) { totalCount } }", *OUTSIDER
    )
    assert (answer.data, answer.errors) == ({"papers": {"totalCount": len(law_world.papers["RED"])}}, [])


async def test_a_list_whose_types_are_all_denied_is_null(law_world: World) -> None:
    answer = await ask(law_world.build_engine(), "{ papers(where: { shelf: { eq: BLUE } }) { totalCount } }", *OUTSIDER)
    assert (answer.data, describe_errors(answer)) == (
        {"papers": None},
        [(ErrorCode.FORBIDDEN, ("papers",), "BluePaper")],
    )


async def test_a_denied_row_queried_by_id_is_null_and_forbidden(law_world: World) -> None:
    answer = await ask(law_world.build_engine(), '{ paper(id: "BLUE:1") { id } }', *OUTSIDER)
    assert (answer.data, describe_errors(answer)) == ({"paper": None}, [(ErrorCode.FORBIDDEN, ("paper",), "BluePaper")])
    assert count_requests(law_world, "BLUE") == 0


async def test_an_id_reads_only_the_source_of_its_type(law_world: World) -> None:
    wanted = ident("GREEN", law_world.papers["GREEN"][0]["id"])
    answer = await ask(
        law_world.build_engine(), "query($id: ID!) { paper(id: $id) { id } }", *INSIDER, variables={"id": wanted}
    )
    assert (answer.data, {scan_stat.source for scan_stat in answer.scan_stats}) == (
        {"paper": {"id": wanted}},
        {"GREEN"},
    )


async def test_a_denied_fragment_never_nulls_its_sibling(law_world: World) -> None:
    text = "{ papers(first: 100) { nodes { id ... on BluePaper { secret } ... on RedPaper { ink } } } }"
    answer = await ask(law_world.build_engine(), text, *OUTSIDER)
    assert answer.data is not None
    assert sum("ink" in node for node in answer.data["papers"]["nodes"]) == len(law_world.papers["RED"])
    assert describe_errors(answer) == [(ErrorCode.FORBIDDEN, ("papers",), "BluePaper")]


async def test_a_type_whose_source_fails_is_named_and_the_rest_is_served(law_world: World) -> None:
    text = "{ papers(first: 100) { totalCount pageInfo { hasNextPage endCursor } nodes { shelf } } }"
    answer = await ask(law_world.build_engine(GREEN=FailingConnector(law_world.sources["GREEN"])), text, *INSIDER)

    assert answer.data is not None
    papers = answer.data["papers"]
    assert (papers["totalCount"], papers["pageInfo"]) == (None, {"hasNextPage": False, "endCursor": None})
    assert len(papers["nodes"]) == len(law_world.papers["RED"]) + len(law_world.papers["BLUE"])
    assert [(error.code, error.path, error.extensions) for error in answer.errors] == [
        (ErrorCode.SOURCE_UNAVAILABLE, ("papers",), {"missing": "GreenPaper"})
    ]
    assert answer.errors[0].message.startswith("rows of `GreenPaper` are missing: ")


async def test_a_list_whose_sources_all_fail_is_null(law_world: World) -> None:
    down: dict[str, Any] = {shelf: FailingConnector(law_world.sources[shelf]) for shelf in law_world.papers}
    answer = await ask(law_world.build_engine(**down), "{ papers { nodes { id } } }", *INSIDER)
    assert (answer.data, [(error.code, error.path) for error in answer.errors]) == (
        {"papers": None},
        [(ErrorCode.SOURCE_UNAVAILABLE, ("papers",))],
    )


async def test_each_parent_has_its_own_page_and_count(law_world: World) -> None:
    text = "{ people { nodes { id papers(first: 2) { totalCount nodes { id } } } } }"
    answer = await ask(law_world.build_engine(), text, *INSIDER)
    assert answer.data is not None
    for person in answer.data["people"]["nodes"]:
        owned = [
            (shelf, row["id"])
            for shelf, rows in sorted(law_world.papers.items())
            for row in rows
            if str(row["person_id"]) == person["id"]
        ]
        assert person["papers"]["totalCount"] == len(owned)
        assert len(person["papers"]["nodes"]) == min(2, len(owned))


async def test_a_relationship_to_one_row_gives_the_first_row_of_the_first_type(law_world: World) -> None:
    answer = await ask(
        law_world.build_engine(),
        '{ people(where: { id: { eq: "1" } }) { nodes { favourite { shelf id } } } }',
        *INSIDER,
    )
    first = min(row["id"] for row in law_world.papers["BLUE"] if row["person_id"] == 1)
    shown = {"shelf": "BLUE", "id": ident("BLUE", first)}
    assert answer.data == {"people": {"nodes": [{"favourite": shown}]}}


@pytest.mark.parametrize("argument", [
    "where: { papers: { some: {} } }",
    "where: { papers: { none: { name: { eq: \"Ada\" } } } }",
    "where: { not: { papers: { every: { shelf: { eq: RED } } } } }",
    "where: { favourite: { name: { isNull: true } } }",
])  # fmt: skip
async def test_a_filter_through_an_interface_needs_all_its_types_allowed(law_world: World, argument: str) -> None:
    """Which people match it would reveal papers of a denied type."""
    text = f"{{ people({argument}) {{ totalCount }} }}"
    shut, opened = (
        await ask(law_world.build_engine(), text, *OUTSIDER),
        await ask(law_world.build_engine(), text, *INSIDER),
    )
    assert (shut.data, describe_errors(shut)) == ({"people": None}, [(ErrorCode.FORBIDDEN, ("people",), "BluePaper")])
    assert opened.errors == []


async def test_a_filter_through_an_interface_matches_rows_of_any_type(law_world: World) -> None:
    text = '{ people(where: { papers: { some: { size: { gte: "1" } } } }) { nodes { id } } }'
    answer = await ask(law_world.build_engine(), text, *INSIDER)
    owned = {
        str(row["person_id"])
        for rows in law_world.papers.values()
        for row in rows
        if row["size"] is not None and row["size"] >= 1
    }
    assert answer.data is not None
    assert {node["id"] for node in answer.data["people"]["nodes"]} == owned & {"1", "2", "3", "4"}


async def test_a_cursor_of_another_order_is_refused(law_world: World) -> None:
    engine = law_world.build_engine()
    first = await ask(engine, "{ papers(first: 1, orderBy: [{ size: ASC }]) { edges { cursor } } }", *INSIDER)
    assert first.data is not None
    text = "query($after: String) { papers(first: 1, orderBy: [{ size: DESC }], after: $after) { nodes { id } } }"
    variables: Mapping[str, Any] = {"after": first.data["papers"]["edges"][0]["cursor"]}
    answer = await ask(engine, text, *INSIDER, variables=variables)
    assert [error.code for error in answer.errors] == [ErrorCode.BAD_CURSOR]


async def test_a_cursor_stays_valid_for_a_principal_who_may_see_less(law_world: World) -> None:
    engine = law_world.build_engine()
    first = await ask(engine, "{ papers(first: 1) { edges { cursor node { shelf } } } }", *INSIDER)
    assert first.data is not None
    (edge,) = first.data["papers"]["edges"]
    text = "query($after: String) { papers(first: 100, after: $after) { nodes { shelf } } }"
    answer = await ask(engine, text, *OUTSIDER, variables={"after": edge["cursor"]})
    assert answer.data is not None
    assert edge["node"]["shelf"] == "BLUE"
    assert len(answer.data["papers"]["nodes"]) == len(law_world.papers["RED"]) + len(law_world.papers["GREEN"])


async def test_a_plan_has_a_node_for_each_type(law_world: World) -> None:
    answer = await ask(
        law_world.build_engine(), "{ papers(where: { shelf: { ne: RED } }) { nodes { id } } }", *INSIDER, plan="ONLY"
    )
    heads = [line for line in answer.extensions["plan"]["text"] if line.lstrip().startswith("Query.")]
    assert heads == ["Query.papers: Paper", "  Query.papers: BluePaper", "  Query.papers: GreenPaper"]


WRONG = [
    pytest.param({"RedPaper": {"constants": {}, "key": ("id",)}}, "tells it from no other `Paper`", id="no constant"),
    pytest.param({"RedPaper": {"constants": {"shelf": "BLUE"}}}, "tells it from no other `Paper`", id="one constant"),
    pytest.param({"RedPaper": {"columns": {"name": "ink"}}}, None, id="another column of the same kind"),
    pytest.param({"RedPaper": {"columns": {"name": "id"}}}, "are the column `id`, give each", id="one column twice"),
    pytest.param(
        {"RedPaper": {"relationships": {"owner": Relationship(to="Person", local="shelf", remote="id")}}},
        "names `shelf`, which is the same in all rows", id="a link by a constant",
    ),
    pytest.param({"BluePaper": None}, "leads to `BluePaper`, which has no binding", id="a type without a binding"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "complaint"), WRONG)
def test_mappings_that_cannot_be_merged_are_refused_at_startup(
    law_world: World, changed: Any, complaint: str | None
) -> None:
    bound = dict(build_mappings())
    for name, changes in changed.items():
        of = bound.pop(name)
        bound |= {} if changes is None else {name: replace(of, **changes)}
    catalog = replace(law_world.build_engine().catalog, mappings=bound, connectors=law_world.sources)
    if complaint is None:
        validate_catalog(catalog)
        return
    with pytest.raises(ConfigurationError) as caught:
        validate_catalog(catalog)
    assert complaint in str(caught.value)
