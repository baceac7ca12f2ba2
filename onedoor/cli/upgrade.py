"""Upgrade a company's folder that was written for the release before: its imports, its names, its groups."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click

from onedoor.cli.new import APP
from onedoor.errors import ConfigurationError

SCHEMA, MAPPING, MUTATIONS, JOBS = "onedoor.schema", "onedoor.mapping", "onedoor.mutations", "onedoor.jobs"


def _keep(module: str, *names: str) -> Mapping[str, tuple[str, str]]:
    return {name: (module, name) for name in names}


IMPORTS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "schema.arguments": {
        **_keep(
            SCHEMA, "Argument", "BigInt", "ById", "Changed", "Computed", "History", "Json", "Looked", "Many", "One"
        ),
        "changing": (SCHEMA, "with_input"),
        "taking": (SCHEMA, "with_arguments"),
    },
    "schema.directives": _keep(SCHEMA, "allow", "owned"),
    "schema.file_inputs": _keep(SCHEMA, "CopyFile", "DeleteFile", "FileContent", "PutFile"),
    "engine.binding": {
        "Binding": (MAPPING, "TypeMapping"),
        "Link": (MAPPING, "Relationship"),
        "Lookup": (MAPPING, "Lookup"),
        "Batch": (MAPPING, "ComputedField"),
    },
    "engine.feed": {
        "Listens": (MAPPING, "TopicSubscription"),
        "Watches": (MAPPING, "PollingSubscription"),
        "Topic": (MAPPING, "Topic"),
    },
    "engine.words": {"Row": (MAPPING, "Row"), "Kind": (MUTATIONS, "ColumnType")},
    "engine.act": {
        "Action": (MUTATIONS, "Action"),
        "Act": (MUTATIONS, "ActionCall"),
        "Acted": (MUTATIONS, "ActionResult"),
    },
    "engine.errors": {"Code": (MUTATIONS, "ErrorCode"), "SourceFailed": (MUTATIONS, "ConnectorError")},
    "engine.change.named": {"named": (MUTATIONS, "parse_id_field")},
    "engine.change.declared": {
        "Before": (MUTATIONS, "StepResults"),
        "Changes": (MUTATIONS, "RowMutation"),
        "Declared": (MUTATIONS, "MutationDeclaration"),
        "From": (MUTATIONS, "InputMapper"),
        "Input": (MUTATIONS, "InputFields"),
        "Saga": (MUTATIONS, "Saga"),
        "Step": (MUTATIONS, "Step"),
        "Undo": (MUTATIONS, "Compensation"),
    },
    "engine.change.words": {
        "Change": (MUTATIONS, "RowChange"),
        "Made": (MUTATIONS, "ChangeResult"),
        "ROW_VERBS": (MUTATIONS, "TABLE_CHANGE_KINDS"),
        "Values": (MUTATIONS, "RowValues"),
        "Verb": (MUTATIONS, "ChangeKind"),
    },
    "resolvers.file_changes": {"changes": (MUTATIONS, "build_file_mutations")},
    "work.context": {"Context": (JOBS, "JobContext"), "NotAnswered": (JOBS, "JobQueryFailed")},
    "work.declared": {
        **_keep(JOBS, "Job", "Retries", "Schedule", "Script"),
        "Bounds": (JOBS, "ScriptLimits"),
        "Nothing": (JOBS, "NoInput"),
    },
    "work.kinds": _keep(JOBS, "described"),
    "work.words": {"Ended": (JOBS, "ChildResult"), "Failure": (JOBS, "JobFailed")},
}
"""By module of the release before and name in it, the facade and the name there."""

KEYWORDS: Mapping[str, Mapping[str, str]] = {
    "Argument": {"of": "type"},
    "Binding": {"links": "relationships", "batches": "computed_fields"},
    "Bounds": {},
    "Change": {"verb": "kind"},
    "Changes": {"verb": "kind"},
    "Failure": {"again": "retryable"},
    "Job": {"starts": "may_start", "sees": "may_see", "alone": "exclusive_key", "listed": "has_mutation"},
    "Link": {"here": "local", "there": "remote"},
    "Lookup": {"here": "local", "there": "remote"},
    "Retries": {"most_seconds": "max_seconds"},
    "Saga": {"stamps": "timestamp_fields"},
    "Schedule": {"person": "service_account"},
    "Script": {"bounds": "limits"},
    "SourceFailed": {"again": "retryable"},
    "Step": {"verb": "kind", "needs": "depends_on", "undo": "compensation", "when": "condition"},
}
"""By name of the release before, what its keywords are called now."""

MEMBERS: Mapping[str, Mapping[str, str]] = {"Undo": {"OPPOSITE": "INVERSE"}}

METHODS: Mapping[str, Mapping[str, str]] = {
    "Context": {
        "ask": "query",
        "caller": "load_principal",
        "cancelled": "cancel_requested",
        "desk": "engine",
        "file": "save_file",
        "part": "start_child",
        "parts": "wait_for_children",
        "progress": "report_progress",
        "told": "execute",
    },
}
"""By class of a parameter, what its methods are called now."""

MODULE_NAMES = {"BINDINGS": "MAPPINGS", "CHANGES": "MUTATIONS", "FEEDS": "SUBSCRIPTIONS"}

PRODUCT_FILES = (
    *(
        f"schema/{name}.py"
        for name in (
            "arguments", "build", "change", "check", "derived", "directives", "federation", "file_inputs", "job",
            "jobs_declared", "nodes", "order_of_fields", "print", "query", "read", "request", "rules", "scalars",
            "sdl", "upload", "version", "view",
        )
    ),
    *(f"resolvers/{name}.py" for name in ("change", "file_changes", "job", "query", "request", "upload")),
)  # fmt: skip
"""Files of the product that stood in the company's folder."""

