"""Write the tables of docs/ from the schema, the sources, the settings and the error codes."""

import ast
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from auth.groups import EVERYONE
from auth.policy import decide
from onedoor.administration.actions import ACTS
from onedoor.administration.grants import GRANT_ACTS
from onedoor.config import SECRET_SUFFIXES, SECTIONS, STATE_DEFAULTS
from onedoor.connectors.registry import CONNECTORS, load_kind
from onedoor.connectors.snowflake.tables import list_snowflake_operators
from onedoor.connectors.sql.tables import AGGREGATES_BY_TYPE as MEASURES
from onedoor.connectors.sql.tables import list_sql_operators
from onedoor.errors import ErrorCode
from onedoor.mutations.declarations import MutationDeclaration, RowMutation
from onedoor.spi.capabilities import Capabilities, ColumnType
from onedoor.spi.predicates import Op
from onedoor.spi.scan import AggregateFunction, TimeUnit
from tests.acme import GROUPS, load_mappings, load_mutations, load_schema_and_policy
from tests.docs.capabilities import demo_promises
from tests.docs.codes import CODES

MARK = "<!-- written by `make docs` from here on -->"
KIND_NAMES = {
    str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path",
    Mapping[str, Any]: "section",
}  # fmt: skip
MEANINGS: Mapping[str, str] = {
    "server.host": "The address to listen on.",
    "server.port": "The port to listen on.",
    "server.introspection": "What introspection shows: the `full` schema to everyone, or to each their `own` view.",
    "server.origins": "The web pages that may call from a browser, each as `https://host` or `https://host:port`.",
    "state.url": "The database of users and keys: `sqlite:///path`, or `postgresql://...` from the environment.",
    "state.pepper": "The secret that keys the digests of keys, cursors and recorded values; 32 characters or more.",
}
"""The descriptions of settings that have none where they are declared."""


def permissions() -> str:
    _, rules = load_schema_and_policy()
    names = [group.name for group in GROUPS]
    rows = []
    for kind in ("Query", "Mutation", "Subscription", *load_mappings()):
        for position in (
            requirement for requirement in rules.requirements if requirement[0] == kind and len(requirement) == 2
        ):
            seen = (decide(rules, position, frozenset({EVERYONE, name})).allowed for name in names)
            marks = ("yes" if item else "" for item in seen)
            rows.append((f"`{'.'.join(position)}`", *marks, rules.owners.get(position, "")))
    owners = table(("owner", "contact"), sorted(GROUPS.contacts.items()))
    return f"{owners}\n\n{table(('field', *names, 'owner'), rows)}"


BUILTIN_CHANGES: Mapping[str, str] = {
    "cancelJob": "ends a job",
    "fileUpload": "nothing until the file arrives at its store",
    **dict.fromkeys(ACTS, "users, memberships and keys"),
    **dict.fromkeys(GRANT_ACTS, "grants"),
}
"""By mutation without a source, what it changes; every other one starts a job."""


def mutations() -> str:
    schema, rules = load_schema_and_policy()
    assert schema.mutation_type is not None
    changes = {declared.field: "; ".join(describe_changes(declared)) for declared in load_mutations()}
    builtin = {name: BUILTIN_CHANGES.get(name, "starts a job") for name in schema.mutation_type.fields}
    rows = []
    for name, change in {**changes, **builtin, **changes}.items():
        coordinate = ("Mutation", name)
        may = [group.name for group in GROUPS if decide(rules, coordinate, frozenset({EVERYONE, group.name})).allowed]
        may = [EVERYONE] if EVERYONE in may else may
        description = schema.mutation_type.fields[name].description or ""
        rows.append((f"`{name}`", description, ", ".join(may), change, rules.owners.get(coordinate, "")))
    return table(("mutation", "what it does", "who may", "what it changes", "owner"), rows)


def describe_changes(of: MutationDeclaration) -> Iterator[str]:
    """Yield the change that each source receives, in order."""
    if isinstance(of, RowMutation):
        binding = load_mappings()[of.type]
        yield f"{of.kind} `{binding.source}.{binding.collection}`"
    else:
        yield from (f"{step.kind} `{step.source}.{step.collection}`" for step in of.steps)


def sources() -> str:
    parts = [
        "## What is pushed down to each collection",
        table(("source", "collection", "keys", "filters", "sort", "limit", "aggregates"), list(promises())),
        "## Aggregates that are pushed down, by kind of column",
        table(("kind", "sqlite, postgresql, mysql", "snowflake"), list(computed())),
        "Counts of rows are pushed down wherever aggregates are. A sum of floats depends on the order in "
        "which they are added, so Onedoor computes it.",
        "## Filters that are pushed down, by kind of column",
        table(("kind", "sqlite", "postgresql, mysql", "snowflake"), list(operators())),
        "`s3`, `folder`, `slack`, `azure_files`, `azure_blob`, `journal` and `caller` take no filters but the"
        " arguments of reading files; for `prometheus`, `datadog` and `drive` see their pages. Columns that a"
        " database stores in a form of its own (a uuid, decimals of a SQLite file) take fewer.",
        "## Settings of each kind",
        *(part for kind in CONNECTORS for part in kind_settings(kind)),
    ]
    return "\n\n".join(parts)


def promises() -> Iterator[tuple[str, ...]]:
    for source, collections in demo_promises().items():
        for name, can in collections.items():
            yield source, name, keys(can), filters(can), order(can), limit(can), measures(can)


def keys(can: Capabilities) -> str:
    if not can.max_keys:
        return ""
    by = " or ".join(", ".join(key_column) for key_column in sorted(can.key_columns)) or "any columns"
    must = f"; always by {', '.join(can.required_columns)}" if can.required_columns else ""
    return f"{can.max_keys} at once by {by}{must}"


