"""Every query in the docs is valid, and is answered as the page says.

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
        yield from (item for item in blocks(page, "graphql") if not OTHER_SCHEMAS.intersection(item.words))
        for block in blocks(page, "sh"):
            yield from (replace(block, text=text) for text in IN_SHELL.findall(block.text))


QUESTIONS = [pytest.param(question, id=question.id) for question in questions()]
READ = [
    pytest.param(question, id=question.id)
    for question in questions()
    if not question.text.lstrip().startswith(("mutation", "subscription"))
]
"""Queries are executed over rows in memory; mutations and subscriptions are checked against the schema alone."""


@pytest.mark.parametrize("block", QUESTIONS)
def test_a_question_is_valid(block: Block) -> None:
    assert validate(build_catalog().schema, parse(block.text)) == []


@pytest.mark.parametrize("block", READ)
async def test_a_question_is_answered_as_its_groups_may_see(block: Block) -> None:
    codes = {fault.code for fault in (await run_question(block)).errors}
    assert codes == ({ErrorCode.FORBIDDEN} if "FORBIDDEN" in block.words else set())


BODIES = [
    pytest.param(text, id=block.id)
    for page in PAGES
    for block in blocks(page, "sh")
    for text in IN_BODY.findall(block.text)
]


@pytest.mark.parametrize("text", BODIES)
def test_a_change_sent_from_a_shell_is_valid_with_its_variables(text: str) -> None:
    body = json.loads(text)
    document = parse(body["query"])
    assert validate(build_catalog().schema, document) == []
    definitions = document.definitions[0].variable_definitions  # type: ignore[attr-defined]
    variable_values = get_variable_values(build_catalog().schema, definitions, body["variables"])
    assert isinstance(variable_values, VariableValues), variable_values


@pytest.mark.parametrize("block", [question for question in QUESTIONS if question.id and "analyst.md" in question.id])
async def test_a_question_of_the_cookbook_finds_rows(block: Block) -> None:
    data: Any = (await run_question(block)).data
    assert all(connection["nodes"] for connection in data.values())


@cache
def build_catalog() -> Catalog:
    return acme.build_catalog()


async def run_question(block: Block) -> ExecutionResult:
    groups = GROUP_NAMES.intersection(block.words)
    return await acme.ask(acme.open_engine(build_catalog()), block.text, *groups, variables=variables(block))


def variables(block: Block) -> dict[str, Any]:
    """Those of the block that follows, where it holds some."""
    after = [item for item in every(block.page) if item.line > block.line][:1]
    results = [json.loads(item.text) for item in after if item.words == ("variables",)]
    return results[0] if results else {}
