"""Ask for groups for a limited time, decide on what is asked, return and report, from a terminal."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from auth import users
from auth.attribution import Attribution
from auth.grant_store import GrantStore, find_grant, list_grants, mint_grant_id
from auth.grants import (
    AccessRequest,
    Grant,
    GrantRefused,
    GrantState,
    GrantStep,
    build_duration,
    format_hours,
    is_forced_by_one,
)
from onedoor.audit.grant_report import GrantReport, load_grant_report
from onedoor.cli.administration import Administrator, RegisterContext, on_record
from onedoor.cli.tables import JSON_OPTION, format_minute, print_listing, print_table
from onedoor.errors import ConfigurationError
from onedoor.storage.database import MetadataDatabase

Result = TypeVar("Result")


@click.group("grants")
def grant_commands() -> None:
    """Lend groups for a limited time: what is asked for, decided, held, returned, and done meanwhile."""


@grant_commands.command("list")
@click.argument("email", required=False)
@click.option("--all", "show_all", is_flag=True, help="Those too that are over.")
@JSON_OPTION
@click.pass_obj
def list_grants_command(context: RegisterContext, email: str | None, show_all: bool, as_json: bool) -> None:
    """List the requests and grants that are open, of one person or of all.

    \b
    Examples:
      python -m onedoor grants list
      python -m onedoor grants list ada@acme.example --all
      python -m onedoor grants list --json
    """
    with context.open_database() as database:
        person_id = None if email is None else users.find_user_id(database, email)
        emails = {user.id: user.email for user in users.list_users(database)}
        known = list_grants(database, person_id=person_id, only_open=not show_all)
    _print_grants(known, emails, as_json=as_json)


@grant_commands.command("request")
@click.argument("email")
@click.argument("group")
@click.option("--hours", type=float, default=1.0, show_default=True, help="How long it is needed.")
@click.pass_obj
@on_record
def request_access_command(
    context: RegisterContext, administrator: Administrator, email: str, group: str, hours: float
) -> None:
    """Ask for a group on behalf of a person; its approvers decide.

    \b
    Example:
      python -m onedoor grants request ada@acme.example on-call --hours 4 --reason "ticket 1234"
    """
    context.load_groups().require(group)

    def request(store: GrantStore, attribution: Attribution) -> Grant:
        asked = _build_request(store, email, group, build_duration(hours))
        return store.request(mint_grant_id(), asked, _build_step(store, attribution))

    requested = _administer(context, administrator, "grants request", request)
    click.echo(f"{email} asks for {group}: grant {requested.id} waits for an approver")


@grant_commands.command("approve")
@click.argument("grant")
@click.pass_obj
@on_record
def approve_access_command(context: RegisterContext, administrator: Administrator, grant: str) -> None:
    """Approve a request as one of its approvers, whom `--as` names.

    \b
    Example:
      python -m onedoor grants approve 4PpNKnMFvEXo --as ben@acme.example --reason "ticket 1234 needs it"
    """
    _take_step(context, administrator, grant, operation="grants approve", take=GrantStore.approve)


@grant_commands.command("deny")
@click.argument("grant")
@click.pass_obj
@on_record
def deny_access_command(context: RegisterContext, administrator: Administrator, grant: str) -> None:
    """Deny a request as one of its approvers, whom `--as` names.

    \b
    Example:
      python -m onedoor grants deny 4PpNKnMFvEXo --as ben@acme.example --reason "ask for support instead"
    """
    _take_step(context, administrator, grant, operation="grants deny", take=GrantStore.deny)


@grant_commands.command("return")
@click.argument("grant")
@click.pass_obj
@on_record
def return_access_command(context: RegisterContext, administrator: Administrator, grant: str) -> None:
    """Return a grant early, or withdraw a request, as its holder, whom `--as` names.

    \b
    Example:
      python -m onedoor grants return 4PpNKnMFvEXo --as ada@acme.example --reason "done"
    """
    _take_step(context, administrator, grant, operation="grants return", take=GrantStore.give_back)


@grant_commands.command("force-return")
@click.argument("grant")
@click.pass_obj
@on_record
def force_return_command(context: RegisterContext, administrator: Administrator, grant: str) -> None:
    """Take a grant back as one of its approvers, whom `--as` names; it ends when a second approver does so, too.

    \b
    Example:
      python -m onedoor grants force-return 4PpNKnMFvEXo --as ben@acme.example --reason "the laptop is lost"
    """
    _take_step(context, administrator, grant, operation="grants force-return", take=GrantStore.force_return)


@grant_commands.command("report")
@click.argument("grant")
@click.pass_obj
def report_command(context: RegisterContext, grant: str) -> None:
    """Show what was done under a grant: its requests, the fields they served, and what they changed.

    \b
    Example:
      python -m onedoor grants report 4PpNKnMFvEXo
    """
    with context.open_database() as database, _explaining_refusals():
        found = find_grant(database, grant)
        emails = {user.id: user.email for user in users.list_users(database)}
    report = load_grant_report(context.load_administration_settings().records_folder, found.id)
    _print_grants([found], emails, as_json=False)
    _print_report(report)


def lend_groups(
    context: RegisterContext, administrator: Administrator, email: str, *, groups: Sequence[str], until: datetime
) -> None:
    """Put a person into groups until a time: each is a grant that the administrator approves."""

    def lend(store: GrantStore, attribution: Attribution) -> Sequence[Grant]:
        duration = until - store.database.now()
        requests = {mint_grant_id(): _build_request(store, email, group, duration) for group in groups}
        return store.lend(requests, _build_step(store, attribution))

    for grant in _administer(context, administrator, "groups join", lend):
        click.echo(f"{email} is in {_describe_state(grant)}")


def _take_step(
    context: RegisterContext,
    administrator: Administrator,
    grant: str,
    *,
    operation: str,
    take: Callable[[GrantStore, str, GrantStep], Grant],
) -> None:
    """Take a step of a grant as the person whom the command names."""
    email = administrator.email
    if email is None:
        raise ConfigurationError("say who does so, it is put on record: add `--as EMAIL`")

    def take_as_named(store: GrantStore, attribution: Attribution) -> Grant:
        actor = users.find_user_id(store.database, email)
        return take(store, grant, _build_step(store, attribution, actor))

    click.echo(_describe_state(_administer(context, administrator, operation, take_as_named)))


def _administer(
    context: RegisterContext,
    administrator: Administrator,
    operation: str,
    act: Callable[[GrantStore, Attribution], Result],
) -> Result:
    """Carry an act out on record. Raises ConfigurationError."""
    groups = context.load_groups()

    def act_in_store(database: MetadataDatabase, attribution: Attribution) -> Result:
        return act(GrantStore(database=database, groups=groups), attribution)

    with _explaining_refusals():
        return administrator.administer(context, operation, act_in_store)


@contextmanager
def _explaining_refusals() -> Iterator[None]:
    try:
        yield
    except GrantRefused as refusal:
        raise ConfigurationError(refusal.reason) from None


def _build_request(store: GrantStore, email: str, group: str, duration: timedelta) -> AccessRequest:
    person_id = users.find_user_id(store.database, email)
    return AccessRequest(person_id=person_id, group=store.groups[group], duration=duration)


def _build_step(store: GrantStore, attribution: Attribution, actor: str | None = None) -> GrantStep:
    return GrantStep(
        at=store.database.now(),
        actor=actor or attribution.actor,
        reason=attribution.reason,
        record_id=attribution.record_id,
    )


def parse_until(text: str) -> datetime:
    """Parse a time, which is in UTC where no zone is named. Raises ConfigurationError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"`{text}` is no time: write it as `2026-12-24T18:00`, in UTC") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _describe_state(grant: Grant) -> str:
    if is_forced_by_one(grant):
        return f"{grant.group}: grant {grant.id} is {grant.state}, by one approver, as there is no second"
    until = f" until {format_minute(grant.ends_at)} UTC" if grant.ends_at and grant.ended is None else ""
    return f"{grant.group}: grant {grant.id} is {grant.state}{until}"


