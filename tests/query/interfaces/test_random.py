"""Random queries over random worlds get the rows, counts, pages and denials of a naive evaluation."""

import os
from collections.abc import Mapping
from random import Random
from typing import Any

from onedoor.errors import ErrorCode
from onedoor.query.context import ExecutionResult, QueryEngine
from tests.acme import ask
from tests.query.interfaces import naive
from tests.query.interfaces import world as interfaces_world
from tests.query.interfaces.question import Question, question, text
from tests.query.interfaces.world import LIMITS, World, may_size, world

COUNT = int(os.environ.get("FUZZ") or 400)
WORLDS = 40
SHOWN = "nodes { __typename id shelf size owner { name } ... on RedPaper { ink } } totalCount"
INFO = "pageInfo { hasNextPage hasPreviousPage }"


async def test_every_random_query_gets_the_expected_data() -> None:
    worlds = [world(f"papers {number}") for number in range(WORLDS)]
    result = dict.fromkeys(("rows", "shut", "paged"), 0)
    for number in range(COUNT):
        random = Random(f"papers question {number}")
        at, asked = random.choice(worlds), question(random)
        outcome = await compare_with_naive_evaluation(at, asked, random)
        for name, value in outcome.items():
            result[name] += value
    assert all(each >= COUNT / 10 for each in result.values()), result


async def compare_with_naive_evaluation(at: World, asked: Question, random: Random) -> Mapping[str, bool]:
    engine, found = at.build_engine(), naive.list_rows(at, asked)
    span, cursors = await draw_cursors(engine, asked, found, random)
    wanted = naive.take_page(found, asked, span, LIMITS.first_default)
    answer = await run_query(engine, asked, {**asked.arguments, **cursors}, random)
    shut = naive.list_denied_types(asked)
    where = (asked, cursors, answer.errors)
    assert list_forbidden_types(answer) == shut, where
    if not any(is_read(each, asked) for each in interfaces_world.TYPES) and shut:
        assert answer.data == {"papers": None}, where
        return {"rows": False, "shut": True, "paged": False}
    assert answer.data == {
        "papers": {
            "nodes": [build_expected_node(row, asked) for row in wanted["rows"]],
            "totalCount": len(found),
            "pageInfo": {"hasNextPage": wanted["next"], "hasPreviousPage": wanted["previous"]},
        }
    }, where
    return {"rows": bool(wanted["rows"]), "shut": bool(shut), "paged": bool(cursors)}


def is_read(shelf: str, asked: Question) -> bool:
    """Whether a shelf is asked: the caller may, and its rows could meet the filter."""
    return naive.may_read(shelf, asked.groups, naive.collect_named_fields(asked)) and naive.could_match(
        asked.where or {}, shelf
    )


async def draw_cursors(
    engine: QueryEngine, asked: Question, found: Any, random: Random
) -> tuple[tuple[Any, Any], dict[str, str]]:
    """Now and then the place of a row to begin after, or to end before, and their cursors."""
    if not found or random.random() < 0.5:
        return (None, None), {}
    every = text({**asked.arguments, "first": 100} if "last" not in asked.size else without_last(asked))
    answer = await ask(engine, f"{{ papers({every}) {{ edges {{ cursor node {{ id }} }} }} }}", *asked.groups)
    edges = (answer.data or {})["papers"]["edges"]
    assert [each["node"]["id"] for each in edges] == [each["id"] for each in found], (asked, every)
    chosen = random.choice([("after",), ("before",), ("after", "before")])
    at = {each: random.randrange(len(found)) for each in chosen}
    cursors = {each: edges[place]["cursor"] for each, place in at.items()}
    return (at.get("after"), at.get("before")), cursors


def without_last(asked: Question) -> Mapping[str, Any]:
    return {**{name: each for name, each in asked.arguments.items() if name != "last"}, "first": 100}


async def run_query(engine: QueryEngine, asked: Question, given: Mapping[str, Any], random: Random) -> ExecutionResult:
    """Half of the questions say their filter and order in variables."""
    if random.random() < 0.5:
        return await ask(engine, f"{{ papers({text(given)}) {{ {SHOWN} {INFO} }} }}", *asked.groups)
    types = {"where": "PaperWhere", "orderBy": "[PaperOrder!]"}
    bare = {name: each for name, each in given.items() if name not in types}
    spoken = ", ".join([*(f"{name}: ${name}" for name in types), *([text(bare)] if bare else [])])
    heads = ", ".join(f"${name}: {of}" for name, of in types.items())
    variables = {name: given[name] for name in types if name in given}
    document = f"query({heads}) {{ papers({spoken}) {{ {SHOWN} {INFO} }} }}"
    return await ask(engine, document, *asked.groups, variables=variables)


def list_forbidden_types(answer: ExecutionResult) -> set[str]:
    """The types that a FORBIDDEN at the list names."""
    at = [each for each in answer.errors if each.path == ("papers",)]
    assert all(each.code is ErrorCode.FORBIDDEN for each in at), at
    return {(each.extensions or {})["position"].split(".")[0] for each in at}


def build_expected_node(row: Any, asked: Question) -> Mapping[str, Any]:
    kind = interfaces_world.TYPES[row["shelf"]]
    size = row["size"] if may_size(row["shelf"], asked.groups) else None
    owner = {"name": row["owner"]} if row["person_id"] in (1, 2, 3, 4) else None
    made = {
        "__typename": kind,
        "id": row["id"],
        "shelf": row["shelf"],
        "size": None if size is None else str(size),
        "owner": owner,
    }
    return made | ({"ink": row["more"]} if kind == "RedPaper" else {})
