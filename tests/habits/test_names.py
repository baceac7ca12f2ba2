"""Names and sizes keep to the vocabulary: one word for one idea, and no file that is two things."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINES_MAX = 600
MODULES_MAX = 5
ROOT_TYPES = frozenset({"Query", "Mutation", "Subscription"})
"""Each module of types may add fields to the roots of the schema."""
FACADE_TYPES = frozenset({"Job"})
"""What a company declares, and the type of the schema that shows it."""
PROTOCOL = frozenset({"connect", "describe", "main", "upgrade"})
"""Functions that each module of a kind exports."""
VAGUE = frozenset({"words", "kept", "told", "said", "declared", "base", "utils", "common", "helpers", "misc"})
PRIVATE_WORDS = re.compile(
    r"\b(?:the|a|this|one|our|its|each|every) (?:door|house|desk|errand|clerk|turnstile|workshop|shelf)\b",
    re.IGNORECASE,
)


@cache
def trees() -> dict[Path, ast.Module]:
    """Every file of the product, parsed."""
    return parse_files("auth", "onedoor")


def parse_files(*folders: str) -> dict[Path, ast.Module]:
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return {path.relative_to(ROOT): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def top_level(*kinds: type[ast.stmt]) -> dict[str, set[Path]]:
    """By name without underscores in front, the files that define it at their top level."""
    result: dict[str, set[Path]] = defaultdict(set)
    for path, tree in trees().items():
        for node in tree.body:
            if isinstance(node, kinds):
                result[node.name.lstrip("_")].add(path)  # type: ignore[attr-defined]
    return result


def docstrings() -> Iterator[tuple[Path, str]]:
    for path, tree in {**trees(), **parse_files("benchmarks", "demo", "tests")}.items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                text = ast.get_docstring(node)
                if text:
                    yield path, text


def test_no_class_name_stands_twice() -> None:
    classes = top_level(ast.ClassDef)
    twice = {name: paths for name, paths in classes.items() if len(paths) > 1}
    assert {name: paths for name, paths in twice.items() if name not in ROOT_TYPES | FACADE_TYPES} == {}


def test_no_function_name_stands_in_more_than_five_modules() -> None:
    functions = top_level(ast.FunctionDef, ast.AsyncFunctionDef)
    often = {name: paths for name, paths in functions.items() if len(paths) > MODULES_MAX}
    assert {name: paths for name, paths in often.items() if name not in PROTOCOL} == {}


def test_no_file_is_two_things() -> None:
    lengths = {path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in trees()}
    assert {path: length for path, length in lengths.items() if length > LINES_MAX} == {}


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert [path for path in trees() if path.stem in VAGUE] == []


def test_no_docstring_speaks_a_private_language() -> None:
    assert [(path, text) for path, text in docstrings() if PRIVATE_WORDS.search(text)] == []


@pytest.mark.parametrize("package", ["auth", "onedoor"])
def test_only_facades_and_lists_hold_more_than_a_docstring(package: str) -> None:
    facades = {"onedoor", "onedoor/schema", "onedoor/mapping", "onedoor/mutations", "onedoor/jobs"}
    lists = {"onedoor/schema/builtin"}
    full = {
        path.parent.as_posix()
        for path, tree in trees().items()
        if path.name == "__init__.py" and len(tree.body) > 1 and path.parts[0] == package
    }
    assert full - facades - lists == set()