GRANT_COLUMNS = {
    "id": "grant",
    "email": "email",
    "group": "group",
    "state": "state",
    "requested_at": "requested",
    "reason": "because",
    "active_since": "since",
    "until": "until",
    "ended_at": "ended",
}


def _print_grants(known: Iterable[Grant], emails: Mapping[str, str], *, as_json: bool) -> None:
    rows = (_describe_grant(grant, emails) for grant in known)
    if not as_json:
        rows = ({**row, "until": row["ends_at"] or _format_duration(row["hours"])} for row in rows)
    print_listing(rows, GRANT_COLUMNS, as_json=as_json, format_time=format_minute)


def _describe_grant(grant: Grant, emails: Mapping[str, str]) -> dict[str, Any]:
    over = grant.ended or (grant.decided if grant.state in (GrantState.DENIED, GrantState.JOINED) else None)
    return {
        "id": grant.id,
        "email": emails.get(grant.person_id, grant.person_id),
        "group": grant.group,
        "state": grant.state,
        "requested_at": grant.requested.at,
        "reason": grant.requested.reason,
        "hours": None if grant.duration is None else grant.duration / timedelta(hours=1),
        "active_since": grant.active_since,
        "ends_at": grant.ends_at,
        "ended_at": over.at if over else None,
    }


def _format_duration(hours: float | None) -> str:
    return "for good" if hours is None else format_hours(timedelta(hours=hours))


def _print_report(report: GrantReport) -> None:
    click.echo()
    print_table(
        ("time", "record", "surface", "operation", "outcome", "rows"),
        (
            (request.time[:19], request.record_id, request.surface, request.operation or "", request.outcome,
             str(request.rows))
            for request in report.requests
        ),
    )  # fmt: skip
    click.echo()
    print_table(("field", "requests"), ((field.coordinate, str(field.request_count)) for field in report.fields))
    click.echo()
    print_table(
        ("change", "type", "verb", "state", "record"),
        (
            (made.change.id, made.change.type, made.change.verb, made.change.state, made.record_id)
            for made in report.changes
        ),
    )
