"""Unusual names, enums and views without a key are generated, built and queried."""

from pathlib import Path

import pytest

from tests.codegen.conftest import source_of
from tests.codegen.generated_company import build_engine, fetch_data, introspect

QUESTIONS = {
    "words of Python and of GraphQL": (
        '{ film(id: "1") { class date notValue idValue l secondTitle grossePercent seenAt } imports { nodes { from '
        "strawberry id big } } ownQueries { nodes { text } } }",
        {"film": {"class": "A", "date": "1979-05-25", "notValue": True, "idValue": "tt0078748", "l": 7,
                  "secondTitle": "Das unheimliche Wesen", "grossePercent": "2.39", "seenAt": "2026-01-02T03:04:05Z"},
         "imports": {"nodes": [{"from": "here", "strawberry": "red", "id": "5000000000", "big": "5000000001"}]},
         "ownQueries": {"nodes": [{"text": "why"}]}},
    ),
    "values that are no names": (
        "{ films(where: {rating: {in: [PG_13, G]}}) { nodes { title rating } } trailers(where: {stage: {ne: A_MINUS}}) "
        '{ nodes { id stage rating } } byAll: trailers(where: {filmRow: {rating: {eq: R}}}) { nodes { stage } } }',
        {"films": {"nodes": [{"title": "Gremlins", "rating": "PG_13"}]},
         "trailers": {"nodes": [{"id": "2", "stage": "IT_S_OUT", "rating": "G"}]},
         "byAll": {"nodes": [{"stage": "A_MINUS"}]}},
    ),
    "a table that refers to itself": (
        '{ category(id: "1") { parent { id } children { nodes { name parent { name } } } } film(id: "2") { '
        "originalFilm { title } trailer { id } } }",
        {"category": {"parent": None, "children": {"nodes": [{"name": "horror", "parent": {"name": "all"}}]}},
         "film": {"originalFilm": {"title": "Alien"}, "trailer": None}},
    ),
    "one row at most on the other side": (
        '{ film(id: "1") { trailer { filmRow { title } film } } }',
        {"film": {"trailer": {"filmRow": {"title": "Alien"}, "film": "x"}}},
    ),
    "a reference of two columns that may be null": (
        '{ ownOrderOrders { nodes { id order { id orderDate } } } order(id: "7:2") { orderNo lineNo '
        "ownOrderOrders { nodes { id } } } }",
        {"ownOrderOrders": {"nodes": [{"id": "1", "order": {"id": "7:2", "orderDate": "2026-01-02"}},
                                      {"id": "2", "order": None}]},
         "order": {"orderNo": 7, "lineNo": 2, "ownOrderOrders": {"nodes": [{"id": "1"}]}}},
    ),
    "a key that is a decimal number": (
        '{ ownFilmWhere(id: "12") { yesOrNo } none: ownFilmWhere(id: "x") { id } }',
        {"ownFilmWhere": {"yesOrNo": True}, "none": None},
    ),
    "a word with one form": (
        '{ allSeries { nodes { title } } series(id: "1") { title } }',
        {"allSeries": {"nodes": [{"title": "Twin Peaks"}]}, "series": {"title": "Twin Peaks"}},
    ),
}  # fmt: skip
PAGES = "{ ownFilmLists(first: %d%s) { nodes { title rating idValue } pageInfo { hasNextPage endCursor } } }"


@pytest.mark.parametrize("name", QUESTIONS)
async def test_a_question_has_its_answer(odd: str, tmp_path: Path, name: str) -> None:
    introspect(odd, tmp_path, "--allow", "sales")
    question, answer = QUESTIONS[name]
    source = await source_of(odd)
    data = await fetch_data(build_engine(tmp_path, source), question)
    await source.close()
    assert data == answer


async def test_rows_without_a_key_are_paged_through_by_all_they_hold(odd: str, tmp_path: Path) -> None:
    introspect(odd, tmp_path, "--allow", "sales")
    source = await source_of(odd)
    engine, titles, after = build_engine(tmp_path, source), [], ""
    for _ in range(3):
        page = (await fetch_data(engine, PAGES % (1, after)))["ownFilmLists"]
        titles += [node["title"] for node in page["nodes"]]
        after = f', after: "{page["pageInfo"]["endCursor"]}"'
    await source.close()
    assert (titles, page["pageInfo"]["hasNextPage"]) == (["Alien", "Aliens", "Gremlins"], False)


async def test_the_key_of_a_view_is_an_option(odd: str, tmp_path: Path) -> None:
    introspect(odd, tmp_path, "--allow", "sales", "--key", "film list=id")
    source = await source_of(odd)
    data = await fetch_data(build_engine(tmp_path, source), '{ ownFilmList(id: "3") { title } }')
    await source.close()
    assert data == {"ownFilmList": {"title": "Gremlins"}}
