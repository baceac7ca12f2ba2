"""A second run lists and writes what changed, leaves edited files alone, and opens no type by itself."""

from pathlib import Path

import psycopg
import pytest

from onedoor.schema.reader import SchemaError
from tests.codegen.conftest import source_of
from tests.codegen.generated_company import build_engine, fetch_data, introspect, run

CHANGE = """
    ALTER TABLE series ADD COLUMN seasons int; ALTER TABLE series ALTER COLUMN title DROP NOT NULL;
    DROP TABLE query; CREATE TABLE actor (id int PRIMARY KEY, series_id int REFERENCES series);
    ALTER TABLE category DROP COLUMN name;
"""


def texts(folder: Path) -> dict[str, str]:
    """What was written, by path."""
    paths = [path for name in ("schema", "resolvers") for path in (folder / name).rglob("*.*")]
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in paths}


def change(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(CHANGE)  # type: ignore[arg-type]


def test_nothing_is_written_anew_where_nothing_changed(odd: str, tmp_path: Path) -> None:
    introspect(odd, tmp_path, "--allow", "sales")
    before = texts(tmp_path)
    assert "nothing changed" in introspect(odd, tmp_path)
    assert texts(tmp_path) == before


async def test_changes_are_listed_and_written(odd: str, tmp_path: Path) -> None:
    introspect(odd, tmp_path, "--allow", "sales", "--owner", "film desk")
    change(odd)
    lines = introspect(odd, tmp_path).splitlines()
    assert lines[: lines.index("removed resolvers/own_query.py")] == [
        "+ table `actor`",
        "- table `query`",
        "- column `category.name`",
        "+ column `series.seasons`",
        "~ column `series.title`: nullable no to yes",
        "wrote resolvers/actor.py",
        "wrote resolvers/series.py",
        "wrote schema/actor.py",
        "wrote schema/category.py",
        "wrote schema/series.py",
    ]
    assert not (tmp_path / "schema/own_query.py").exists()
    assert 'directives=[allow("sales"), owned("film desk")]' in (tmp_path / "schema/actor.py").read_text()
    source = await source_of(odd)
    data = await fetch_data(build_engine(tmp_path, source), "{ allSeries { nodes { seasons actors { totalCount } } } }")
    await source.close()
    assert data == {"allSeries": {"nodes": [{"seasons": None, "actors": {"totalCount": 0}}]}}


def test_what_was_edited_by_hand_is_left_alone_and_its_difference_shown(odd: str, tmp_path: Path) -> None:
    introspect(odd, tmp_path, "--allow", "sales")
    path = tmp_path / "schema/series.py"
    mine = path.read_text(encoding="utf-8").replace("The title.", "What it is called.")
    path.write_text(mine, encoding="utf-8")
    change(odd)
    output = introspect(odd, tmp_path)
    assert path.read_text(encoding="utf-8") == mine
    assert "left alone, edited by hand: schema/series.py" in output
    assert '+    seasons: int | None = strawberry.field(description="The seasons.")' in output
    again = introspect(odd, tmp_path)
    assert "left alone, edited by hand: schema/series.py" in again
    assert "+    seasons" not in again


def test_a_dry_run_says_it_and_writes_nothing(odd: str, tmp_path: Path) -> None:
    assert "would write schema/film.py" in introspect(odd, tmp_path, "--dry-run")
    assert texts(tmp_path) == {}


def test_only_the_tables_that_are_wanted_are_written(odd: str, tmp_path: Path) -> None:
    introspect(odd, tmp_path, "--tables", "*r*", "--tables", "!*[Oo]rder*")
    assert sorted(path.stem for path in (tmp_path / "schema").glob("*.py")) == [
        "category", "film_where", "import_", "own_query", "series", "trailer",
    ]  # fmt: skip
    assert "film_id: int" in (tmp_path / "schema/trailer.py").read_text(encoding="utf-8")


async def test_a_type_is_closed_until_a_group_is_given(odd: str, tmp_path: Path) -> None:
    assert "every type is shut" in introspect(odd, tmp_path, "--tables", "series")
    source = await source_of(odd)
    with pytest.raises(SchemaError, match=r"`Query\.series` is open to nobody, give it or its type `@allow\(groups: "):
        build_engine(tmp_path, source)
    introspect(odd, tmp_path, "--allow", "finance", "--allow", "sales")
    assert await fetch_data(build_engine(tmp_path, source), "{ allSeries { totalCount } }", "finance")
    await source.close()


def test_existing_names_are_not_taken(odd: str, tmp_path: Path) -> None:
    (tmp_path / "schema").mkdir()
    theirs = '@strawberry.type\nclass Series: ...\n\n\n@strawberry.type\nclass Query:\n    trailers: Many["Series"]\n'
    (tmp_path / "schema/film.py").write_text(theirs, encoding="utf-8")
    introspect(odd, tmp_path, "--tables", "series", "--tables", "trailer", "--tables", "film")
    assert sorted(path.stem for path in (tmp_path / "schema").glob("*.py")) == [
        "film", "own_film", "own_series", "own_trailer",
    ]  # fmt: skip
    assert (tmp_path / "schema/film.py").read_text(encoding="utf-8") == theirs


@pytest.mark.parametrize(("options", "says"), [
    pytest.param(("--allow", "finanse"), "there is no group `finanse`: did you mean `finance`", id="a group"),
    pytest.param(("--key", "film lst=id"), "there is no table `film lst`: did you mean `film list`", id="a table"),
    pytest.param(("--tables", "flim*"), "there is no table to write: see to `--tables`", id="a pattern"),
    pytest.param(("--key", "film list=ids"), "no column of `film list` `ids`: did you mean `id`", id="a column"),
])  # fmt: skip
def test_a_mistake_is_one_sentence(odd: str, tmp_path: Path, options: tuple[str, ...], says: str) -> None:
    result = run(odd, tmp_path, *options)
    assert (result.exit_code, says in result.output.replace("\n", " ")) == (2, True)


@pytest.mark.parametrize(("url", "says"), [
    ("oracle://somewhere/db", "there is no kind of database `oracle`"),
    ("sqlite:////nowhere/at/all.sqlite", "the database cannot be read: there is no SQLite database at `all.sqlite`"),
    ("postgresql://me:secret@127.0.0.1:1/db", "the database cannot be read: the database does not answer"),
])  # fmt: skip
def test_an_unreadable_database_is_reported_without_its_url(tmp_path: Path, url: str, says: str) -> None:
    result = run(url, tmp_path)
    assert (result.exit_code, says in result.output, "secret" in result.output) == (2, True, False)


@pytest.mark.parametrize(("old", "new", "says"), [
    ("/odd", "/nowhere", "the database cannot be read: there is no database of this name"),
    ("acme@", "nobody:secret@", "the database cannot be read: the database refused the login"),
    ("acme@", "acme:se/cret@", "the database cannot be read: `url` is not a URL: write `/` in a password as `%2F`"),
])  # fmt: skip
def test_who_is_not_let_in_hears_why(odd: str, tmp_path: Path, old: str, new: str, says: str) -> None:
    result = run(odd.replace(old, new), tmp_path)
    assert (result.exit_code, says in result.output.replace("\n", " "), "cret" in result.output) == (2, True, False)


def test_the_settings_to_add_hold_no_password(odd: str, tmp_path: Path) -> None:
    output = introspect(odd.replace("acme@", "acme:secret@"), tmp_path, "--tables", "series")
    assert '[sources.own]\nkind = "postgresql"\nurl = { env = "OWN_URL" }' in output
    assert "secret" not in output + "".join(texts(tmp_path).values())