def filters(can: Capabilities) -> str:
    taken = [name for name, column in can.columns.items() if column.filters]
    if not taken:
        return ""
    parts = ["every column" if len(taken) == len(can.columns) else ", ".join(taken)]
    parts += ["and, or, not"] if can.boolean_filters else []
    parts += ["relationships inside the source"] if can.exists_filters else []
    parts += ["joins inside the source"] if can.joins else []
    parts += [f"{can.max_in_filter_keys} keys"] if can.max_in_filter_keys else []
    return "; ".join(parts)


def order(can: Capabilities) -> str:
    taken = [name for name, column in can.columns.items() if column.sortable]
    return "every column" if len(taken) == len(can.columns) else ", ".join(taken)


def limit(can: Capabilities) -> str:
    return ", ".join(name for name, takes in (("all", can.limit), ("per key", can.limit_per_key)) if takes)


def measures(can: Capabilities) -> str:
    parts = ["yes"] if can.aggregates else []
    parts += ["by units of time"] if can.time_buckets >= frozenset(TimeUnit) else sorted(can.time_buckets)
    parts += ["having, sort, limit"] if can.group_ordering_and_limit else []
    return "; ".join(parts)


def computed() -> Iterator[tuple[str, ...]]:
    for kind in ColumnType:
        stored = frozenset() if kind is ColumnType.LIST else MEASURES[kind]
        yield (
            kind,
            *(" ".join(item for item in AggregateFunction if item in taken) for taken in (MEASURES[kind], stored)),
        )


def operators() -> Iterator[tuple[str, ...]]:
    for kind in ColumnType:
        taken = (list_sql_operators(kind, folds_case=True), list_sql_operators(kind, folds_case=False))
        stored = frozenset() if kind is ColumnType.LIST else list_snowflake_operators(kind)
        yield kind, *(" ".join(op for op in Op if op in item) for item in (*taken, stored))


def kind_settings(kind: str) -> Iterator[str]:
    options = load_kind(kind).options
    yield f'### `kind = "{kind}"`'
    yield inspect.cleandoc(options.__doc__ or "")
    yield table(("setting", "type", "default"), [(f"`{name}`", of, default) for name, of, default in declared(options)])


def settings() -> str:
    parts = []
    for section, of in list_sections(SECTIONS):
        result = docstrings(of)
        given = STATE_DEFAULTS if section == "state" else {}
        rows = [
            (f"`{name}`", kind, format_value(given[name]) if name in given else default, meaning(section, name, result))
            for name, kind, default in declared(of)
        ]
        parts += [f"## [{section}]", table(("setting", "type", "default", "what it is"), rows)]
    return "\n\n".join(parts)


def list_sections(sections: Mapping[str, type]) -> Iterator[tuple[str, type]]:
    """Yield each section by its name, and the sections in it."""
    for name, of in sections.items():
        yield name, of
        nested = {
            f"{field}.NAME" if get_origin(kind) is Mapping else field: find_section(kind)
            for field, kind in get_type_hints(of).items()
        }
        yield from list_sections({f"{name}.{field}": kind for field, kind in nested.items() if kind is not None})


def find_section(kind: Any) -> type | None:
    """Return the dataclass of a setting that is a section, if it is one."""
    return next((argument for argument in get_args(kind) if is_dataclass(argument)), None)


def declared(of: Any) -> Iterator[tuple[str, str, str]]:
    """Yield name, type and default of each setting; sections are told by themselves."""
    types = get_type_hints(of)
    for field in fields(of):
        if find_section(types[field.name]) is not None:
            continue
        secret = field.name.endswith(SECRET_SUFFIXES)
        missing = "must be given" + (', as `{ env = "NAME" }`' if secret else "")
        yield field.name, typed(types[field.name]), missing if field.default is MISSING else format_value(field.default)


def typed(of: Any) -> str:
    kinds = [argument for argument in get_args(of) if argument is not NoneType] if NoneType in get_args(of) else [of]
    if get_args(kinds[0]) == (str, ...):
        return "list of texts"
    if kinds[0] in KIND_NAMES:
        return KIND_NAMES[kinds[0]]
    return " or ".join(f"`{kind}`" for kind in kinds[0])


def format_value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return f'`{{ env = "{value["env"]}" }}`'
    return f"`{list(value) if isinstance(value, tuple) else value}`"


def meaning(section: str, name: str, descriptions: Mapping[str, str]) -> str:
    return descriptions.get(name) or MEANINGS.get(f"{section}.{name}", "")


def docstrings(of: type) -> dict[str, str]:
    """Return the text under each field of a dataclass, by field."""
    body = ast.parse(inspect.getsource(of)).body[0].body  # type: ignore[attr-defined]
    return {
        one.target.id: " ".join(ast.literal_eval(two.value).split())
        for one, two in pairwise(body)
        if isinstance(one, ast.AnnAssign) and isinstance(two, ast.Expr)
    }


def errors() -> str:
    parts = []
    for code in ErrorCode:
        result = CODES[code]
        parts += [f"## {code}", result.when]
        facts = [f"- status: {result.statuses[0]}; as `application/graphql-response+json`: {result.statuses[1]}"]
        facts += [f"- what to do: {result.remedy}"]
        facts += [f"- beside `code`: {result.extensions}"] if result.extensions else []
        facts += [f"- for example: `{result.query}`"] if result.query else []
        parts.append("\n".join(facts))
    return "\n\n".join(parts)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |".replace("  ", " ") for line in lines)


GENERATED: Mapping[str, Callable[[], str]] = {
    "permissions.md": permissions,
    "changes.md": mutations,
    "sources.md": sources,
    "errors.md": errors,
    "settings.md": settings,
}
