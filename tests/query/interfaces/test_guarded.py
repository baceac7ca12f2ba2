"""A field that one type of an interface guards is guarded in every position, and what is shut leaves no trace."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from onedoor.audit.record import AuditOutcome
from onedoor.errors import ErrorCode
from onedoor.query.audited import RequestFacts, build_audit_record
from onedoor.query.context import ExecutionResult, GraphQLRequest, QueryEngine
from onedoor.schema.builder import build_document
from onedoor.schema.visibility import build_visible_schema
from tests import acme
from tests.acme import ask
from tests.query.interfaces import subjects
from tests.query.interfaces.conftest import INSIDER, OUTSIDER, told
from tests.query.interfaces.world import World, built
from tests.security.permission.ways import ways

GUARDED = ("size", "octets")
"""A field that not all may see of green papers, and its column there."""
SHOWN = [
    "{ papers(first: 100) { nodes { ... on GreenPaper { size } } } }",
    "{ papers(first: 100) { edges { node { size } } } }",
    "{ people { nodes { papers(first: 100) { nodes { size } } } } }",
    "{ people { nodes { favourite { size } } } }",
    '{ paper(id: "GREEN:1") { size } }',
]
NAMED = sorted({way.text for way in ways(built()[0], ("Paper", "size")) if way.named})


@pytest.mark.parametrize("text", [*SHOWN, *NAMED])
async def test_no_way_reads_the_guarded_field_for_who_may_not_see_it(at: World, text: str) -> None:
    await ask(at.desk(), text, *OUTSIDER)
    assert [each for each in at.sources["GREEN"].asked if GUARDED[1] in repr(each)] == []


@pytest.mark.parametrize("text", NAMED)
async def test_every_position_of_the_guarded_field_is_forbidden_by_its_own_rule(at: World, text: str) -> None:
    shut, opened = await ask(at.desk(), text, *OUTSIDER), await ask(at.desk(), text, *INSIDER)
    assert {each.code for each in shut.errors} == {ErrorCode.FORBIDDEN}
    assert {"GreenPaper.size", "BluePaper"} & {(each.extensions or {})["position"] for each in shut.errors}
    assert opened.errors == []


async def test_all_or_nothing_refuses_a_list_that_would_lack_rows(at: World) -> None:
    text = "{ papers { totalCount } }"
    all_of_it = await ask(at.desk(), text, *OUTSIDER, allOrNothing=True)
    red = await ask(at.desk(), "{ papers(where: { shelf: { eq: RED } }) { totalCount } }", *OUTSIDER, allOrNothing=True)
    assert (all_of_it.rejected, told(all_of_it)) == (True, [(ErrorCode.FORBIDDEN, None, "BluePaper")])
    assert (red.rejected, red.errors) == (False, [])


async def test_who_knows_only_their_own_view_is_not_told_of_a_type_they_may_not_see(at: World) -> None:
    desk = at.desk()
    own = acme.opened(
        replace(
            desk.catalog,
            schema_for_groups=partial(build_visible_schema, build_document([subjects]), desk.catalog.policy),
        )
    )
    answer = await ask(own, "{ papers(first: 100) { totalCount } }", *OUTSIDER)
    assert answer.data == {"papers": {"totalCount": len(at.papers["RED"]) + len(at.papers["GREEN"])}}
    assert answer.errors == []
    hidden = await ask(own, "{ papers { nodes { ... on BluePaper { id } } } }", *OUTSIDER)
    assert (hidden.rejected, hidden.data) == (True, None)


async def test_the_record_tells_what_was_left_out_and_what_was_used(at: World) -> None:
    desk, text = (
        at.desk(),
        "{ papers(where: { name: { isNull: false } }) { nodes { id ... on BluePaper { secret } } } }",
    )
    answer = await ask(desk, text, *OUTSIDER)
    kept = recorded(desk, text, answer)
    assert [(each.field, each.reason) for each in kept.withheld] == [("BluePaper", "BluePaper")]
    assert kept.fields_used == ("Paper.name",)
    assert "BluePaper.secret" not in kept.fields
    assert "RedPaper.id" in kept.fields


def recorded(desk: QueryEngine, text: str, answer: ExecutionResult) -> Any:
    visit = RequestFacts(
        id="1", received_at=acme.NOW, principal=acme.caller(*OUTSIDER), request=GraphQLRequest(query=text), client_request_id=None,
        status=200, bytes=0, ms=0.0,
    )  # fmt: skip
    return build_audit_record(desk, b"a key", visit, answer, AuditOutcome.ANSWERED)
