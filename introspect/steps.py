"""What is described, what was kept and what stands in the folder in; what to write, to remove and to show out."""

import ast
import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath

from introspect.compare import changes
from introspect.files import files
from introspect.kept import Kept, digest
from introspect.names import camel
from introspect.subjects import subjects, wanted
from introspect.text import call, quoted
from introspect.words import Table, Taken, Wish

LIST = "resolvers/__init__.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What a run comes to. `write` and `remove` touch nothing that was edited by hand.

    `edited` are the paths left alone, each with the difference to be applied by hand, if there is one; `words` are
    those that the list of subjects lacks.
    """

    changes: tuple[str, ...]
    write: Mapping[str, str]
    remove: tuple[str, ...]
    edited: Mapping[str, str]
    kept: Kept
    words: tuple[str, ...]


def steps(tables: Iterable[Table], wish: Wish, before: Kept, folder: Mapping[str, str]) -> Steps:
    """`folder`: by path, the text of each file of schema/ and resolvers/ that is there now."""
    chosen = wanted(tables, wish)
    taken = beside(folder, before)
    new = files(subjects(chosen, wish, taken), wish)
    old = files(subjects(before.tables, before.wish, taken), before.wish)
    ours = {path for path in before.files if path in folder and digest(folder[path]) == before.files[path]}
    edited = {path: _difference(path, old, new) for path in folder if path in before.files and path not in ours}
    write = {path: text for path, text in new.items() if path not in edited and folder.get(path) != text}
    remove = tuple(path for path in sorted(ours) if path not in new)
    listed, lacking = subjects_list(folder.get(LIST, ""), modules(new), modules(remove))
    if listed is not None:
        write[LIST] = listed
    digests = {path: digest(text) for path, text in new.items()} | {path: before.files[path] for path in edited}
    return Steps(
        changes=changes(before.tables, chosen) if before.files else (),
        write=write,
        remove=remove,
        edited=edited,
        kept=Kept(wish=wish, tables=chosen, files=digests),
        words=lacking,
    )


def _difference(path: str, old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Between what would have been written before and what would be now: it fits what was made of the former."""
    before, now = (each.get(path, "").splitlines(keepends=True) for each in (old, new))
    return "".join(difflib.unified_diff(before, now, fromfile=path, tofile=path))


def beside(folder: Mapping[str, str], before: Kept) -> Taken:
    """The names of what stands in the folder and was not written by us."""
    types: set[str] = set()
    roots: set[str] = set()
    stems = {PurePath(path).stem for path in modules(folder) if path not in before.files}
    for path, text in folder.items():
        if path.startswith("schema/") and path.endswith(".py") and path not in before.files:
            for node in _typed(text):
                types.add(node.name)
                roots |= {*_fields(node)} if node.name == "Query" else set()
    return Taken(types=frozenset(types - {"Query"}), roots=frozenset(roots), files=frozenset(stems))


def _typed(text: str) -> Iterator[ast.ClassDef]:
    """The classes that are types of the schema."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef) and any("strawberry" in ast.unparse(each) for each in node.decorator_list):
            yield node


def _fields(node: ast.ClassDef) -> Iterator[str]:
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            yield camel(each.target.id.strip("_").split("_"))


def modules(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(each for each in paths if each.endswith(".py"))


def subjects_list(text: str, new: Iterable[str], removed: Iterable[str]) -> tuple[str | None, tuple[str, ...]]:
    """The list of subjects with the new ones and without the removed; or, where there is none, what it lacks."""
    words = sorted({PurePath(path).stem for path in new})
    gone = {PurePath(path).stem for path in removed}
    found = next((each for each in ast.parse(text).body if _lists(each)), None)
    if not isinstance(found, ast.Assign):
        return None, tuple(words)
    known = ast.literal_eval(found.value)
    wanted = [each for each in known if each not in gone] + [each for each in words if each not in known]
    if wanted == list(known):
        return None, ()
    lines = text.splitlines(keepends=True)
    made = _listed(wanted)
    return "".join([*lines[: found.lineno - 1], made, *lines[found.end_lineno :]]), ()


def _lists(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Assign) or ast.unparse(node.targets[0]) != "SUBJECTS":
        return False
    return isinstance(node.value, ast.Tuple) and all(isinstance(each, ast.Constant) for each in node.value.elts)


def _listed(names: list[str]) -> str:
    return "\n".join(call("SUBJECTS = (", [quoted(each) for each in names], 0)) + "\n"
