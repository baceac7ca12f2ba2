"""Plan a run from its options and the last manifest, write the files and report what changed."""

import ast
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import unquote, urlsplit

from onedoor.codegen.models import (
    ApiReadOptions,
    CodegenOptions,
    DescribedColumn,
    DescribedReference,
    DescribedTable,
    Manifest,
    ReservedNames,
    decode_manifest,
    encode_manifest,
    hash_text,
)
from onedoor.codegen.mutations import build_mutations_path, render_mutations
from onedoor.codegen.naming import split_words, to_camel_case, to_snake_case
from onedoor.codegen.render import DECLARED_FOLDER, render_files, render_inline, render_sections
from onedoor.codegen.selection import report_omissions, select_tables
from onedoor.codegen.types import GeneratedType, build_generated_types, report_transliterations
from onedoor.errors import ConfigurationError, build_unknown_name_error

API_OPTION_NAMES = ("only", "given", "base_url", "header", "host", "private")
"""The options of a run that tell how to read an API."""

SNAKE_CASE_PATTERN = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")

UNREADABLE_URL = "the URL cannot be read: in user and password `/` is written `%2F`, `@` `%40`, `:` `%3A`, `#` `%23`"


def name_source(source: str | None, url: str) -> str:
    """Return the name of a source: the one given, or that of its database. Raises ConfigurationError."""
    given = PurePath(unquote(_parse_url_path(url))).stem if source is None else source
    named = given if SNAKE_CASE_PATTERN.fullmatch(given) else to_snake_case(split_words(given))
    if source is not None and source != named:
        raise ConfigurationError(f"a source is named in snake_case: take `{named}`")
    return named


def _parse_url_path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        raise ConfigurationError(UNREADABLE_URL) from None


def build_options(
    previous: CodegenOptions,
    source: str,
    described_tables: Sequence[DescribedTable],
    *,
    allow: Sequence[str],
    owner: str | None,
    tables: Sequence[str],
    keys: Sequence[str],
    strip: str | None,
    binary: bool = False,
    api_options: ApiReadOptions | None = None,
) -> CodegenOptions:
    """Merge the options of this run over those of the last one.

    Raises ConfigurationError for a key or a column that does not exist, and if no table is left.
    """
    read = api_options or ApiReadOptions()
    _check_named_columns([name for name in read.only if name not in previous.only], described_tables)
    options = CodegenOptions(
        source=source,
        allow=tuple(dict.fromkeys(allow)) or previous.allow,
        owner=owner or previous.owner,
        tables=tuple(tables) or previous.tables,
        keys={
            **previous.keys,
            **dict(_parse_key_option(key, {table.name: table for table in described_tables}) for key in keys),
        },
        strip=previous.strip if strip is None else strip,
        only=read.only,
        given=read.given,
        base_url=read.base_url,
        headers=read.headers,
        binary=binary or previous.binary,
    )
    if not select_tables(described_tables, options):
        raise ConfigurationError(
            "there is no table to write: see to `--tables`, and to what the user of the URL may see"
        )
    return options


def _check_named_columns(names: Sequence[str], tables: Sequence[DescribedTable]) -> None:
    """Raise ConfigurationError for what is no column that looks like a secret; `--only` of an API names operations."""
    if not any(table.declared for table in tables):
        known = [f"{table.name}.{name}" for table in tables for name in table.withheld]
        for name in names:
            if name not in known:
                raise build_unknown_name_error("column that is left out as a secret", name, known)


def build_api_options(
    previous: CodegenOptions,
    *,
    only: Sequence[str],
    given: Sequence[str],
    base_url: str | None,
    header: Sequence[str],
    host: Sequence[str],
    private: bool,
) -> ApiReadOptions:
    """Merge the options of this run over those of the last one; hosts are given anew for each run."""
    return ApiReadOptions(
        only=tuple(only) or previous.only,
        given={**previous.given, **dict(map(_parse_constant, given))},
        base_url=base_url or previous.base_url,
        headers=tuple(header) or previous.headers,
        hosts=tuple(name.lower() for name in host),
        private_addresses=private,
    )


