"""Ask each collection of a database that others designed for all its fields."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from graphql import get_named_type, is_leaf_type

from tests import acme
from tests.codegen.conftest import source_of
from tests.codegen.generated_company import build_engine, introspect

SCHEMA = Path(__file__).parent / "databases" / "sakila.sql"
ROWS = """
    INSERT INTO actor VALUES (1, 'PENELOPE', 'GUINESS', '2020-12-23 07:12:29');
    INSERT INTO category VALUES (1, 'Action', '2020-12-23 07:12:29');
    INSERT INTO language VALUES (1, 'English', '2020-12-23 07:12:29');
    INSERT INTO film (film_id, title, release_year, language_id, rental_rate, replacement_cost, rating, last_update)
        VALUES (1, 'ACADEMY DINOSAUR', '2006', 1, 0.99, 20.99, 'PG', '2020-12-23 07:12:29');
    INSERT INTO film_actor VALUES (1, 1, '2020-12-23 07:12:29');
    INSERT INTO film_category VALUES (1, 1, '2020-12-23 07:12:29');
"""


async def test_each_collection_of_sakila_answers_with_all_its_fields(tmp_path: Path) -> None:
    path = tmp_path / "sakila.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA.read_text(encoding="utf-8") + ROWS)
    output = introspect(f"sqlite:///{path}", tmp_path, "--allow", "sales")
    assert [line for line in output.splitlines() if "left out" in line] == [
        "`film_actor`, left out: the relationship by actor_id (`actor` has it in another type)",
        "`staff`, left out: picture (BLOB; `--binary` adds it), password (VARCHAR(40), which looks like a secret; "
        "`--only 'staff.password'` adds it)",
    ]
    source = await source_of(f"sqlite:///{path}")
    engine = build_engine(tmp_path, source)
    counts = {}
    for name, text in list_questions(engine.catalog.schema).items():
        result = await acme.ask(engine, text, "sales")
        assert list(result.errors) == [], name
        counts[name] = result.data[name]["totalCount"]
    await source.close()
    assert len(counts) == 21
    assert {name: count for name, count in counts.items() if count} == dict.fromkeys(
        ("actors", "categories", "filmActors", "filmCategories", "films", "languages", "ownFilmLists"), 1
    )


def list_questions(schema: Any) -> dict[str, str]:
    """By list, the question for all values of its rows."""
    connections = {
        name: get_named_type(field.type)
        for name, field in schema.query_type.fields.items()
        if get_named_type(field.type).name.endswith("Connection")
    }
    rows = {name: get_named_type(connection.fields["nodes"].type) for name, connection in connections.items()}
    return {
        name: f"{{ {name}(first: 5) {{ totalCount nodes {{ {' '.join(list_values(row))} }} }} }}"
        for name, row in rows.items()
    }


def list_values(row: Any) -> list[str]:
    return [name for name, field in row.fields.items() if is_leaf_type(get_named_type(field.type))]
