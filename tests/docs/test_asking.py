"""Execute the cookbook, docs/asking.md: answers, plans and costs are the page's, or rewritten by DOCS=write.

Acme is the small one, its sources promising what those of the demo do: `python -m demo --scale 0.01` answers the same.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from textwrap import fill
from typing import Any

import pytest

from onedoor.connectors.memory import MemoryConnector
from onedoor.query.context import ExecutionResult, QueryEngine
from onedoor.spi.capabilities import Capabilities
from tests import acme
from tests.acme import GROUP_NAMES
from tests.docs.capabilities import demo_promises
from tests.docs.pages import ROOT, Block, every

PAGE = ROOT / "docs/asking.md"
WIDTH = 116
PASSING = frozenset({"endCursor", "readAt", "age"})
"""What differs from one answer to the next: the page shows dots."""
MILLISECONDS = re.compile(r"[\d.]+ ms")
DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A question of the page and the blocks below it, by their first word."""

    query: Block
    below: dict[str, Block]

    def read_block(self, word: str) -> dict[str, Any]:
        return json.loads(self.below[word].text) if word in self.below else {}


def recipes() -> Iterator[Recipe]:
    results: list[Recipe] = []
    for block in every(PAGE):
        if block.language == "graphql":
            results.append(Recipe(query=block, below={}))
        elif block.words:
            results[-1].below[block.words[0]] = block
    return iter(results)


RECIPES = list(recipes())


def having(*words: str) -> list[Any]:
    """The recipes with blocks of these words."""
    return [pytest.param(recipe, id=recipe.query.id) for recipe in RECIPES if recipe.below.keys() >= set(words)]


@cache
def engine() -> QueryEngine:
    promised = {name.partition(" ")[0]: promise for name, promise in demo_promises().items()}
    sources = {name: promising(memory, promised[name]) for name, memory in acme.sources().items()}
    return acme.open_engine(acme.build_catalog(sources))


def promising(memory: MemoryConnector, promised: Any) -> MemoryConnector:
    figures = {
        name: replace(collection, capabilities=reorder_columns(promised[name], collection.capabilities))
        for name, collection in memory.collections.items()
    }
    return MemoryConnector(figures)


def reorder_columns(promised: Capabilities, like: Capabilities) -> Capabilities:
    return replace(promised, columns={name: promised.columns[name] for name in like.columns})


async def run_recipe(recipe: Recipe, **options: Any) -> ExecutionResult:
    groups = GROUP_NAMES.intersection(recipe.query.words)
    given = {**recipe.read_block("options"), **options}
    answer = await acme.ask(engine(), recipe.query.text, *groups, variables=recipe.read_block("variables"), **given)
    assert answer.errors == []
    return answer


def compare(recipe: Recipe, word: str, now: str) -> None:
    block = recipe.below[word]
    if os.environ.get("DOCS") == "write":
        query, of, below = PAGE.read_text(encoding="utf-8").partition(recipe.query.text)
        opening = f"```{block.language} {word}\n"
        PAGE.write_text(query + of + below.replace(f"{opening}{block.text}", f"{opening}{now}", 1), encoding="utf-8")
    else:
        assert block.text == now, "`make docs` writes it anew"


def format_json(value: Any, indent: str = "", before: int = 0) -> str:
    """JSON in lines: what fits stands in one, and what holds one thing opens no line of its own."""
    text = json.dumps(value, ensure_ascii=False)
    if before + len(text) <= WIDTH or not isinstance(value, dict | list):
        return text
    parts = [(json.dumps(name) + ": ", item) for name, item in value.items()] if isinstance(value, dict) else []
    parts = parts or [("", item) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    if len(parts) == 1 and isinstance(value, dict):
        name, only = parts[0]
        return f"{opening}{name}{format_json(only, indent, before + len(name) + 2)}{closing}"
    deeper = indent + "  "
    result = ",\n".join(
        f"{deeper}{name}{format_json(item, deeper, len(deeper) + len(name) + 1)}" for name, item in parts
    )
    return f"{opening}\n{result}\n{indent}{closing}"


def wrapped(line: str) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    return fill(line, WIDTH, subsequent_indent=f"{indent}  ", break_long_words=False, break_on_hyphens=False)


def lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: "..." if name in PASSING and item is not None else lasting(item) for name, item in value.items()}
    return [lasting(item) for item in value] if isinstance(value, list) else value


def has_values(value: Any) -> bool:
    """Whether every list that was asked for has something in it, and some value is there."""
    if isinstance(value, list):
        return bool(value) and all(has_values(item) for item in value)
    return all(has_values(item) for item in value.values()) if isinstance(value, dict) else True


def test_the_cookbook_has_twenty_questions() -> None:
    headings = re.findall(r"^## (\d+)\. ", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings == [str(number) for number in range(1, 21)]
    assert len(RECIPES) == 20


@pytest.mark.parametrize("recipe", having())
async def test_a_question_is_answered_as_the_page_shows(recipe: Recipe) -> None:
    data = (await run_recipe(recipe)).data
    assert has_values(data)
    assert data
    compare(recipe, "answer", format_json(lasting(data)) + "\n")


@pytest.mark.parametrize("recipe", having("plan"))
async def test_a_question_has_the_plan_the_page_shows(recipe: Recipe) -> None:
    plan = (await run_recipe(recipe, plan=True)).extensions["plan"]
    compare(recipe, "plan", "".join(f"{wrapped(MILLISECONDS.sub('... ms', item))}\n" for item in plan["text"]))


@pytest.mark.parametrize("recipe", having("extensions"))
async def test_a_question_is_weighed_and_dated_as_the_page_shows(recipe: Recipe) -> None:
    compare(recipe, "extensions", format_json(lasting((await run_recipe(recipe)).extensions)) + "\n")


def test_the_document_the_page_names_is_its_question() -> None:
    digest = hashlib.sha256(RECIPES[-1].query.text.encode()).hexdigest()
    assert DIGEST.findall(PAGE.read_text(encoding="utf-8")) == [digest]
