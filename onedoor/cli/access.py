"""Say in a terminal, or hold in a CI, who may see what, and what other rules would change."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import click

from auth.groups import EVERYONE, Groups
from auth.policy import AccessPolicy
from onedoor.audit.reader import read_records
from onedoor.audit.record import format_timestamp
from onedoor.cli.tables import JSON_OPTION, print_table
from onedoor.company import CompanySchema
from onedoor.errors import ConfigurationError, build_unknown_name_error
from onedoor.model.catalog import Catalog
from onedoor.query.access import (
    explain_access,
    format_requirements,
    list_known_coordinates,
    list_written_coordinates,
    parse_coordinate,
)
from onedoor.query.replay import (
    ChangedDecision,
    RecordedShapes,
    collect_shapes,
    find_changed_row_rules,
    find_changed_rules,
    format_row_rules,
    replay,
)
from onedoor.schema.builder import build_document, build_from_document, check_groups
from onedoor.schema.proposed_rules import build_proposed_policy, build_proposed_row_rules

NO_SHAPES = RecordedShapes(counts={}, last_times={}, skipped=0)

EXIT_REFUSED = 1


class PolicyContext(Protocol):
    """What a command that decides without a server is given."""

    def load_groups(self) -> Groups:
        """Read the company's register of groups."""
        ...

    def load_company_schema(self) -> CompanySchema:
        """Load all that its schema is made of; it needs no secret and no source."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPolicy:
    """The schema and the rules of a company's folder, without its sources."""

    catalog: Catalog
    parts: CompanySchema


def load_policy(context: PolicyContext) -> LocalPolicy:
    """Build the schema and the rules. Raises ConfigurationError."""
    parts, groups = context.load_company_schema(), context.load_groups()
    schema, policy = build_from_document(build_document(parts.modules, parts.masking_groups))
    check_groups(policy, groups)
    catalog = Catalog(
        schema=schema,
        policy=policy,
        groups=groups,
        mappings={},
        connectors={},
        cursor_secret=b"",
        version="",
    )
    return LocalPolicy(catalog=catalog, parts=parts)


@click.command("access")
@click.argument("coordinate")
@click.option("--group", "groups", multiple=True, help="A group, besides `everyone`; several may be given.")
@JSON_OPTION
@click.pass_obj
def show_access(context: PolicyContext, coordinate: str, groups: Sequence[str], as_json: bool) -> None:
    """Say whether groups may use a type, a field or an argument; where they may not, exit with 1.

    \b
    Examples:
      python -m onedoor access Customer.creditLimit --group sales
      python -m onedoor access Query.customers.where
    """
    catalog = load_policy(context).catalog
    for group in groups:
        catalog.groups.require(group)
    parsed = parse_coordinate(coordinate)
    known = {".".join(known): known for known in list_known_coordinates(catalog.schema, catalog.policy)}
    if parsed not in known.values():
        near = [name for name in known if name.startswith(f"{coordinate.split('.')[0]}.")]
        raise build_unknown_name_error("type, field or argument", coordinate, near or known)
    access = explain_access(catalog, known[coordinate], frozenset({EVERYONE, *groups}))
    if as_json:
        described = {
            "coordinate": coordinate,
            "allowed": access.allowed,
            "masked": access.masked,
            "groups": access.requirements,
            "missing": access.missing,
            "owner": access.owner,
            "contact": access.contact,
            "remedy": access.remedy,
        }
        click.echo(json.dumps(described, indent=2))
    elif access.allowed:
        click.echo(f"`{coordinate}` is open to {', '.join((EVERYONE, *groups))}{', masked' if access.masked else ''}")
    else:
        click.echo(f"`{coordinate}` is for {', and for '.join(access.missing)}; {access.remedy or 'nobody is named'}")
    if not access.allowed:
        raise SystemExit(EXIT_REFUSED)


