"""Manage users, groups and keys from a terminal."""

from collections.abc import Sequence
from datetime import timedelta
from difflib import get_close_matches

import click

from auth import api_keys, users
from auth.attribution import Attribution
from auth.groups import EVERYONE
from auth.key_format import DEFAULT_KEY_DAYS, mint_api_key
from auth.users import User
from onedoor.cli.administration import Administrator, RegisterContext, Subject, on_record
from onedoor.cli.grants import lend_groups, parse_until
from onedoor.cli.tables import format_day, format_minute, print_table
from onedoor.errors import ConfigurationError

DAYS_OPTION = click.option("--days", default=DEFAULT_KEY_DAYS, show_default=True, help="How long the key opens.")


REVIVING_COMMANDS = ("activate", "reactivate", "enable", "restore")
"""What others call the opposite of `deactivate`, which is not there."""


class UserCommandGroup(click.Group):
    """Refuses `activate` without an offer of its near opposite: nothing undoes a deactivation."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name. Raises ConfigurationError for `activate`, however misspelled."""
        near = get_close_matches(args[0], (*self.commands, *REVIVING_COMMANDS), 1) if args else []
        if near and near[0] in REVIVING_COMMANDS:
            raise ConfigurationError(
                f"there is no command `{args[0]}`: a deactivated person cannot come back, "
                "create them under another e-mail address"
            )
        return super().resolve_command(ctx, args)


@click.group("users", cls=UserCommandGroup)
def user_commands() -> None:
    """Manage the people who may have a key."""


@user_commands.command("create")
@click.argument("email")
@click.argument("first_name")
@click.argument("last_name")
@click.pass_obj
@on_record
def create_user_command(
    context: RegisterContext, administrator: Administrator, email: str, first_name: str, last_name: str
) -> None:
    """Add a person; they are in the group `everyone` from the start.

    \b
    Example:
      python -m onedoor users create ada@acme.example Ada Lovelace --reason "joined on 1 May"
    """
    id = users.mint_user_id()

    def create(attribution: Attribution) -> User:
        return users.create_user(
            database, first_name=first_name, last_name=last_name, email=email, id=id, attribution=attribution
        )

    with context.open_database() as database:
        subjects = [Subject(type="User", id=id, verb="create"), build_membership_subject(id, EVERYONE, "create")]
        user = administrator.carry_out(context, "users create", subjects, create)
    click.echo(f"{user.email} is person {user.id}")


@user_commands.command("list")
@click.pass_obj
def list_users_command(context: RegisterContext) -> None:
    """List everyone, with the groups they are in.

    \b
    Example:
      python -m onedoor users list
    """
    with context.open_database() as database:
        known = users.list_users(database)
    print_table(
        ("person", "email", "first name", "last name", "groups", "deactivated"),
        ((p.id, p.email, p.first_name, p.last_name, " ".join(p.groups), format_day(p.deactivated_at)) for p in known),
    )


@user_commands.command("deactivate")
@click.argument("email")
@click.pass_obj
@on_record
def deactivate_user_command(context: RegisterContext, administrator: Administrator, email: str) -> None:
    """Deactivate a person and revoke their key, within a second; what they did stays on record.

    \b
    Example:
      python -m onedoor users deactivate ada@acme.example --reason "left the company"
    """
    with context.open_database() as database:
        subject = Subject(type="User", id=users.find_user_id(database, email), verb="deactivate")
        administrator.carry_out(
            context,
            "users deactivate",
            [subject],
            lambda attribution: users.deactivate_user(database, email, attribution),
        )
    click.echo(f"{email} is deactivated")


@click.group("groups")
def group_commands() -> None:
    """Say which functional groups a user is in; what they may see follows from these."""


@group_commands.command("list")
@click.pass_obj
def list_groups_command(context: RegisterContext) -> None:
    """List the groups that are registered: what each is for, and who answers for it.

    \b
    Example:
      python -m onedoor groups list
    """
    print_table(
        ("group", "owner", "purpose"), ((group.name, group.owner, group.purpose) for group in context.load_groups())
    )


