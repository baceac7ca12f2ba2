"""Ask for groups for a limited time, decide on what is asked, return and report, from a terminal."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import click

from auth import users
from auth.attribution import Attribution
from auth.grant_store import GRANT_TYPE, GrantStore, find_grant, list_grants, mint_grant_id
from auth.grants import AccessRequest, Grant, GrantRefused, GrantStep, format_hours, is_forced_by_one
from auth.groups import Groups
from onedoor.audit.grant_report import GrantReport, load_grant_report
from onedoor.cli.administration import Administrator, RegisterContext, Subject, on_record
from onedoor.cli.tables import format_minute, print_table
from onedoor.errors import ConfigurationError
from onedoor.storage.database import MetadataDatabase


@click.group("grants")
def grant_commands() -> None:
    """Lend groups for a limited time: what is asked for, decided, held, returned, and done meanwhile."""


@grant_commands.command("list")
@click.argument("email", required=False)
@click.option("--all", "show_all", is_flag=True, help="Those too that are over.")
@click.pass_obj
def list_grants_command(context: RegisterContext, email: str | None, show_all: bool) -> None:
    """List the requests and grants that are open, of one person or of all.

    \b
    Examples:
      python -m onedoor grants list
      python -m onedoor grants list ada@acme.example --all
    """
    with context.open_database() as database:
        person_id = None if email is None else users.find_user_id(database, email)
        emails = {user.id: user.email for user in users.list_users(database)}
        known = list_grants(database, person_id=person_id, only_open=not show_all)
    print_table(
        ("grant", "email", "group", "state", "requested", "because", "since", "until", "ended"),
        (_format_grant(grant, emails) for grant in known),
    )


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
    id = mint_grant_id()
    with _open_store(context) as store:
        asked = _build_request(store, email, group, timedelta(hours=hours))
        _carry_out(
            context,
            administrator,
            _GrantAct(operation="grants request", id=id, verb="request"),
            lambda attribution: store.request(id, asked, _build_step(store.database, attribution)),
        )
    click.echo(f"{email} asks for {group}: grant {id} waits for an approver")


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
    _decide(context, administrator, _GrantAct(operation="grants approve", id=grant, verb="approve"), GrantStore.approve)


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
    _decide(context, administrator, _GrantAct(operation="grants deny", id=grant, verb="deny"), GrantStore.deny)


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
    _decide(context, administrator, _GrantAct(operation="grants return", id=grant, verb="return"), GrantStore.give_back)


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
    act = _GrantAct(operation="grants force-return", id=grant, verb="force-return")
    _decide(context, administrator, act, GrantStore.force_return)


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
    report = load_grant_report(context.load_administration_settings().records.folder, found.id)
    print_table(
        ("grant", "email", "group", "state", "requested", "because", "since", "until", "ended"),
        [_format_grant(found, emails)],
    )
    _print_report(report)


def lend_groups(
    context: RegisterContext, administrator: Administrator, email: str, groups: Sequence[str], until: datetime
) -> None:
    """Put a person into groups until a time: each is a grant that the administrator approves."""
    ids = {group: mint_grant_id() for group in groups}
    with _open_store(context) as store:
        duration = until - store.database.now()
        requests = {group: _build_request(store, email, group, duration) for group in groups}

        def lend(attribution: Attribution) -> None:
            step = _build_step(store.database, attribution)
            for group, asked in requests.items():
                store.lend(ids[group], asked, step)

        subjects = [Subject(type=GRANT_TYPE, id=id, verb="lend") for id in ids.values()]
        with _explaining_refusals():
            administrator.carry_out(context, "groups join", subjects, lend)
    for group, id in ids.items():
        click.echo(f"{email} is in {group} until {format_minute(until)} UTC: grant {id}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _GrantAct:
    """What a command does to a grant."""

    operation: str
    id: str
    verb: str


def _decide(
    context: RegisterContext,
    administrator: Administrator,
    act: _GrantAct,
    take: Callable[[GrantStore, str, GrantStep], Grant],
) -> None:
    """Take a step of a grant as the person whom the command names."""
    if administrator.email is None:
        raise ConfigurationError("say who decides, it is put on record: add `--as EMAIL`")
    with _open_store(context) as store:
        actor = users.find_user_id(store.database, administrator.email)
        changed = _carry_out(
            context,
            administrator,
            act,
            lambda attribution: take(store, act.id, _build_step(store.database, attribution, actor)),
        )
    click.echo(_describe_state(changed))


def _carry_out(
    context: RegisterContext,
    administrator: Administrator,
    act: _GrantAct,
    take: Callable[[Attribution], Grant],
) -> Grant:
    with _explaining_refusals():
        return administrator.carry_out(
            context, act.operation, [Subject(type=GRANT_TYPE, id=act.id, verb=act.verb)], take
        )


@contextmanager
def _open_store(context: RegisterContext) -> Iterator[GrantStore]:
    groups: Groups = context.load_groups()
    with context.open_database() as database:
        yield GrantStore(database=database, groups=groups)


@contextmanager
def _explaining_refusals() -> Iterator[None]:
    try:
        yield
    except GrantRefused as refusal:
        raise ConfigurationError(refusal.reason) from None


def _build_request(store: GrantStore, email: str, group: str, duration: timedelta) -> AccessRequest:
    store.groups.require(group)
    person_id = users.find_user_id(store.database, email)
    return AccessRequest(person_id=person_id, group=store.groups[group], duration=duration)


def _build_step(database: MetadataDatabase, attribution: Attribution, actor: str | None = None) -> GrantStep:
    return GrantStep(
        at=database.now(),
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


def _format_grant(grant: Grant, emails: dict[str, str]) -> Sequence[str]:
    over = grant.ended or (grant.decided if grant.state.name == "DENIED" else None)
    return (
        grant.id,
        emails.get(grant.person_id, grant.person_id),
        grant.group,
        grant.state,
        format_minute(grant.requested.at),
        grant.requested.reason or "",
        format_minute(grant.active_since),
        format_minute(grant.ends_at) if grant.ends_at else format_hours(grant.duration),
        format_minute(over.at if over else None),
    )


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
