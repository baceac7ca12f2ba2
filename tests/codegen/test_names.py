"""Derive type names from table names, in the singular and without clashes."""

import ast
from pathlib import Path

import pytest
from graphql import EnumTypeDefinitionNode, InputObjectTypeDefinitionNode, ObjectTypeDefinitionNode

from onedoor.codegen.naming import name_enum_members, pluralize_noun, singularize_noun, split_words
from onedoor.codegen.render import quote_string
from onedoor.codegen.types import GENERATED_SUFFIXES, RESERVED_TYPES
from onedoor.connectors.snowflake.introspection import parse_keys, parse_references
from onedoor.connectors.snowflake.options import parse_source_settings
from onedoor.connectors.sql.introspection import parse_check_values
from onedoor.schema.builder import build_document
from tests.acme import load_schema_modules

NOUNS = """
album albums, address addresses, status statuses, category categories, day days, person people, child children,
analysis analyses, box boxes, series series, index indices, movie movies, bus buses, class classes, license licenses,
photo photos, branch branches, currency currencies, note notes, page pages, alias aliases, canvas canvases, bias biases,
atlas atlases, gas gases, lens lenses, iris irises, virus viruses, campus campuses, bonus bonuses, census censuses,
base bases, database databases, case cases, phase phases, phrase phrases, lease leases, release releases,
purchase purchases, disease diseases, increase increases, response responses, expense expenses, sense senses,
defense defenses, course courses, horse horses, nurse nurses, universe universes, house houses, warehouse warehouses,
spouse spouses, clause clauses, cause causes, pause pauses, use uses, abuse abuses, excuse excuses, cruise cruises,
rose roses, dose doses, purpose purposes, nose noses, exercise exercises, promise promises, premise premises,
enterprise enterprises, franchise franchises, pulse pulses, lapse lapses, cheese cheeses, cache caches, niche niches,
headache headaches, batch batches, match matches, dish dishes, tax taxes, axis axes, prefix prefixes, size sizes,
prize prizes, waltz waltzes, quiz quizzes, buzz buzzes, crisis crises, diagnosis diagnoses, hypothesis hypotheses,
thesis theses, parenthesis parentheses, synopsis synopses, query queries, inquiry inquiries, city cities, tie ties,
cookie cookies, calorie calories, pie pies, hero heroes, echo echoes, tomato tomatoes, shoe shoes, toe toes,
video videos, memo memos, leaf leaves, shelf shelves, wolf wolves, archive archives, curve curves, sleeve sleeves,
menu menus, wiki wikis, api apis, taxi taxis, emoji emojis, medium media, criterion criteria, matrix matrices,
schema schemas, saga sagas, area areas, camera cameras, metric metrics, process processes, access accesses,
business businesses, service services, price prices, source sources, image images, message messages, sms sms,
dns dns, news news, chassis chassis, key keys, toy toys, guy guys, lens lenses, plus pluses, radius radii
"""


@pytest.mark.parametrize(("one", "many"), [pair.split() for pair in NOUNS.split(",")])
def test_a_noun_has_a_singular_and_a_plural(one: str, many: str) -> None:
    assert (pluralize_noun(one), singularize_noun(many), singularize_noun(one)) == (many, one, one)


@pytest.mark.parametrize(("name", "words"), [
    ("AlbumId", "album id"), ("ALBUM_ID", "album id"), ("album id", "album id"), ("XMLData", "xml data"),
    ("2nd title", "second title"), ("2FA", "two fa"), ("401k", "number401 k"), ("Größe %", "grosse percent"),
    ("☃", "unnamed"), ("таблица", "tablitsa"), ("ИмяКлиента", "imya klienta"), ("ЩУКА", "shchuka"), ("Щука", "shchuka"),
    ("Πελάτης", "pelatis"), ("العملاء", "alamla"), ("לקוחות", "lqvhvt"), ("が_きゃく", "ga kyaku"), ("カード", "kado"),
    ("고객", "gogaeg"), ("ग्राहक", "graahaka"), ("მომხმარებელი", "momkhmarebeli"), ("İSTANBUL ışık", "istanbul isik"),
    ("Łódź", "lodz"), ("顧客", "u9867 u5 ba2"), ("اسم_٣", "asm 3"), ("a–b", "a b"), ("µm", "um"),
    ("__a", "a"), ("addressLine2", "address line2"),
])  # fmt: skip
def test_any_name_is_words(name: str, words: str) -> None:
    assert " ".join(split_words(name)) == words


