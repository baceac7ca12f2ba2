"""What a result may be made of, and what denies it, is named whole: fields, arguments and types of an interface."""

from collections.abc import Sequence

import pytest

from onedoor.query.authorize import list_denied_coordinates, list_read_coordinates
from onedoor.query.context import CachedPlan
from tests import acme
from tests.acme import ask
from tests.query.interfaces.conftest import INSIDER, OUTSIDER
from tests.query.interfaces.world import World

LIST = "Query.papers PaperConnection.nodes"
COUNT = "Query.papers Query.papers.where PaperConnection.totalCount"
BY_SIZE = f"{COUNT} PaperWhere.not PaperWhere.size BigIntFilter.gt"
BY_SIZE_OF_OTHERS = f"{COUNT} PaperWhere.owner PersonWhere.papers PaperListWhere.some PaperWhere.size BigIntFilter.gt"
OF_SOMEBODY = "papers(where: {owner: {papers: {some: {size: {gt: 1}}}}}) { totalCount }"


async def plan(world: World, text: str, groups: Sequence[str]) -> CachedPlan:
    planned = (await ask(world.build_engine(), f"{{ {text} }}", *groups)).cached_plan
    assert planned is not None
    return planned


@pytest.mark.parametrize(
    ("text", "groups", "read"),
    [
        pytest.param(
            "papers { nodes { name } }",
            INSIDER,
            f"{LIST} RedPaper RedPaper.name GreenPaper GreenPaper.name BluePaper BluePaper.name",
            id="a field of every type",
        ),
        pytest.param(
            "papers { nodes { name } }",
            OUTSIDER,
            f"{LIST} RedPaper RedPaper.name GreenPaper GreenPaper.name",
            id="no type that is denied",
        ),
        pytest.param(
            "papers(where: {name: {isNull: false}}, orderBy: [{dated: ASC}]) { edges { node { id } } }",
            OUTSIDER,
            "Query.papers Query.papers.where Query.papers.orderBy PaperConnection.edges PaperEdge.node PaperWhere.name"
            " StringFilter.isNull PaperOrder.dated RedPaper RedPaper.id RedPaper.name RedPaper.dated"
            " GreenPaper GreenPaper.id GreenPaper.name GreenPaper.dated",
            id="what the rows are filtered and sorted by",
        ),
        pytest.param(
            "papers(where: {not: {size: {gt: 1}}}) { totalCount }",
            INSIDER,
            f"{BY_SIZE} RedPaper RedPaper.size GreenPaper GreenPaper.size BluePaper BluePaper.size",
            id="what a filter denies",
        ),
        pytest.param(
            "papers(where: {not: {size: {gt: 1}}}) { totalCount }",
            OUTSIDER,
            f"{BY_SIZE} RedPaper RedPaper.size",
            id="no type whose field in a filter is denied",
        ),
        pytest.param(
            OF_SOMEBODY,
            INSIDER,
            f"{BY_SIZE_OF_OTHERS} RedPaper RedPaper.size RedPaper.owner GreenPaper GreenPaper.size GreenPaper.owner"
            " BluePaper BluePaper.size BluePaper.owner",
            id="a filter through two relationships",
        ),
        pytest.param(OF_SOMEBODY, OUTSIDER, "", id="nothing below what is denied"),
        pytest.param(
            "people { nodes { id favourite { size } } }",
            OUTSIDER,
            "Query.people PersonConnection.nodes Person.id Person.favourite RedPaper RedPaper.size GreenPaper",
            id="a row through a relationship",
        ),
        pytest.param(
            "people { nodes { papers { nodes { ... on BluePaper { secret } ... on RedPaper { ink } } } } }",
            OUTSIDER,
            "Query.people PersonConnection.nodes Person.papers PaperConnection.nodes RedPaper RedPaper.ink GreenPaper",
            id="fields of one type",
        ),
        pytest.param(
            'paper(id: "RED:1") { __typename name }',
            OUTSIDER,
            "Query.paper Query.paper.id RedPaper RedPaper.name GreenPaper GreenPaper.name",
            id="one row by id",
        ),
    ],
)
async def test_a_result_is_made_of_what_was_allowed_and_of_nothing_else(
    law_world: World, text: str, groups: Sequence[str], read: str
) -> None:
    planned = await plan(law_world, text, groups)
    catalog = planned.catalog
    coordinates = list_read_coordinates(catalog.schema, catalog.policy, planned.fields, planned.decisions)
    assert {".".join(coordinate) for coordinate in coordinates} == set(read.split())


@pytest.mark.parametrize(
    ("groups", "denied"), [(INSIDER, []), (OUTSIDER, [("BluePaper",), ("GreenPaper", "size"), ("BluePaper", "size")])]
)
async def test_everything_that_denies_a_field_is_named(
    law_world: World, groups: Sequence[str], denied: list[tuple[str, ...]]
) -> None:
    planned = await plan(law_world, OF_SOMEBODY, groups)
    catalog, (field,) = planned.catalog, planned.fields
    held = acme.caller(*groups).groups
    assert list_denied_coordinates(catalog.schema, catalog.policy, field, held) == denied
