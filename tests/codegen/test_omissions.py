"""Introspection names what it leaves out, adds it where asked to, and shows the rest in the nearest form."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from demo.servers.postgresql import PostgresqlServer
from onedoor.codegen.apply import name_source
from onedoor.codegen.secrets import looks_like_secret
from tests import acme
from tests.codegen.conftest import run_script, source_of
from tests.codegen.generated_company import build_engine, fetch_data, introspect, run
from tests.servers.mariadb import MariadbServer

SHIFTS = """
    CREATE TYPE day AS ENUM ('mon', 'tue');
    CREATE TABLE shift (
        id int PRIMARY KEY, start_time time NOT NULL, pay money, tags text[] NOT NULL, days day[], sizes bigint[],
        rest int4range, seen timestamptz[], doc jsonb NOT NULL, grid int[][], photo bytea, seals bytea[]
    );
    INSERT INTO shift VALUES (1, '08:30', 12.5, '{a,NULL}', '{tue}', '{5000000000}', '[1,3)',
        '{2026-01-02 03:04:05+00}', 'null', '{{1,2}}', '\\x00ff', NULL);
    INSERT INTO shift VALUES (2, '09:00', NULL, '{}', NULL, NULL, NULL, NULL, '{"a": [1]}', NULL, NULL, NULL);
    CREATE MATERIALIZED VIEW pay AS SELECT sum(pay) AS total FROM shift;
    CREATE TABLE account (email text PRIMARY KEY, password_hash text, api_token text, password_changed_at timestamptz);
    INSERT INTO account VALUES ('ann@x.io', 'h', 't', NULL);
    CREATE TABLE session (session_token text PRIMARY KEY, email text REFERENCES account);
    CREATE TABLE visit (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
    CREATE TABLE visit_2026 PARTITION OF visit FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE TABLE visit_rest PARTITION OF visit DEFAULT PARTITION BY LIST (day);
    CREATE TABLE visit_last PARTITION OF visit_rest DEFAULT;
    INSERT INTO visit VALUES (1, '2026-01-02'), (2, '2025-01-02');
    CREATE TABLE base (id int PRIMARY KEY, n int);
    CREATE TABLE heir (extra text) INHERITS (base);
    INSERT INTO base VALUES (1, 10);
    INSERT INTO heir VALUES (2, 20, 'own');
"""
NAMES = """
    CREATE TYPE "состояние" AS ENUM ('открыт', 'закрыт');
    CREATE SCHEMA "склад";
    CREATE TABLE "таблица" (id int PRIMARY KEY, "имя" text, "фамилия" text, "статус" "состояние");
    CREATE TABLE "склад"."товар" (id int PRIMARY KEY, "таблица_id" int REFERENCES "таблица");
    CREATE TABLE "顧客" (id int PRIMARY KEY, "氏名" text, "住所" text);
    COMMENT ON COLUMN "таблица"."имя" IS 'Как зовут';
    INSERT INTO "таблица" VALUES (1, 'Анна', 'Каренина', 'закрыт');
    INSERT INTO "склад"."товар" VALUES (1, 1);
    INSERT INTO "顧客" VALUES (1, '山田', '東京');
"""


@pytest.fixture(scope="module")
def shifts(postgresql_started: PostgresqlServer) -> str:
    return run_script(postgresql_started.emptied("shifts"), SHIFTS)


@pytest.fixture(scope="module")
def names(postgresql_started: PostgresqlServer) -> str:
    return run_script(postgresql_started.emptied("names"), NAMES)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "notes.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("""
            CREATE TABLE ev (
                ev_id INTEGER PRIMARY KEY, ms INTEGER, small INT, doc TEXT CHECK (json_valid(doc)), raw BLOB
            );
            INSERT INTO ev VALUES (1, 1793404800000, 7, '{"a": 1}', x'00ff');
            CREATE VIRTUAL TABLE note USING fts5 (body);
            INSERT INTO note VALUES ('hello');
            CREATE TABLE gone (id INTEGER);
            CREATE VIEW orphan AS SELECT id FROM gone;
            DROP TABLE gone;
        """)
    return f"sqlite:///{path}"


async def ask(url: str, folder: Path, question: str) -> object:
    source = await source_of(url)
    try:
        return await fetch_data(build_engine(folder, source), question)
    finally:
        await source.close()


async def test_each_type_is_shown_in_its_nearest_form(shifts: str, tmp_path: Path) -> None:
    introspect(shifts, tmp_path, "--allow", "sales")
    question = "{ shifts { nodes { id startTime pay tags days sizes rest seen doc grid } } pays { nodes { total } } }"
    nothing = dict.fromkeys(("pay", "days", "sizes", "rest", "seen", "grid"))
    assert await ask(shifts, tmp_path, question) == {
        "shifts": {"nodes": [
            {"id": "1", "startTime": "08:30:00", "pay": "$12.50", "tags": ["a", None], "days": ["TUE"],
             "sizes": ["5000000000"], "rest": "[1,3)", "seen": ["2026-01-02T03:04:05Z"], "doc": None,
             "grid": [[1, 2]]},
            {**nothing, "id": "2", "startTime": "09:00:00", "tags": [], "doc": {"a": [1]}},
        ]},
        "pays": {"nodes": [{"total": "$12.50"}]},
    }  # fmt: skip


def test_a_line_for_each_table_names_what_is_left_out_and_what_adds_it(shifts: str, tmp_path: Path) -> None:
    lines = introspect(shifts, tmp_path, "--allow", "sales").splitlines()
    assert [line for line in lines if "left out" in line] == [
        "`account`, left out: password_hash (text, which looks like a secret; `--only 'account.password_hash'` adds "
        "it), api_token (text, which looks like a secret; `--only 'account.api_token'` adds it)",
        "`session`, left out: session_token (text, which looks like a secret; `--only 'session.session_token'` adds "
        "it), the id (its key is session_token)",
        "`shift`, left out: seals (bytea[]), photo (bytea; `--binary` adds it)",
        "left out: `heir` (its rows are among those of `base`, where these columns are not: extra; `--tables` and a "
        "full name adds it)",
        "left out: `visit_2026`, `visit_last`, `visit_rest` (partitions of `visit`; `--tables` and a full name "
        "adds it)",
    ]
    assert not (tmp_path / "schema/visit_2026.py").exists()


async def test_options_add_what_is_left_out(shifts: str, tmp_path: Path) -> None:
    options = ("--only", "account.api_token", "--only", "session.session_token", "--binary", "--tables", "*")
    output = introspect(shifts, tmp_path, "--allow", "sales", *options, "--tables", "heir")
    assert "password_hash" in output
    assert "api_token" not in output
    question = (
        '{ accounts { nodes { apiToken } } shift(id: "1") { photo } heirs { nodes { extra } } sessions { totalCount } }'
    )
    assert await ask(shifts, tmp_path, question) == {
        "accounts": {"nodes": [{"apiToken": "t"}]},
        "shift": {"photo": "AP8="},
        "heirs": {"nodes": [{"extra": "own"}]},
        "sessions": {"totalCount": 0},
    }
    assert "nothing changed" in introspect(shifts, tmp_path)


def test_a_column_that_is_no_secret_is_not_named_by_only(shifts: str, tmp_path: Path) -> None:
    result = run(shifts, tmp_path, "--only", "account.api_tokn")
    assert result.exit_code != 0
    assert "did you mean `account.api_token`" in result.output


async def test_rows_of_partitions_and_heirs_are_those_of_their_parent(shifts: str, tmp_path: Path) -> None:
    introspect(shifts, tmp_path, "--allow", "sales")
    data = await ask(shifts, tmp_path, "{ visits { totalCount } bases { nodes { id n } } }")
    assert data == {"visits": {"totalCount": 2}, "bases": {"nodes": [{"id": "1", "n": 10}, {"id": "2", "n": 20}]}}


async def test_a_file_shows_64_bits_and_json_and_no_shadow_tables(file: str, tmp_path: Path) -> None:
    output = introspect(file, tmp_path, "--allow", "sales")
    assert sorted(path.stem for path in (tmp_path / "schema").glob("*.py")) == ["ev", "note"]
    assert "`ev`, left out: raw (BLOB; `--binary` adds it)" in output
    assert "`orphan`, left out: all of it (its columns cannot be read)" in output
    assert "left out: `note_config`, `note_content`, `note_data`, `note_docsize`, `note_idx` (what" in output
    data = await ask(file, tmp_path, "{ evs { nodes { ms small doc } } notes { nodes { body } } }")
    assert data == {
        "evs": {"nodes": [{"ms": "1793404800000", "small": 7, "doc": {"a": 1}}]},
        "notes": {"nodes": [{"body": "hello"}]},
    }


async def test_one_zero_date_hides_no_rows(mariadb_started: MariadbServer, tmp_path: Path) -> None:
    url = mariadb_started.emptied("wordpress")
    mariadb_started.run(
        "SET sql_mode = ''",
        "CREATE TABLE wp_posts (ID bigint unsigned PRIMARY KEY, post_date_gmt datetime NOT NULL DEFAULT "
        "'0000-00-00 00:00:00', meta json, spot point)",
        "INSERT INTO wp_posts VALUES (1, '2026-01-02 03:04:05', '{\"a\": 1}', POINT(1, 2)), (2, '', NULL, NULL)",
        database="wordpress",
    )
    introspect(url, tmp_path, "--allow", "sales")
    source = await source_of(url)
    question = "{ wpPosts { totalCount nodes { id postDateGmt meta spot } } }"
    try:
        result = await acme.ask(build_engine(tmp_path, source), question, "sales")
    finally:
        await source.close()
    assert [(error.message, error.path) for error in result.errors] == [
        (
            "`WpPost.postDateGmt` holds a value that is no moment with a zone in the column `post_date_gmt`",
            ("wpPosts", "nodes", 1, "postDateGmt"),
        )
    ]
    assert result.data == {
        "wpPosts": {"totalCount": 2, "nodes": [
            {"id": "1", "postDateGmt": "2026-01-02T03:04:05Z", "meta": {"a": 1}, "spot": "POINT(1 2)"},
            {"id": "2", "postDateGmt": None, "meta": None, "spot": None},
        ]},
    }  # fmt: skip


async def test_names_in_any_script_are_readable_and_said_to_be_others(names: str, tmp_path: Path) -> None:
    output = introspect(names, tmp_path, "--allow", "sales")
    assert "`таблица`, written in Latin letters: таблица as `Tablitsa`, имя as `imya`, фамилия as `familiya`" in output
    assert "`顧客`, written in Latin letters: 顧客 as `U9867U5Ba2`" in output
    text = (tmp_path / "schema/tablitsa.py").read_text(encoding="utf-8")
    assert 'description="One tablitsa. Its source calls it `таблица`."' in text
    assert 'description="Как зовут. Its source calls it `имя`."' in text
    assert "`OTKRYT` is `открыт`, `ZAKRYT` is `закрыт`." in text
    question = (
        "{ tablitsas(where: {status: {eq: ZAKRYT}}) { nodes { imya familiya status tovars { nodes { id tablitsa { imya "
        "} } } } } }"
    )
    assert await ask(names, tmp_path, question) == {
        "tablitsas": {"nodes": [
            {"imya": "Анна", "familiya": "Каренина", "status": "ZAKRYT",
             "tovars": {"nodes": [{"id": "1", "tablitsa": {"imya": "Анна"}}]}},
        ]},
    }  # fmt: skip


@pytest.mark.parametrize(("source", "url", "name"), [
    (None, "k8s.json", "k8s"), ("k8s", "x.json", "k8s"), (None, "sqlite:///My Shop.db", "my_shop"),
    (None, "postgresql://h/магазин", "magazin"),
])  # fmt: skip
def test_a_source_bears_the_name_of_its_database(source: str | None, url: str, name: str) -> None:
    assert name_source(source, url) == name


@pytest.mark.parametrize(("name", "is_secret"), [
    ("user_pass", True), ("password", True), ("encrypted_password", True), ("PasswordHash", True), ("secret", True),
    ("client_secret", True), ("otp_secret", True), ("api_key", True), ("apiKey", True), ("ssh_private_key", True),
    ("reset_password_token", True), ("token_digest", True), ("encrypted_otp_secret_iv", True), ("salt", True),
    ("user_activation_key", True), ("cvv", True), ("password_changed_at", False), ("token_type", False), ("key", False),
    ("primary_key", False), ("password_policy", False), ("secretary", False), ("token_count", False),
    ("passenger", False), ("compass", False), ("foreign_key", False), ("salted_butter", False), ("pass_rate", False),
])  # fmt: skip
def test_a_name_says_whether_it_looks_like_a_secret(name: str, is_secret: bool) -> None:
    assert looks_like_secret(name) is is_secret