BUILTIN_FILES = {"me": "schema/query.py", "requests": "schema/request.py", "jobs": "schema/job.py"}


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def upgrade(folder: Path) -> None:
    """Rewrite the company in FOLDER, as the release before had it, for this one. Commit it first.

    \b
    Example:
      python -m onedoor upgrade .
    """
    for line in upgrade_company(folder):
        click.echo(line)


def upgrade_company(folder: Path) -> Iterator[str]:
    """Upgrade the files of a company and yield what was done, a line each. Doing so twice changes nothing."""
    if not (folder / "schema").is_dir():
        raise ConfigurationError(f"`{folder}` is no company's folder: it has no `schema/`")
    removed = [name for name in PRODUCT_FILES if (folder / name).exists() and _is_of_product(folder / name)]
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in removed}
    written = {**_build_groups(folder), **_build_uploads(texts), **_build_settings(folder, texts), **_build_app(folder)}
    for path in _list_sources(folder):
        name = path.relative_to(folder).as_posix()
        if name not in texts:
            text = path.read_text(encoding="utf-8")
            upgraded = _strip_package(text) if path.name == "__init__.py" else upgrade_source(text, name)
            if upgraded != text:
                written[name] = upgraded
    for name in removed:
        (folder / name).unlink()
        yield f"removed {name}"
    for path in sorted((folder / "schema" / "generate").glob("*.py")):
        path.unlink()
        yield f"removed {path.relative_to(folder)}"
    for name, text in written.items():
        (folder / name).write_text(text, encoding="utf-8")
        yield f"wrote {name}"
    if not removed and not written:
        yield "nothing to do"


def _list_sources(folder: Path) -> list[Path]:
    return [path for name in ("schema", "resolvers", "jobs") for path in sorted((folder / name).glob("*.py"))]


def _is_of_product(path: Path) -> bool:
    """Say whether a file is the product's of the release before, and not the company's under the same name."""
    text = path.read_text(encoding="utf-8")
    return path.stem not in ("change", "job", "request", "query", "upload") or any(
        word in text for word in ("schema.directives", "engine.", "ChangeVerb", "schema.arguments")
    )