def _parse_constant(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not (name and sign and value):
        raise ConfigurationError(f"`{text}` is no constant: write `--given parameter=value`")
    return name, value


def _parse_key_option(text: str, tables: dict[str, DescribedTable]) -> tuple[str, tuple[str, ...]]:
    name, _, listed = text.partition("=")
    columns = tuple(listed.split(","))
    if name not in tables:
        raise build_unknown_name_error("table", name, tables)
    known = [column.name for column in tables[name].columns]
    for column_name in columns:
        if column_name not in known:
            raise build_unknown_name_error(f"column of `{name}`", column_name, known)
    return name, columns


def describe_changes(previous: Iterable[DescribedTable], current: Iterable[DescribedTable]) -> tuple[str, ...]:
    """List what was added (`+`), removed (`-`) and changed (`~`), by the names that the database has."""
    old, new = ({table.name: table for table in tables} for tables in (previous, current))
    return (
        *(f"+ table `{name}`" for name in new if name not in old),
        *(f"- table `{name}`" for name in old if name not in new),
        *(line for name in new if name in old for line in _compare_tables(old[name], new[name])),
    )


def _compare_tables(old: DescribedTable, new: DescribedTable) -> Iterator[str]:
    yield from _compare_members("column", new.name, index_columns(old), index_columns(new))
    yield from _compare_members("reference", new.name, index_references(old), index_references(new))
    if old.key != new.key:
        yield f"~ key of `{new.name}`: {format_value(old.key)} to {format_value(new.key)}"
    if old.declared != new.declared:
        yield f"~ settings of `{new.name}`"
    if old.comment != new.comment:
        yield f"~ comment of `{new.name}`"


def _compare_members(kind: str, table: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"+ {kind} `{table}.{name}`" for name in new if name not in old)
    yield from (f"- {kind} `{table}.{name}`" for name in old if name not in new)
    for name in new:
        if name in old and old[name] != new[name]:
            yield f"~ {kind} `{table}.{name}`: {_describe_difference(old[name], new[name])}"


def index_columns(table: DescribedTable) -> Mapping[str, DescribedColumn]:
    return {column.name: column for column in table.columns}


def index_references(table: DescribedTable) -> Mapping[str, DescribedReference]:
    return {f"{', '.join(reference.columns)} to {reference.to}": reference for reference in table.references}


def _describe_difference(old: Any, new: Any) -> str:
    """Name each member that differs with its values before and after; a comment is only named, as it is long."""
    differing = [name for name in old.__slots__ if getattr(old, name) != getattr(new, name)]
    return ", ".join(
        name
        if name == "comment"
        else f"{name} {format_value(getattr(old, name))} to {format_value(getattr(new, name))}"
        for name in differing
    )


def format_value(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case tuple():
            return "(" + ", ".join(map(str, value)) + ")" if value else "none"
        case _:
            return str(value) or "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodegenPlan:
    """What a run will do. `write` and `remove` touch nothing that was edited by hand.

    `notes` are lines about what is left out or called otherwise. `edited` are the paths left alone, each with the
    difference to apply by hand, if there is one.
    """

    notes: tuple[str, ...]
    changes: tuple[str, ...]
    write: Mapping[str, str]
    remove: tuple[str, ...]
    edited: Mapping[str, str]
    manifest: Manifest


def plan_codegen(
    tables: Sequence[DescribedTable], options: CodegenOptions, previous: Manifest, folder: Mapping[str, str]
) -> CodegenPlan:
    """Plan a run; `folder` has by path the text of each file that is in schema/ and resolvers/ now."""
    chosen = select_tables(tables, options)
    reserved = find_reserved_names(folder, previous)
    types = build_generated_types(chosen, options, reserved)
    new = _render_all_files(types, options)
    old = _render_all_files(build_generated_types(previous.tables, previous.wish, reserved), previous.wish)
    untouched = {path for path in previous.files if path in folder and hash_text(folder[path]) == previous.files[path]}
    edited = {path: _diff_texts(path, old, new) for path in folder if path in previous.files and path not in untouched}
    write = {path: text for path, text in new.items() if path not in edited and folder.get(path) != text}
    remove = tuple(path for path in sorted(untouched) if path not in new)
    digests = {path: hash_text(text) for path, text in new.items()} | {path: previous.files[path] for path in edited}
    return CodegenPlan(
        notes=(*report_transliterations(types), *report_omissions(tables, options)),
        changes=describe_changes(previous.tables, chosen) if previous.files else (),
        write=write,
        remove=remove,
        edited=edited,
        manifest=Manifest(wish=options, tables=chosen, files=digests),
    )


def _render_all_files(generated_types: Sequence[GeneratedType], options: CodegenOptions) -> dict[str, str]:
    mutations = render_mutations(generated_types, options)
    offered = {build_mutations_path(options.source): mutations} if mutations else {}
    return render_files(generated_types, options) | offered


def _diff_texts(path: str, old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Compare what the last run wrote with what this one would: the difference applies to the edited file."""
    before, now = (texts.get(path, "").splitlines(keepends=True) for texts in (old, new))
    return "".join(difflib.unified_diff(before, now, fromfile=path, tofile=path))


def find_reserved_names(folder: Mapping[str, str], previous: Manifest) -> ReservedNames:
    """Return the names of what the folder holds and no run has written."""
    types: set[str] = set()
    roots: set[str] = set()
    stems = {PurePath(path).stem for path in filter_python_paths(folder) if path not in previous.files}
    for path, text in folder.items():
        if path.startswith("schema/") and path.endswith(".py") and path not in previous.files:
            for node in _find_schema_classes(text):
                types.add(node.name)
                roots |= {*_list_field_names(node)} if node.name == "Query" else set()
    return ReservedNames(types=frozenset(types - {"Query"}), root_fields=frozenset(roots), files=frozenset(stems))


def _find_schema_classes(text: str) -> Iterator[ast.ClassDef]:
    """Yield the classes that are types of the schema."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef) and any(
            "strawberry" in ast.unparse(decorator) for decorator in node.decorator_list
        ):
            yield node


def _list_field_names(node: ast.ClassDef) -> Iterator[str]:
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield to_camel_case(statement.target.id.strip("_").split("_"))


def filter_python_paths(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(path for path in paths if path.endswith(".py"))


SOURCE_FOLDERS = ("schema", "resolvers")


def read_current_files(folder: Path) -> dict[str, str]:
    """Read by path the text of each Python file and of each file that declares collections."""
    paths = [path for source_folder in SOURCE_FOLDERS for path in sorted((folder / source_folder).glob("*.py"))]
    paths += [path for suffix in ("toml", "py") for path in sorted((folder / DECLARED_FOLDER).glob(f"*.{suffix}"))]
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def build_manifest_path(folder: Path, source: str) -> Path:
    """Return the path of the manifest of a source."""
    return folder / "schema" / "introspected" / f"{source}.json"


def load_manifest(folder: Path, source: str) -> Manifest:
    """Read the manifest of the last run, or return an empty one before the first."""
    path = build_manifest_path(folder, source)
    if not path.exists():
        return Manifest(wish=CodegenOptions(source=source))
    return decode_manifest(path.read_text(encoding="utf-8"), str(path.relative_to(folder)))


def apply_plan(folder: Path, plan: CodegenPlan) -> None:
    """Write and remove files; the manifest comes last of what is written, so that an interrupted run starts again."""
    texts: Mapping[Path, str] = {folder / path: text for path, text in plan.write.items()}
    for path, text in (
        *texts.items(),
        (build_manifest_path(folder, plan.manifest.wish.source), encode_manifest(plan.manifest)),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for removed in plan.remove:
        (folder / removed).unlink()


NUMERIC_SETTINGS = frozenset({"port", "timeout", "connections"})

COLLECTIONS_SETTING = "collections"
"""The setting of a source that declares its collections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportWording:
    """The verbs of a report: what a run does to files, or what a dry run would do."""

    write: str
    remove: str


WRITTEN_WORDING = ReportWording(write="wrote", remove="removed")

DRY_RUN_WORDING = ReportWording(write="would write", remove="would remove")


def format_report(
    plan: CodegenPlan, source: str, settings: Mapping[str, Any], is_configured: bool, wording: ReportWording
) -> Iterator[str]:
    """Yield the lines of a report: what changed, was written, removed and left alone, notes, and what is left to do."""
    yield from plan.changes
    yield from (f"{wording.write} {path}" for path in sorted(plan.write))
    yield from (f"{wording.remove} {path}" for path in plan.remove)
    for path, difference in sorted(plan.edited.items()):
        yield f"left alone, edited by hand: {path}"
        if difference:
            yield "to apply there by hand:"
            yield difference.rstrip("\n")
    if not (plan.changes or plan.write or plan.remove):
        yield "nothing changed"
    yield from plan.notes
    if not plan.manifest.wish.allow:
        yield "every type is shut: run it again with `--allow group`, or write `allow(...)` into each file of schema/"
    if build_mutations_path(source) in plan.write:
        module = build_mutations_path(source).removesuffix(".py").replace("/", ".")
        yield (
            f"mutations are offered, and take no part until a module of schema/ has `from {module} import TYPES`, one"
            f" of resolvers/ `from {module} import MUTATIONS`, and the source `writable = true`"
        )
    section = format_source_section(source, select_collections(plan, settings))
    if not is_configured:
        yield f"add to onedoor.toml:\n\n{section}"
    elif plan.changes and COLLECTIONS_SETTING in settings:
        yield f"put in place of what is in onedoor.toml:\n\n{section}"


def select_collections(plan: CodegenPlan, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings with only those declared collections that are written."""
    if COLLECTIONS_SETTING not in settings:
        return settings
    names = {table.name for table in plan.manifest.tables}
    return {
        **settings,
        COLLECTIONS_SETTING: {
            name: collection for name, collection in settings[COLLECTIONS_SETTING].items() if name in names
        },
    }


def format_source_section(source: str, settings: Mapping[str, Any]) -> str:
    """Format the source's section of the settings; a secret is named by an environment variable."""
    if COLLECTIONS_SETTING in settings:
        place = settings.get("url") or {"env": f"{source.upper()}_URL"}
        return "\n".join(render_sections(f"sources.{source}", {**settings, "url": place}))
    lines = [
        f"[sources.{source}]",
        *(f"{name} = {_format_setting(source, name, value)}" for name, value in settings.items()),
    ]
    return "\n".join(lines)


def _format_setting(source: str, name: str, value: str | bool) -> str:
    if isinstance(value, bool):
        return render_inline(value)
    if name.startswith("headers."):
        return f'{{ env = "{source.upper()}_{name.removeprefix("headers.").upper().replace("-", "_")}" }}'
    if name == "password" or (name == "url" and "@" in value and ":" in value.partition("://")[2].partition("@")[0]):
        return f'{{ env = "{source.upper()}_{name.upper()}" }}'
    return value if name in NUMERIC_SETTINGS else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
