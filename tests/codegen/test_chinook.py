"""Generate the schema of Chinook in each database; the same queries get the same answers."""

import json
from pathlib import Path

import pytest

from tests.codegen.conftest import source_of
from tests.codegen.generated_company import build_engine, fetch_data, introspect

SUBJECTS = (
    "album", "artist", "customer", "employee", "genre", "invoice", "invoice_line", "media_type", "playlist",
    "playlist_track", "track",
)  # fmt: skip
QUESTIONS = {
    "a list, and down two links": (
        "{ artists(orderBy: [{name: ASC}]) { nodes { name albums { totalCount nodes { title tracks { nodes { name "
        "genre { name } } } } } } } }",
        {"artists": {"nodes": [
            {"name": "AC/DC", "albums": {"totalCount": 2, "nodes": [
                {"title": "For Those About To Rock We Salute You", "tracks": {"nodes": [
                    {"name": "For Those About To Rock (We Salute You)", "genre": {"name": "Rock"}}]}},
                {"title": "Let There Be Rock", "tracks": {"nodes": [
                    {"name": "Go Down", "genre": {"name": "Rock"}}]}}]}},
            {"name": "Accept", "albums": {"totalCount": 1, "nodes": [
                {"title": "Balls to the Wall", "tracks": {"nodes": []}}]}}]}},
    ),
    "up two links": (
        '{ track(id: "15") { unitPrice album { title artist { name } } } }',
        {"track": {"unitPrice": "0.99", "album": {"title": "Let There Be Rock", "artist": {"name": "AC/DC"}}}},
    ),
    "a key of two columns": (
        '{ playlistTrack(id: "1:15") { id track { name } playlist { name } } none: playlistTrack(id: "1:2") { id } }',
        {"playlistTrack": {"id": "1:15", "track": {"name": "Go Down"}, "playlist": {"name": "Music"}}, "none": None},
    ),
    "a table that refers to itself, both ways": (
        "{ employees { nodes { id reportsTo { lastName } employeesByReportsTo { nodes { lastName } } customers { nodes "
        "{ lastName } } } } }",
        {"employees": {"nodes": [
            {"id": "1", "reportsTo": None, "employeesByReportsTo": {"nodes": [{"lastName": "Edwards"}]},
             "customers": {"nodes": []}},
            {"id": "2", "reportsTo": {"lastName": "Adams"}, "employeesByReportsTo": {"nodes": []},
             "customers": {"nodes": [{"lastName": "Gonçalves"}]}}]}},
    ),
    "a filter through links, on money and time": (
        '{ invoices(where: {total: {gt: "1.5"}, invoiceDate: {lt: "2022-01-01T00:00:00Z"}, customer: {supportRep: '
        '{title: {eq: "Sales Manager"}}}}) { nodes { id total invoiceDate invoiceLines { nodes { quantity } } } } }',
        {"invoices": {"nodes": [{"id": "1", "total": "1.98", "invoiceDate": "2021-01-01T00:00:00Z",
                                 "invoiceLines": {"nodes": [{"quantity": 2}]}}]}},
    ),
}  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql", "mysql", "snowflake"])
def url(request: pytest.FixtureRequest) -> str:
    result: str = request.getfixturevalue(f"chinook_in_{request.param}")
    return result


async def test_a_table_is_two_files_and_each_question_has_its_answer(url: str, tmp_path: Path) -> None:
    output = introspect(url, tmp_path, "--allow", "sales")
    for folder in ("schema", "resolvers"):
        assert sorted(path.stem for path in (tmp_path / folder).glob("*.py")) == list(SUBJECTS)
    assert "resolvers/__init__.py" not in output
    source = await source_of(url)
    engine = build_engine(tmp_path, source)
    answers = {name: await fetch_data(engine, question) for name, (question, _) in QUESTIONS.items()}
    await source.close()
    expected = {name: answer for name, (_, answer) in QUESTIONS.items()}
    assert json.dumps(answers, sort_keys=True) == json.dumps(expected, sort_keys=True)


def test_a_schema_reads_the_same_whatever_database_it_came_from(
    chinook_in_postgresql: str, chinook_in_mysql: str, tmp_path: Path
) -> None:
    """Only dates that are never null in PostgreSQL may be in MariaDB, which lets zero dates in."""
    for name, url in (("one", chinook_in_postgresql), ("other", chinook_in_mysql)):
        introspect(url, tmp_path / name, "--allow", "sales")
    texts = [
        {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / name / "schema").glob("*.py")}
        for name in ("one", "other")
    ]
    assert {**texts[0], "invoice.py": texts[0]["invoice.py"].replace(": datetime =", ": datetime | None =")} == texts[1]