def upgrade_source(text: str, name: str) -> str:
    """Return a file of a company with the imports and the names of this release."""
    try:
        tree = ast.parse(text)
    except SyntaxError as reason:
        raise ConfigurationError(f"`{name}:{reason.lineno}` cannot be read: {reason.msg}") from reason
    source = SourceEdits(text=text)
    upgrader = Upgrader(source=source, in_resolvers=name.startswith("resolvers/"))
    upgrader.visit(tree)
    return source.apply()


@dataclass(slots=True, kw_only=True)
class SourceEdits:
    """Replacements in one text, by where they begin and end."""

    text: str
    edits: set[tuple[int, int, str]] = field(default_factory=set)

    def replace(self, node: ast.AST, old: str, new: str) -> None:
        """Replace `old` where a node begins."""
        start = self._offset(node.lineno, node.col_offset)  # type: ignore[attr-defined]
        if self.text.startswith(old, start):
            self.edits.add((start, start + len(old), new))

    def replace_end(self, node: ast.expr, old: str, new: str) -> None:
        """Replace `old` where a node ends."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        end = self._offset(node.end_lineno, node.end_col_offset)
        self.edits.add((end - len(old), end, new))

    def replace_node(self, node: ast.stmt, new: str) -> None:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start, end = self._offset(node.lineno, node.col_offset), self._offset(node.end_lineno, node.end_col_offset)
        self.edits.add((start, end, new))

    def apply(self) -> str:
        text = self.text
        for start, end, new in sorted(self.edits, reverse=True):
            text = text[:start] + new + text[end:]
        return text

    def _offset(self, line: int, column: int) -> int:
        """Return the place in the text of a column of the syntax tree, which counts octets of UTF-8."""
        lines = self.text.splitlines(keepends=True)
        return sum(map(len, lines[: line - 1])) + len(lines[line - 1].encode()[:column].decode())


@dataclass(slots=True, kw_only=True)
class Upgrader(ast.NodeVisitor):
    """Collects the replacements of one file."""

    source: SourceEdits
    in_resolvers: bool
    imported: dict[str, str] = field(default_factory=dict)
    """By local name, the name of the release before that it stands for."""
    renamed: dict[str, str] = field(default_factory=dict)
    """By local name, what it is called now."""
    typed: dict[str, str] = field(default_factory=dict)
    """By parameter, the class of the release before that it is annotated with."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        known = IMPORTS.get(node.module or "", {})
        places: dict[str, list[str]] = {}
        for alias in node.names:
            module, name = known.get(alias.name, (node.module or "", MODULE_NAMES.get(alias.name, alias.name)))
            if alias.name in known:
                self.imported[alias.asname or alias.name] = alias.name
            if alias.asname is None and name != alias.name:
                self.renamed[alias.name] = name
            places.setdefault(module, []).append(f"{name} as {alias.asname}" if alias.asname else name)
        if list(places) != [node.module] or self.renamed:
            indent = "\n" + " " * node.col_offset
            lines = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(places.items())]
            if known or any(name in self.renamed for name in (alias.name for alias in node.names)):
                self.source.replace_node(node, indent.join(lines))

    def visit_Name(self, node: ast.Name) -> None:
        new = self.renamed.get(node.id) or MODULE_NAMES.get(node.id)
        if new is not None:
            self.source.replace(node, node.id, new)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if self.in_resolvers and node.name == "actions" and node.col_offset == 0:
            self.source.edits.add(self._find_name(node, "actions", "build_actions"))
        for argument in (*node.args.args, *node.args.kwonlyargs):
            if isinstance(argument.annotation, ast.Name) and argument.annotation.id in self.imported:
                self.typed[argument.arg] = self.imported[argument.annotation.id]
        self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = self.imported.get(node.func.id, "") if isinstance(node.func, ast.Name) else ""
        for keyword in node.keywords:
            new = KEYWORDS.get(called, {}).get(keyword.arg or "")
            if new is not None:
                self.source.replace(keyword, keyword.arg or "", new)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.value, ast.Name):
            name = node.value.id
            members = {**MEMBERS.get(self.imported.get(name, ""), {}), **METHODS.get(self.typed.get(name, ""), {})}
            if node.attr in members:
                self.source.replace_end(node, node.attr, members[node.attr])
        self.generic_visit(node)

    def _find_name(self, node: ast.stmt, old: str, new: str) -> tuple[int, int, str]:
        start = self.source.text.index(old, self.source._offset(node.lineno, node.col_offset))
        return start, start + len(old), new