@group_commands.command("history")
@click.argument("name", metavar="[EMAIL|GROUP]", required=False)
@click.pass_obj
def list_history_command(context: RegisterContext, name: str | None) -> None:
    """List every membership there ever was, of a person, in a group or of all: since and until when, by whom and why.

    \b
    Examples:
      python -m onedoor groups history ada@acme.example
      python -m onedoor groups history finance
    """
    is_email = name is not None and "@" in name
    with context.open_database() as database:
        periods = users.list_membership_periods(
            database, user=name if is_email else None, group=None if is_email else name
        )
    print_table(
        ("email", "group", "since", "added by", "because", "until", "removed by", "because"),
        (
            (
                period.email,
                period.group,
                format_minute(period.since),
                period.added.actor or "",
                period.added.reason or "",
                format_minute(period.until),
                period.removed.actor or "",
                period.removed.reason or "",
            )
            for period in periods
        ),
    )


@group_commands.command("join")
@click.argument("email")
@click.argument("groups", metavar="GROUP...", nargs=-1, required=True)
@click.option("--until", metavar="TIME", help="When it ends, in UTC: each group is then a grant.")
@click.pass_obj
@on_record
def join_group_command(
    context: RegisterContext,
    administrator: Administrator,
    email: str,
    groups: Sequence[str],
    until: str | None,
) -> None:
    """Put a person into groups; they see what these see within a second.

    \b
    Examples:
      python -m onedoor groups join ada@acme.example finance --reason "works on the year's end"
      python -m onedoor groups join ada@acme.example finance sales --reason "ticket 1234"
      python -m onedoor groups join ada@acme.example support --until 2026-12-24T18:00 --reason "stands in for Ben"
    """
    registered = context.load_groups()
    for group in groups:
        registered.require(group)
    if until is not None:
        lend_groups(context, administrator, email, groups, parse_until(until))
        return

    def join(attribution: Attribution) -> None:
        for group in groups:
            users.join_group(database, email, group, attribution)

    with context.open_database() as database:
        id = users.find_user_id(database, email)
        subjects = [build_membership_subject(id, group, "create") for group in groups]
        administrator.carry_out(context, "groups join", subjects, join)
    click.echo(f"{email} is in {', '.join(groups)}")


@group_commands.command("leave")
@click.argument("email")
@click.argument("groups", metavar="GROUP...", nargs=-1, required=True)
@click.pass_obj
@on_record
def leave_group_command(
    context: RegisterContext, administrator: Administrator, email: str, groups: Sequence[str]
) -> None:
    """Take a person out of groups; they stop seeing what these see within a second.

    \b
    Examples:
      python -m onedoor groups leave ada@acme.example finance --reason "the year's end is done"
      python -m onedoor groups leave ada@acme.example finance sales --reason "ticket 1235"
    """

    def leave(attribution: Attribution) -> None:
        for group in groups:
            users.leave_group(database, email, group, attribution)

    with context.open_database() as database:
        id = users.find_user_id(database, email)
        subjects = [build_membership_subject(id, group, "delete") for group in groups]
        administrator.carry_out(context, "groups leave", subjects, leave)
    click.echo(f"{email} is no longer in {', '.join(groups)}")


@click.group("keys")
def key_commands() -> None:
    """Manage API keys: one for each person, whose secret is shown once and stored nowhere."""


@key_commands.command("create")
@click.argument("email")
@DAYS_OPTION
@click.pass_obj
@on_record
def create_key_command(context: RegisterContext, administrator: Administrator, email: str, days: int) -> None:
    """Make a key for a person who has none, and print it: it cannot be shown again.

    \b
    Examples:
      python -m onedoor keys create ada@acme.example --reason "her first key"
      python -m onedoor keys create ada@acme.example --days 7 --reason "on trial"
    """
    api_key = mint_api_key()
    with context.open_database() as database:
        subjects = [
            Subject(type="Key", id=api_key.id, verb="create"),
            Subject(type="User", id=users.find_user_id(database, email), verb="key"),
        ]
        issued = administrator.carry_out(
            context,
            "keys create",
            subjects,
            lambda _: api_keys.create_key(database, email, days=days, api_key=api_key),
        )
    print_issued_key(issued)


