"""A field that one type of an interface denies is denied in every coordinate, and leaves no trace."""

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
from tests.query.interfaces.conftest import INSIDER, OUTSIDER, describe_errors
from tests.query.interfaces.world import World, build_schema
from tests.security.permission.ways import ways

GUARDED = ("size", "octets")
"""The field of green papers that most principals may not see, and its column."""
SHOWN = [
    "{ papers(first: 100) { nodes { ... on GreenPaper { size } } } }",
    "{ papers(first: 100) { edges { node { size } } } }",
    "{ people { nodes { papers(first: 100) { nodes { size } } } } }",
    "{ people { nodes { favourite { size } } } }",
    '{ paper(id: "GREEN:1") { size } }',
]
NAMED = sorted({way.text for way in ways(build_schema()[0], ("Paper", "size")) if way.named})


@pytest.mark.parametrize("text", [*SHOWN, *NAMED])
async def test_no_query_reads_a_denied_field(at: World, text: str) -> None:
    await ask(at.build_engine(), text, *OUTSIDER)
    assert [each for each in at.sources["GREEN"].asked if GUARDED[1] in repr(each)] == []


@pytest.mark.parametrize("text", NAMED)
async def test_every_coordinate_of_a_denied_field_is_forbidden(at: World, text: str) -> None:
    shut, opened = await ask(at.build_engine(), text, *OUTSIDER), await ask(at.build_engine(), text, *INSIDER)
    assert {each.code for each in shut.errors} == {ErrorCode.FORBIDDEN}
    assert {"GreenPaper.size", "BluePaper"} & {(each.extensions or {})["position"] for each in shut.errors}
    assert opened.errors == []


async def test_all_or_nothing_rejects_a_list_that_would_lack_rows(at: World) -> None:
    text = "{ papers { totalCount } }"
    all_of_it = await ask(at.build_engine(), text, *OUTSIDER, allOrNothing=True)
    red = await ask(
        at.build_engine(), "{ papers(where: { shelf: { eq: RED } }) { totalCount } }", *OUTSIDER, allOrNothing=True
    )
    assert (all_of_it.rejected, describe_errors(all_of_it)) == (True, [(ErrorCode.FORBIDDEN, None, "BluePaper")])
    assert (red.rejected, red.errors) == (False, [])


async def test_an_error_does_not_name_a_type_outside_the_view_of_the_principal(at: World) -> None:
    engine = at.build_engine()
    own = acme.opened(
        replace(
            engine.catalog,
            schema_for_groups=partial(build_visible_schema, build_document([subjects]), engine.catalog.policy),
        )
    )
    answer = await ask(own, "{ papers(first: 100) { totalCount } }", *OUTSIDER)
    assert answer.data == {"papers": {"totalCount": len(at.papers["RED"]) + len(at.papers["GREEN"])}}
    assert answer.errors == []
    hidden = await ask(own, "{ papers { nodes { ... on BluePaper { id } } } }", *OUTSIDER)
    assert (hidden.rejected, hidden.data) == (True, None)


async def test_the_audit_record_says_what_was_denied_and_what_was_read(at: World) -> None:
    engine, text = (
        at.build_engine(),
        "{ papers(where: { name: { isNull: false } }) { nodes { id ... on BluePaper { secret } } } }",
    )
    answer = await ask(engine, text, *OUTSIDER)
    kept = build_record(engine, text, answer)
    assert [(each.field, each.reason) for each in kept.withheld] == [("BluePaper", "BluePaper")]
    assert kept.fields_used == ("Paper.name",)
    assert "BluePaper.secret" not in kept.fields
    assert "RedPaper.id" in kept.fields


def build_record(engine: QueryEngine, text: str, answer: ExecutionResult) -> Any:
    facts = RequestFacts(
        id="1",
        received_at=acme.NOW,
        principal=acme.caller(*OUTSIDER),
        request=GraphQLRequest(query=text),
        client_request_id=None,
        status=200,
        bytes=0,
        ms=0.0,
    )
    return build_audit_record(engine, b"a key", facts, answer, AuditOutcome.ANSWERED)