def _strip_package(text: str) -> str:
    """Return the docstring of a package alone: its list of files is not needed any more."""
    docstring = ast.get_docstring(ast.parse(text), clean=False)
    return f'"""{docstring}"""\n' if docstring else ""


def _build_groups(folder: Path) -> dict[str, str]:
    """Return groups.toml, made of the register that stood in auth/groups.py."""
    register = folder / "auth" / "groups.py"
    if (folder / "groups.toml").exists():
        return {}
    if not register.exists():
        return {"groups.toml": '# [sales]\n# purpose = "Wins customers."\n# owner = "sales"\n'}
    tree = ast.parse(register.read_text(encoding="utf-8"))
    constants = {
        node.targets[0].id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }
    sections = []
    for call in _find_calls(tree, "Group"):
        values = {str(keyword.arg): _read_text(keyword.value, constants) for keyword in call.keywords}
        purpose, owner = _quote(values["purpose"]), _quote(values["owner"])
        sections.append(f"[{values['name']}]\npurpose = {purpose}\nowner = {owner}\n")
    return {"groups.toml": "\n".join(sections)}


def _read_text(node: ast.expr, constants: Mapping[str, object]) -> str:
    return str(constants.get(node.id, "") if isinstance(node, ast.Name) else ast.literal_eval(node))


def _build_uploads(removed: Mapping[str, str]) -> dict[str, str]:
    """Return schema/upload.py, where the company had uploads: with the groups and the owner it gave them."""
    text = removed.get("schema/upload.py")
    if text is None:
        return {}
    tree = ast.parse(text)
    groups, owner = _read_strings(tree, "allow"), _read_strings(tree, "owned")
    allowed = ", ".join(map(_quote, groups)) + ("," if len(groups) == 1 else "")
    return {
        "schema/upload.py": '"""Uploads: files that are sent to their store itself."""\n\n'
        f"from {SCHEMA} import uploads\nfrom schema.file import Store\n\n"
        f"UPLOADS = uploads(stores=Store, allow=({allowed}), owner={_quote(owner[0])})\n"
    }


def _build_settings(folder: Path, removed: Mapping[str, str]) -> dict[str, str]:
    """Return onedoor.toml with the owners that built-in types had, and with exports, which were always on."""
    path = folder / "onedoor.toml"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    sections = [
        f"[schema.builtin.{name}]\nowner = {_quote(owners[0])}\n"
        for name, file in BUILTIN_FILES.items()
        if file in removed and (owners := _read_strings(ast.parse(removed[file]), "owned"))
    ]
    if "schema/job.py" in removed:
        owner = _read_strings(ast.parse(removed["schema/job.py"]), "owned", last=True)[0]
        sections.append(f"[schema.builtin.exports]\nowner = {_quote(owner)}\n")
        sections += [] if "[exports]" in text else ["[exports]\n"]
    return {"onedoor.toml": "\n".join([text, *sections] if text else sections)} if sections else {}


def _build_app(folder: Path) -> dict[str, str]:
    return {} if (folder / "app.py").exists() else {"app.py": APP}


def _read_strings(tree: ast.AST, called: str, *, last: bool = False) -> list[str]:
    """Return the texts that the first, or the last, call of a function was given."""
    calls = list(_find_calls(tree, called))
    if not calls:
        return []
    return [str(each.value) for each in calls[-1 if last else 0].args if isinstance(each, ast.Constant)]


def _find_calls(tree: ast.AST, called: str) -> Iterable[ast.Call]:
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    calls_of_name = (node for node in calls if isinstance(node.func, ast.Name) and node.func.id == called)
    return sorted(calls_of_name, key=lambda node: node.lineno)


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
