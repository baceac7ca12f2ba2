"""Every question of the docs: valid, and answered as the page says.

A block's words are the groups that ask, and FORBIDDEN where a part is to be withheld.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from graphql import VariableValues, get_variable_values, parse, validate

from onedoor.errors import ErrorCode
from onedoor.model.catalog import Catalog
from onedoor.query.context import ExecutionResult
from tests import acme
from tests.acme import GROUP_NAMES
from tests.docs.pages import PAGES, Block, blocks, every

OTHER_SCHEMAS = frozenset({"ticket", "office", "shop"})
"""Words of questions that ask for a type the page itself adds; the page's own test asks them."""
IN_SHELL = re.compile(r"--data-urlencode 'query=(.*?)'", re.DOTALL)

IN_BODY = re.compile(r" -d '(\{.*?\n\})'", re.DOTALL)


def questions() -> Iterator[Block]:
    for page in PAGES:
        yield from (each for each in blocks(page, "graphql") if not OTHER_SCHEMAS.intersection(each.words))
        for block in blocks(page, "sh"):
            yield from (replace(block, text=text) for text in IN_SHELL.findall(block.text))


QUESTIONS = [pytest.param(each, id=each.id) for each in questions()]
READ = [
    pytest.param(each, id=each.id)
    for each in questions()
    if not each.text.lstrip().startswith(("mutation", "subscription"))
]
"""Queries are executed over rows in memory; mutations and subscriptions are checked against the schema alone."""


@pytest.mark.parametrize("block", QUESTIONS)
def test_a_question_is_valid(block: Block) -> None:
    assert validate(house().schema, parse(block.text)) == []


@pytest.mark.parametrize("block", READ)
async def test_a_question_is_answered_as_its_groups_may_see(block: Block) -> None:
    codes = {fault.code for fault in (await asked(block)).errors}
    assert codes == ({ErrorCode.FORBIDDEN} if "FORBIDDEN" in block.words else set())


BODIES = [
    pytest.param(text, id=each.id)
    for page in PAGES
    for each in blocks(page, "sh")
    for text in IN_BODY.findall(each.text)
]


@pytest.mark.parametrize("text", BODIES)
def test_a_change_sent_from_a_shell_is_valid_with_its_variables(text: str) -> None:
    body = json.loads(text)
    document = parse(body["query"])
    assert validate(house().schema, document) == []
    found = get_variable_values(house().schema, document.definitions[0].variable_definitions, body["variables"])
    assert isinstance(found, VariableValues), found


@pytest.mark.parametrize("block", [each for each in QUESTIONS if each.id and "analyst.md" in each.id])
async def test_a_question_of_the_cookbook_finds_rows(block: Block) -> None:
    data: Any = (await asked(block)).data
    assert all(connection["nodes"] for connection in data.values())


@cache
def house() -> Catalog:
    return acme.house()


async def asked(block: Block) -> ExecutionResult:
    groups = GROUP_NAMES.intersection(block.words)
    return await acme.ask(acme.opened(house()), block.text, *groups, variables=variables(block))


def variables(block: Block) -> dict[str, Any]:
    """Those of the block that follows, where it holds some."""
    after = [each for each in every(block.page) if each.line > block.line][:1]
    found = [json.loads(each.text) for each in after if each.words == ("variables",)]
    return found[0] if found else {}
