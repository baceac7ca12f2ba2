"""Generate the schema of Snowflake tables over its own wire, and query it."""

from collections.abc import Callable
from pathlib import Path, PurePath
from urllib.parse import urlsplit

import pytest

from demo.run import SECRETS
from tests.codegen.conftest import source_of
from tests.codegen.generated_company import build_engine, fetch_data, introspect, run
from tests.servers.snowflake import LOGIN, Before

QUESTIONS = {
    "a key in its declared order, a whole number past 32 bits, names in quotes": (
        '{ orderLine(id: "7:5000000000:north") { id lineNo amount grossePercent class customer { name joinedAt } } }',
        {"orderLine": {"id": "7:5000000000:north", "lineNo": "5000000000", "amount": "9.90", "grossePercent": 0.5,
                       "class": "A", "customer": {"name": "Ada", "joinedAt": "2026-01-02T03:04:05Z"}}},
    ),
    "the other side of a reference, many rows and one at most": (
        '{ customers(where: {badge: {status: {eq: "gold"}}}) { nodes { id badge { id } orderLines(orderBy: [{amount: '
        "ASC}]) { nodes { id } } } } }",
        {"customers": {"nodes": [{"id": "1", "badge": {"id": "x"}, "orderLines": {"nodes": [
            {"id": "7:2:south"}, {"id": "7:5000000000:north"}]}}]}},
    ),
    "a unique key where no other is declared": (
        '{ badge(id: "y") { status customer { name } } }', {"badge": {"status": "lost", "customer": None}},
    ),
    "a view": (
        "{ largeSales { nodes { customerId amount } } }",
        {"largeSales": {"nodes": [{"customerId": 1, "amount": "9.90"}]}},
    ),
}  # fmt: skip
WRITTEN = {"badge", "customer", "large_sale", "order_line", "stock"}


@pytest.mark.parametrize("name", QUESTIONS)
async def test_a_question_has_its_answer(warehouse: str, tmp_path: Path, name: str) -> None:
    introspect(warehouse, tmp_path, "--allow", "sales")
    question, answer = QUESTIONS[name]
    source = await source_of(warehouse)
    data = await fetch_data(build_engine(tmp_path, source), question)
    await source.close()
    assert data == answer


def test_comments_are_descriptions_and_what_no_field_shows_is_named(warehouse: str, tmp_path: Path) -> None:
    output = introspect(warehouse, tmp_path, "--allow", "sales")
    assert output.startswith("left out, no field can show them: `order line.raw` (variant)\n")
    assert {path.stem for path in (tmp_path / "schema").glob("*.py")} == WRITTEN
    text = (tmp_path / "schema/customer.py").read_text(encoding="utf-8")
    assert 'description="Who buys."' in text
    assert 'name: str = strawberry.field(description="What they are called.")' in text


def test_names_may_be_typed_as_one_types_them_in_snowflake(warehouse: str, tmp_path: Path) -> None:
    capitals = introspect(warehouse, tmp_path / "one", "--allow", "sales")
    schema = PurePath(urlsplit(warehouse).path).name
    quoted = warehouse.replace(schema, f"%22{schema.upper()}%22").replace("/SHOP/", "/shop/")
    introspect(quoted, tmp_path / "other", "--allow", "sales")
    texts = [(tmp_path / name / "schema/order_line.py").read_text(encoding="utf-8") for name in ("one", "other")]
    assert texts[0] == texts[1]
    assert SECRETS["SNOWFLAKE_PASSWORD"] not in capitals
    assert 'password = { env = "OWN_PASSWORD" }' in capitals


