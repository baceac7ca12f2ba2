"""A field that one type of an interface denies is denied in every coordinate, and leaves no trace."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from onedoor.audit.record import AuditOutcome
from onedoor.errors import ErrorCode
from onedoor.query.context import ExecutionResult, GraphQLRequest, QueryEngine
from onedoor.query.request_record import RequestFacts, build_audit_record
from onedoor.schema.builder import build_document
from onedoor.schema.visibility import build_visible_schema
from tests import acme
from tests.acme import ask
from tests.query.interfaces import subjects
from tests.query.interfaces.conftest import INSIDER, OUTSIDER, describe_errors
from tests.query.interfaces.world import World, build_schema
from tests.security.permission.access_paths import list_ways

GUARDED = ("size", "octets")
"""The field of green papers that most principals may not see, and its column."""
SHOWN = [
    "{ papers(first: 100) { nodes { ... on GreenPaper { size } } } }",
    "{ papers(first: 100) { edges { node { size } } } }",
    "{ people { nodes { papers(first: 100) { nodes { size } } } } }",
    "{ people { nodes { favourite { size } } } }",
    '{ paper(id: "GREEN:1") { size } }',
]
NAMED = sorted({way.text for way in list_ways(build_schema()[0], ("Paper", "size")) if way.named})


@pytest.mark.parametrize("text", [*SHOWN, *NAMED])
async def test_no_query_reads_a_denied_field(law_world: World, text: str) -> None:
    await ask(law_world.build_engine(), text, *OUTSIDER)
    assert [
        scan_request for scan_request in law_world.sources["GREEN"].requests if GUARDED[1] in repr(scan_request)
    ] == []


@pytest.mark.parametrize("text", NAMED)
async def test_every_coordinate_of_a_denied_field_is_forbidden(law_world: World, text: str) -> None:
    shut, opened = (
        await ask(law_world.build_engine(), text, *OUTSIDER),
        await ask(law_world.build_engine(), text, *INSIDER),
    )
    assert {error.code for error in shut.errors} == {ErrorCode.FORBIDDEN}
    assert {"GreenPaper.size", "BluePaper"} & {(error.extensions or {})["position"] for error in shut.errors}
    assert opened.errors == []


async def test_all_or_nothing_rejects_a_list_that_would_lack_rows(law_world: World) -> None:
    text = "{ papers { totalCount } }"
    all_of_it = await ask(law_world.build_engine(), text, *OUTSIDER, allOrNothing=True)
    red = await ask(
        law_world.build_engine(),
        "{ papers(where: { shelf: { eq: RED } }) { totalCount } }",
        *OUTSIDER,
        allOrNothing=True,
    )
    assert (all_of_it.rejected, describe_errors(all_of_it)) == (True, [(ErrorCode.FORBIDDEN, None, "BluePaper")])
    assert (red.rejected, red.errors) == (False, [])


async def test_an_error_does_not_name_a_type_outside_the_view_of_the_principal(law_world: World) -> None:
    engine = law_world.build_engine()
    own = acme.open_engine(
        replace(
            engine.catalog,
            schema_for_groups=partial(build_visible_schema, build_document([subjects]), engine.catalog.policy),
        )
    )
    answer = await ask(own, "{ papers(first: 100) { totalCount } }", *OUTSIDER)
    assert answer.data == {"papers": {"totalCount": len(law_world.papers["RED"]) + len(law_world.papers["GREEN"])}}
    assert answer.errors == []
    hidden = await ask(own, "{ papers { nodes { ... on BluePaper { id } } } }", *OUTSIDER)
    assert (hidden.rejected, hidden.data) == (True, None)


async def test_the_audit_record_says_what_was_denied_and_what_was_read(law_world: World) -> None:
    engine, text = (
        law_world.build_engine(),
        "{ papers(where: { name: { isNull: false } }) { nodes { id ... on BluePaper { secret } } } }",
    )
    answer = await ask(engine, text, *OUTSIDER)
    record = build_record(engine, text, answer)
    assert [(coordinate.field, coordinate.reason) for coordinate in record.withheld] == [("BluePaper", "BluePaper")]
    assert record.fields_used == ("Paper.name",)
    assert "BluePaper.secret" not in record.fields
    assert "RedPaper.id" in record.fields


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
