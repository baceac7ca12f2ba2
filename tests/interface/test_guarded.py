"""A field that one type of an interface guards is guarded in every position, and what is shut leaves no trace."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from engine.desk import Answer, Desk, Question
from engine.errors import Code
from engine.record import Visit, record
from records.record import Outcome
from schema.build import document
from schema.view import view
from tests import acme
from tests.acme import ask
from tests.interface import subjects
from tests.interface.conftest import INSIDER, OUTSIDER, told
from tests.interface.world import World, built
from tests.permission.ways import ways

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
    assert {each.code for each in shut.faults} == {Code.FORBIDDEN}
    assert {"GreenPaper.size", "BluePaper"} & {(each.extensions or {})["position"] for each in shut.faults}
    assert opened.faults == []


async def test_all_or_nothing_refuses_a_list_that_would_lack_rows(at: World) -> None:
    text = "{ papers { totalCount } }"
    all_of_it = await ask(at.desk(), text, *OUTSIDER, allOrNothing=True)
    red = await ask(at.desk(), "{ papers(where: { shelf: { eq: RED } }) { totalCount } }", *OUTSIDER, allOrNothing=True)
    assert (all_of_it.refused, told(all_of_it)) == (True, [(Code.FORBIDDEN, None, "BluePaper")])
    assert (red.refused, red.faults) == (False, [])


async def test_who_knows_only_their_own_view_is_not_told_of_a_type_they_may_not_see(at: World) -> None:
    desk = at.desk()
    own = acme.opened(replace(desk.house, view=partial(view, document([subjects]), desk.house.rules)))
    answer = await ask(own, "{ papers(first: 100) { totalCount } }", *OUTSIDER)
    assert answer.data == {"papers": {"totalCount": len(at.papers["RED"]) + len(at.papers["GREEN"])}}
    assert answer.faults == []
    hidden = await ask(own, "{ papers { nodes { ... on BluePaper { id } } } }", *OUTSIDER)
    assert (hidden.refused, hidden.data) == (True, None)


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


def recorded(desk: Desk, text: str, answer: Answer) -> Any:
    visit = Visit(
        id="1", at=acme.NOW, caller=acme.caller(*OUTSIDER), question=Question(text=text), client_request_id=None,
        status=200, bytes=0, ms=0.0,
    )  # fmt: skip
    return record(desk, b"a key", visit, answer, Outcome.ANSWERED)