@click.command("policy-diff")
@click.option("--from", "before", type=click.Path(path_type=Path), help="An SDL file with the rules before.")
@click.option("--to", "after", type=click.Path(path_type=Path), help="One with those after; without, the company's.")
@click.option("--records", type=click.Path(path_type=Path), help="A folder of the audit log, to replay its documents.")
@click.option("--days", default=30, show_default=True, help="How many days of the records count.")
@click.option("--check", is_flag=True, help="Exit with 1 where a rule, or with `--records` a decision, changes.")
@JSON_OPTION
@click.pass_obj
def compare_policies(
    context: PolicyContext,
    *,
    before: Path | None,
    after: Path | None,
    records: Path | None,
    days: int,
    check: bool,
    as_json: bool,
) -> None:
    """Compare two sets of rules, and replay recorded documents under both to see who is answered otherwise.

    The company's own rules stand for the file that is not given. Nothing is read but the records.

    \b
    Examples:
      python -m onedoor policy-diff --from released.graphql
      python -m onedoor policy-diff --to proposed.graphql --records records --check
    """
    if before is None and after is None:
        raise ConfigurationError("there is nothing to compare with: add `--from` or `--to` with an SDL file")
    local = load_policy(context)
    old, new = _load_rules(local, before), _load_rules(local, after)
    since = format_timestamp(datetime.now(UTC) - timedelta(days=days))
    shapes = NO_SHAPES if records is None else collect_shapes(read_records(records), since)
    result = replay(local.catalog, old, new, shapes, view=local.catalog.schema)
    rules, row_rules = _describe_changed_rules(local, old, new), _describe_changed_row_rules(local, before, after)
    decisions = [_describe_changed_decision(changed) for changed in result.changes]
    if as_json:
        counts = {"documents": result.documents, "requests": result.requests, "skipped": result.skipped}
        click.echo(json.dumps({**counts, "rules": rules, "row_rules": row_rules, "changes": decisions}, indent=2))
    else:
        _print_rows(rules, RULE_HEADERS)
        _print_rows(row_rules, ROW_RULE_HEADERS)
        _print_rows(decisions, DECISION_HEADERS)
        click.echo(
            f"{len(rules) + len(row_rules)} rules change, and {len(decisions)} decisions of {result.requests} requests"
        )
    if check and ([*rules, *row_rules] if records is None else decisions):
        raise SystemExit(EXIT_REFUSED)


def _load_rules(local: LocalPolicy, path: Path | None) -> AccessPolicy:
    """Return the rules of an SDL file, or those of the company's folder. Raises ConfigurationError."""
    if path is None:
        return local.catalog.policy
    parts, groups = local.parts, local.catalog.groups
    return build_proposed_policy(parts.modules, groups, _read_text(path), parts.masking_groups)


def _describe_changed_rules(local: LocalPolicy, old: AccessPolicy, new: AccessPolicy) -> Sequence[Mapping[str, Any]]:
    coordinates = list_written_coordinates(local.catalog.schema, local.catalog.policy)
    return [
        {
            "coordinate": ".".join(rule.coordinate),
            "weakened": rule.is_weakened,
            "before": list(format_requirements(rule.before.requirements)),
            "after": list(format_requirements(rule.after.requirements)),
            "unmasked_before": list(format_requirements(rule.before.unmasked_requirements)),
            "unmasked_after": list(format_requirements(rule.after.unmasked_requirements)),
        }
        for rule in find_changed_rules(old, new, coordinates)
    ]


def _describe_changed_row_rules(
    local: LocalPolicy, before: Path | None, after: Path | None
) -> Sequence[Mapping[str, Any]]:
    old, new = (
        build_proposed_row_rules(local.parts.row_rules, "" if path is None else _read_text(path))
        for path in (before, after)
    )
    return [
        {
            "type": rules.type,
            "weakened": rules.is_weakened,
            "before": list(format_row_rules(rules.before)),
            "after": list(format_row_rules(rules.after)),
        }
        for rules in find_changed_row_rules(old, new)
    ]


ROW_RULE_HEADERS = {"type": "rows of", "weakened": "weakened", "before": "before", "after": "after"}

RULE_HEADERS = {
    "coordinate": "rule", "weakened": "weakened", "before": "before", "after": "after",
    "unmasked_before": "unmasked before", "unmasked_after": "unmasked after",
}  # fmt: skip

DECISION_HEADERS = {
    "operation": "operation", "path": "field", "reason": "because of", "groups": "groups", "requests": "requests",
    "change": "change",
}  # fmt: skip


def _describe_changed_decision(changed: ChangedDecision) -> Mapping[str, Any]:
    opened = changed.after.decision.allowed
    denied = changed.before if opened else changed.after
    return {
        "operation": changed.shape.operation,
        "operation_hash": changed.shape.operation_hash,
        "path": denied.path,
        "coordinate": denied.coordinate,
        "reason": ".".join(denied.decision.coordinate),
        "groups": sorted(changed.shape.groups),
        "requests": changed.requests,
        "change": "opened" if opened else "closed",
    }


def _print_rows(rows: Sequence[Mapping[str, Any]], headers: Mapping[str, str]) -> None:
    if rows:
        print_table(tuple(headers.values()), ([_format_cell(row[name]) for name in headers] for row in rows))
        click.echo()


def _format_cell(value: Any) -> str:
    if isinstance(value, Iterable) and not isinstance(value, str):
        return " and ".join(value)
    return "" if value is None else str(value)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as reason:
        raise ConfigurationError(f"`{path}` cannot be read: {reason}") from reason
