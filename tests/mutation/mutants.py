"""Make the mutants of a module: its functions with one comparison, connective, constant or statement changed."""

import ast
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

COMPARISONS: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip

OPERATORS: Mapping[type[ast.operator], type[ast.operator]] = {
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.Add: ast.Sub, ast.Sub: ast.Add,
}  # fmt: skip

CALLS = {"any": "all", "all": "any", "min": "max", "max": "min"}

Change = Callable[[Any], ast.AST | None]
"""Changes a node in place, or returns the one that takes its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A function with one change; `code` is what it runs then."""

    path: str
    function: str
    line: int
    text: str
    """The line that is changed."""
    change: str
    code: CodeType

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.function}: {self.change} in `{self.text}`"


def make_mutants(module: ModuleType, root: Path) -> Iterator[Mutant]:
    """Yield the mutants of every function and method of a module."""
    path = Path(str(module.__file__))
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    for function, qualname in _list_functions(ast.parse(source)):
        for number, (node, change, _) in enumerate(_list_changes(function)):
            code = _compile_changed(source, str(path), function.lineno, qualname, number)
            if code.co_freevars != find_function(module, qualname).__code__.co_freevars:
                continue  # a function keeps its closure: without `super()` it would have none
            yield Mutant(
                path=str(path.relative_to(root)), function=qualname, line=node.lineno,
                text=lines[node.lineno - 1].strip(), change=change, code=code,
            )  # fmt: skip


def find_function(module: ModuleType, qualname: str) -> FunctionType:
    """Return the function that runs under this name, whatever wraps it."""
    value: Any = module
    for name in qualname.split("."):
        value = vars(value)[name]
    value = getattr(value, "__func__", value)  # of a static or class method
    value = getattr(value, "fget", value)  # of a property
    while hasattr(value, "__wrapped__"):
        value = value.__wrapped__
    assert isinstance(value, FunctionType), qualname
    return value


def _list_functions(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, str]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node, node.name
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield inner, f"{node.name}.{inner.name}"


def _compile_changed(source: str, path: str, line: int, qualname: str, number: int) -> CodeType:
    tree = ast.parse(source)
    function = next(node for node, name in _list_functions(tree) if name == qualname and node.lineno == line)
    node, _, change = list(_list_changes(function))[number]
    replacement = change(node)
    if replacement is not None:
        _Replacer(node, ast.copy_location(replacement, node)).visit(function)
    ast.fix_missing_locations(tree)
    return next(code for code in _walk_code(compile(tree, path, "exec")) if code.co_qualname == qualname)


def _walk_code(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _walk_code(constant)


def _list_changes(function: ast.AST) -> Iterator[tuple[Any, str, Change]]:
    """Yield each node that can be changed, what the change is, and what makes it; always in the same order."""
    annotations = {
        id(inner) for node in ast.walk(function) for part in _list_annotations(node) for inner in ast.walk(part)
    }
    for node in ast.walk(function):
        if id(node) not in annotations and node is not function:
            yield from _list_changes_of(node)


def _list_annotations(node: ast.AST) -> list[ast.AST]:
    """Return the parts of a node that no call of the function evaluates, or that only a type checker reads."""
    parts = [getattr(node, name, None) for name in ("annotation", "returns")]
    parts += getattr(node, "decorator_list", [])
    if isinstance(node, ast.Assert | ast.Raise):
        parts.append(node)
    if isinstance(node, ast.arguments):
        parts += [*node.defaults, *node.kw_defaults]
    return [part for part in parts if part is not None]


def _list_changes_of(node: ast.AST) -> Iterator[tuple[Any, str, Change]]:
    match node:
        case ast.Compare():
            for place, operator in enumerate(node.ops):
                other = COMPARISONS[type(operator)]
                yield node, f"`{_name(operator)}` becomes `{_name(other())}`", _change_comparison(place, other)
        case ast.BoolOp():
            other = ast.Or if isinstance(node.op, ast.And) else ast.And
            yield node, f"`{_name(node.op)}` becomes `{_name(other())}`", _set(op=other())
        case ast.BinOp() if type(node.op) in OPERATORS:
            operation = OPERATORS[type(node.op)]
            yield node, f"`{_name(node.op)}` becomes `{_name(operation())}`", _set(op=operation())
        case ast.UnaryOp(op=ast.Not()):
            yield node, "`not` is left out", lambda node: node.operand
        case ast.Constant(value=bool()):
            yield node, f"`{node.value}` becomes `{not node.value}`", lambda node: ast.Constant(not node.value)
        case ast.Constant(value=int()):
            yield node, f"`{node.value}` becomes `{node.value + 1}`", lambda node: ast.Constant(node.value + 1)
        case ast.Call(func=ast.Name(id=name)) if name in CALLS:
            yield node.func, f"`{name}` becomes `{CALLS[name]}`", _set(id=CALLS[name])
        case ast.If() | ast.IfExp():
            yield node.test, "the condition always holds", lambda _: ast.Constant(True)
            yield node.test, "the condition never holds", lambda _: ast.Constant(False)
        case ast.comprehension():
            for test in node.ifs:
                yield test, "the condition always holds", lambda _: ast.Constant(True)
        case (
            ast.Expr(value=ast.Call() | ast.Await() | ast.Yield() | ast.YieldFrom()) | ast.AugAssign() | ast.Continue()
        ):
            yield node, "the statement is left out", lambda _: ast.Pass()


def _change_comparison(place: int, other: type[ast.cmpop]) -> Change:
    def change(node: ast.Compare) -> None:
        node.ops[place] = other()

    return change


def _set(**values: Any) -> Change:
    def change(node: ast.AST) -> None:
        for name, value in values.items():
            setattr(node, name, deepcopy(value))

    return change


def _name(operator: ast.AST) -> str:
    return type(operator).__name__


class _Replacer(ast.NodeTransformer):
    """Puts one node in the place of another."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> Any:
        return self.new if node is self.old else super().generic_visit(node)
