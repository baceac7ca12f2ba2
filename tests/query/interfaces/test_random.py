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
        drawn_world, drawn_question = random.choice(worlds), question(random)
        outcome = await compare_with_naive_evaluation(drawn_world, drawn_question, random)
        for name, value in outcome.items():
            result[name] += value
    assert all(item >= COUNT / 10 for item in result.values()), result


async def compare_with_naive_evaluation(drawn_world: World, question: Question, random: Random) -> Mapping[str, bool]:
    engine, rows = drawn_world.build_engine(), naive.list_rows(drawn_world, question)
    span, cursors = await draw_cursors(engine, question, rows, random)
    wanted = naive.take_page(rows, question, span, LIMITS.first_default)
    answer = await run_query(engine, question, {**question.arguments, **cursors}, random)
    shut = naive.list_denied_types(question)
    where = (question, cursors, answer.errors)
    assert list_forbidden_types(answer) == shut, where
    if not any(is_read(type_, question) for type_ in interfaces_world.TYPES) and shut:
        assert answer.data == {"papers": None}, where
        return {"rows": False, "shut": True, "paged": False}
    assert answer.data == {
        "papers": {
            "nodes": [build_expected_node(row, question) for row in wanted["rows"]],
            "totalCount": len(rows),
            "pageInfo": {"hasNextPage": wanted["next"], "hasPreviousPage": wanted["previous"]},
        }
    }, where
    return {"rows": bool(wanted["rows"]), "shut": bool(shut), "paged": bool(cursors)}


def is_read(shelf: str, question: Question) -> bool:
    """Whether a source is scanned: the caller may see its rows, and they could meet the filter."""
    return naive.may_read(shelf, question.groups, naive.collect_named_fields(question)) and naive.could_match(
        question.where or {}, shelf
    )


async def draw_cursors(
    engine: QueryEngine, question: Question, expected: Any, random: Random
) -> tuple[tuple[Any, Any], dict[str, str]]:
    """Now and then the place of a row to begin after, or to end before, and their cursors."""
    if not expected or random.random() < 0.5:
        return (None, None), {}
    every = text({**question.arguments, "first": 100} if "last" not in question.size else without_last(question))
    answer = await ask(engine, f"{{ papers({every}) {{ edges {{ cursor node {{ id }} }} }} }}", *question.groups)
    edges = (answer.data or {})["papers"]["edges"]
    assert [edge["node"]["id"] for edge in edges] == [item["id"] for item in expected], (question, every)
    chosen = random.choice([("after",), ("before",), ("after", "before")])
    positions = {item: random.randrange(len(expected)) for item in chosen}
    cursors = {name: edges[place]["cursor"] for name, place in positions.items()}
    return (positions.get("after"), positions.get("before")), cursors


def without_last(question: Question) -> Mapping[str, Any]:
    return {**{name: argument for name, argument in question.arguments.items() if name != "last"}, "first": 100}


async def run_query(
    engine: QueryEngine, question: Question, given: Mapping[str, Any], random: Random
) -> ExecutionResult:
    """Half of the questions say their filter and order in variables."""
    if random.random() < 0.5:
        return await ask(engine, f"{{ papers({text(given)}) {{ {SHOWN} {INFO} }} }}", *question.groups)
    types = {"where": "PaperWhere", "orderBy": "[PaperOrder!]"}
    bare = {name: item for name, item in given.items() if name not in types}
    spoken = ", ".join([*(f"{name}: ${name}" for name in types), *([text(bare)] if bare else [])])
    heads = ", ".join(f"${name}: {of}" for name, of in types.items())
    variables = {name: given[name] for name in types if name in given}
    document = f"query({heads}) {{ papers({spoken}) {{ {SHOWN} {INFO} }} }}"
    return await ask(engine, document, *question.groups, variables=variables)


def list_forbidden_types(answer: ExecutionResult) -> set[str]:
    """The types that a FORBIDDEN at the list names."""
    denials = [error for error in answer.errors if error.path == ("papers",)]
    assert all(error.code is ErrorCode.FORBIDDEN for error in denials), denials
    return {(item.extensions or {})["position"].split(".")[0] for item in denials}


def build_expected_node(row: Any, question: Question) -> Mapping[str, Any]:
    kind = interfaces_world.TYPES[row["shelf"]]
    size = row["size"] if may_size(row["shelf"], question.groups) else None
    owner = {"name": row["owner"]} if row["person_id"] in (1, 2, 3, 4) else None
    made = {
        "__typename": kind,
        "id": row["id"],
        "shelf": row["shelf"],
        "size": None if size is None else str(size),
        "owner": owner,
    }
    return made | ({"ink": row["more"]} if kind == "RedPaper" else {})