@key_commands.command("rotate")
@click.argument("user", metavar="EMAIL|ID")
@click.option("--grace-hours", default=1.0, show_default=True, help="How long the old secret lives after that.")
@click.option("--at-once", is_flag=True, help="Refuse the old secret within a second, as after a leak.")
@click.pass_obj
@on_record
def rotate_key_command(
    context: RegisterContext, administrator: Administrator, user: str, grace_hours: float, at_once: bool
) -> None:
    """Give a user's key another secret, and print it; the old one lives until the new one is first used, and a while.

    \b
    Examples:
      python -m onedoor keys rotate ada@acme.example --reason "once a quarter"
      python -m onedoor keys rotate ada@acme.example --at-once --reason "the old one was in a chat"
    """
    grace = None if at_once else timedelta(hours=grace_hours)
    with context.open_database() as database:
        key_id = api_keys.find_key_id(database, user, "rotate: create one")
        issued = administrator.carry_out(
            context,
            "keys rotate",
            [Subject(type="Key", id=key_id, verb="rotate")],
            lambda _: api_keys.rotate_key(database, user, grace=grace),
        )
    print_issued_key(issued)


@key_commands.command("extend")
@click.argument("user", metavar="EMAIL|ID")
@DAYS_OPTION
@click.pass_obj
@on_record
def extend_key_command(context: RegisterContext, administrator: Administrator, user: str, days: int) -> None:
    """Let a user's key open for so many days from now; its secret stays.

    \b
    Example:
      python -m onedoor keys extend ada@acme.example --days 90 --reason "still with us"
    """
    with context.open_database() as database:
        key_id = api_keys.find_key_id(database, user, "extend: create one")
        expires_at = administrator.carry_out(
            context,
            "keys extend",
            [Subject(type="Key", id=key_id, verb="extend")],
            lambda _: api_keys.extend_key(database, user, days=days),
        )
    click.echo(f"{key_id} opens until {format_day(expires_at)}")


@key_commands.command("revoke")
@click.argument("key", metavar="KEY_ID|EMAIL")
@click.pass_obj
@on_record
def revoke_key_command(context: RegisterContext, administrator: Administrator, key: str) -> None:
    """Revoke a key for good, within a second: by its id, which is the part after `od_`, or by its person's address.

    \b
    Examples:
      python -m onedoor keys revoke 4PpNKnMFvEXo --reason "found in a repository"
      python -m onedoor keys revoke ada@acme.example --reason "her laptop is lost"
    """
    with context.open_database() as database:
        key_id = api_keys.find_key_id(database, key, "revoke") if "@" in key else api_keys.require_key_id(database, key)
        administrator.carry_out(
            context,
            "keys revoke",
            [Subject(type="Key", id=key_id, verb="revoke")],
            lambda _: api_keys.revoke_key(database, key_id),
        )
    click.echo(f"{key_id} is revoked")


@key_commands.command("list")
@click.pass_obj
def list_keys_command(context: RegisterContext) -> None:
    """List every key there ever was, without its secret.

    \b
    Example:
      python -m onedoor keys list
    """
    with context.open_database() as database:
        held = api_keys.list_keys(database)
    print_table(
        ("key", "email", "created", "expires", "revoked"),
        ((k.id, k.email, format_day(k.created_at), format_day(k.expires_at), format_day(k.revoked_at)) for k in held),
    )


def build_membership_subject(person_id: str, group: str, verb: str) -> Subject:
    return Subject(type="Membership", id=f"{person_id}/{group}", verb=verb)


def print_issued_key(issued: api_keys.IssuedKey) -> None:
    """Print the key alone on standard output, so that it can be piped, and the rest on standard error."""
    click.echo(issued.text)
    click.echo(f"keep it now, it is not shown again; it opens until {format_day(issued.expires_at)}", err=True)
