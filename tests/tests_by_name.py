"""Find tests by their names, as indexes of what is tested name them."""

import ast
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent


def list_missing(names: Iterable[str]) -> Sequence[str]:
    """List those names, such as `http/test_keys.py::test_a_key_in_the_address_is_no_key`, that no test has."""
    return [name for name in names if name.partition("::")[2] not in list_functions(name.partition("::")[0])]


@cache
def list_functions(path: str) -> frozenset[str]:
    """List the functions of a file of tests."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    body = ast.parse((TESTS / path).read_text(encoding="utf-8")).body
    return frozenset(item.name for item in body if isinstance(item, functions))