def test_each_value_of_an_enum_has_a_name_of_its_own() -> None:
    values = ("PG-13", "pg 13", "A+", "A-", "", "3D", "é", "☃", "открыт", "済")
    assert dict(name_enum_members(values)) == {
        "PG_13": "PG-13", "PG_13_2": "pg 13", "A_PLUS": "A+", "A_MINUS": "A-", "EMPTY": "", "VALUE_3D": "3D", "E": "é",
        "VALUE": "☃", "OTKRYT": "открыт", "U6E08": "済",
    }  # fmt: skip


def test_what_the_schema_makes_of_a_type_is_known() -> None:
    nodes = (InputObjectTypeDefinitionNode, ObjectTypeDefinitionNode, EnumTypeDefinitionNode)
    names = {
        definition.name.value
        for definition in build_document(load_schema_modules()).definitions
        if isinstance(definition, nodes)
    }
    suffixes = {name.removeprefix("Employee") for name in names if name.startswith("Employee")} - {""}
    assert suffixes <= set(GENERATED_SUFFIXES)
    assert {"Query", "PageInfo", "Direction", "GroupBy"} <= RESERVED_TYPES


@pytest.mark.parametrize("text", ["plain", "it's", 'say "hi"', 'it\'s "both"', 'two " and "', "\\", "a\nb", "'", '"'])
def test_a_text_is_itself_again(text: str) -> None:
    assert ast.literal_eval(quote_string(text)) == text


@pytest.mark.parametrize(("check", "words"), [
    ("size IN ('a', 'it''s')", ("size", ("a", "it's"))),
    ("\"Size\" IN ('a')", ("Size", ("a",))),
    ("((size)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))", ("size", ("a", "b"))),
    ("(size = ANY (ARRAY['a'::text, 'b'::text]))", ("size", ("a", "b"))),
    ("`size` in ('a','b')", ("size", ("a", "b"))),
    ("size IN ('a') OR price > 3", ("", ())),
    ("size IN (1, 2)", ("", ())),
    ("length(size) > 3", ("", ())),
])  # fmt: skip
def test_a_check_that_lists_values_is_read_and_no_other(check: str, words: tuple[str, tuple[str, ...]]) -> None:
    assert parse_check_values(check) == words


def test_snowflakes_own_lists_of_keys_are_read() -> None:
    key = [(None, "D", "S", "LINE", "NO", 2, "PK", None, None), (None, "D", "S", "LINE", "SALE", 1, "PK", None, None)]
    lead = [(None, "D", "S", "SALE", "ID", "D", "S", "LINE", "SALE", 1, "", "", "FK", "PK", "", None)]
    assert parse_keys(key) == {"LINE": (("sale", "no"),)}
    [words] = parse_references(lead, parse_keys(key))["LINE"]
    assert (words.columns, words.to, words.there, words.alone) == (("sale",), "sale", ("id",), False)


def test_a_snowflake_url_is_its_settings() -> None:
    assert parse_source_settings("snowflake://me:p%40ss@acme-1/SHOP/PUBLIC?warehouse=W") == {
        "kind": "snowflake", "host": "acme-1.snowflakecomputing.com", "account": "acme-1", "user": "me",
        "password": "p@ss", "database": "SHOP", "schema": "PUBLIC", "warehouse": "W",
    }  # fmt: skip


def test_no_file_of_it_speaks_of_sql() -> None:
    folder = Path(__file__).parents[2] / "onedoor" / "codegen"
    assert [path.name for path in folder.glob("*.py") if "sqlalchemy" in path.read_text(encoding="utf-8").lower()] == []