def test_run_again_it_says_what_changed_and_leaves_alone_what_was_edited(
    warehouse: str, alter_warehouse: Callable[[str, str], None], tmp_path: Path
) -> None:
    introspect(warehouse, tmp_path, "--allow", "sales", "--owner", "shop desk")
    assert "nothing changed" in introspect(warehouse, tmp_path)
    path = tmp_path / "schema/customer.py"
    mine = path.read_text(encoding="utf-8").replace("Who buys.", "Whoever bought once.")
    path.write_text(mine, encoding="utf-8")
    alter_warehouse(
        warehouse, "ALTER TABLE STOCK ADD COLUMN SHELF VARCHAR;\nCREATE TABLE SHOP_DAY (DAY DATE PRIMARY KEY);\n"
    )
    lines = introspect(warehouse, tmp_path).splitlines()
    assert lines[1:7] == [
        "+ table `shop_day`",
        "+ column `stock.shelf`",
        "wrote resolvers/shop_day.py",
        "wrote schema/shop_day.py",
        "wrote schema/stock.py",
        "left alone, edited by hand: schema/customer.py",
    ]
    assert path.read_text(encoding="utf-8") == mine
    assert 'directives=[allow("sales"), owned("shop desk")]' in (tmp_path / "schema/shop_day.py").read_text()


async def test_a_refused_list_of_keys_is_reported_and_not_needed(
    warehouse: str, before_snowflake: tuple[Before, int], tmp_path: Path
) -> None:
    before_snowflake[0].refusals = {"SHOW IMPORTED KEYS": 3001}
    output = introspect(warehouse, tmp_path, "--allow", "sales")
    assert output.startswith("`SHOW IMPORTED KEYS` was refused: what it would have shown is missing\n")
    source = await source_of(warehouse)
    data = await fetch_data(build_engine(tmp_path, source), '{ orderLine(id: "7:2:south") { customerId } }')
    await source.close()
    assert data == {"orderLine": {"customerId": 1}}


@pytest.mark.parametrize(("refusals", "says"), [
    pytest.param({LOGIN: 390100}, "cannot be read: snowflake refused the login", id="a wrong password"),
    pytest.param({LOGIN: 390189}, "snowflake has no such role, or none that the user may take", id="a role of others"),
    pytest.param({"SELECT": 90105}, "snowflake has no such database, or none that the user's", id="a database"),
    pytest.param({"SELECT": 606}, "snowflake has no warehouse to run the statement: name one", id="no warehouse"),
    pytest.param({"SELECT": 3001}, "snowflake refused the statement with error 3001", id="a statement"),
])  # fmt: skip
def test_why_it_cannot_be_read_is_one_sentence(
    warehouse: str, before_snowflake: tuple[Before, int], tmp_path: Path, refusals: dict[str, int], says: str
) -> None:
    before_snowflake[0].refusals = refusals
    result = run(warehouse, tmp_path)
    assert (result.exit_code, says in result.output) == (2, True)
    assert not [word for word in ("secret", SECRETS["SNOWFLAKE_PASSWORD"]) if word in result.output]


@pytest.mark.parametrize(("url", "says"), [
    ("snowflake://me:secret@127.0.0.1:1/SHOP/X?protocol=http", "`SHOP.X` at `127.0.0.1` cannot be read: snowflake cou"),
    ("snowflake://me:secret@acme/SHOP", "a Snowflake URL is `snowflake://user:password@account/database/schema?"),
    ("snowflake://me:se/cret@acme/SHOP/X", "the URL cannot be read: in user and password `/` is written `%2F`"),
    ("snowflake://me:secret@acme/SHOP/X?warehose=W", "there is no option of a Snowflake URL `warehose`: did you mean"),
    ("snowflake://me:secret@acme/SHOP/X?timeout=long", "`timeout` of a Snowflake URL is a number"),
])  # fmt: skip
def test_a_wrong_url_is_one_sentence(tmp_path: Path, url: str, says: str) -> None:
    result = run(url, tmp_path)
    assert (result.exit_code, says in result.output, "secret" in result.output) == (2, True, False)


def test_a_schema_that_shows_nothing_is_no_schema_without_tables(warehouse: str, tmp_path: Path) -> None:
    introspect(warehouse, tmp_path, "--allow", "sales")
    result = run(warehouse.replace("/SHOP/", "/SHOP/not_"), tmp_path)
    assert (result.exit_code, "shows no tables: see to both names" in result.output) == (2, True)
    assert {path.stem for path in (tmp_path / "schema").glob("*.py")} == WRITTEN
