"""Manage users and their groups from a terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from auth import users
from auth.attribution import Attribution
from auth.groups import USER_ADMINISTRATION
from auth.user_import import LineOutcome, import_users
from auth.users import User
from onedoor.administration.erasure import erase_person
from onedoor.cli.administration import Administrator, RegisterContext, on_record
from onedoor.cli.grants import lend_groups, parse_until
from onedoor.cli.tables import JSON_OPTION, format_minute, print_listing
from onedoor.errors import ConfigurationError
from onedoor.storage.database import MetadataDatabase

USER_COLUMNS: Mapping[str, str] = {
    "id": "person", "email": "email", "first_name": "first name", "last_name": "last name", "groups": "groups",
    "deactivated_at": "deactivated",
}  # fmt: skip

GROUPS_OPTION = click.option("--group", "groups", multiple=True, metavar="GROUP", help="A group to put them into.")


@click.group("users")
def user_commands() -> None:
    """Manage the people, and the services, that may have a key."""


@user_commands.command("create")
@click.argument("email")
@click.argument("first_name")
@click.argument("last_name")
@GROUPS_OPTION
@click.pass_obj
@on_record
def create_user_command(
    context: RegisterContext,
    administrator: Administrator,
    email: str,
    first_name: str,
    last_name: str,
    groups: Sequence[str],
) -> None:
    """Add a person; they are in the group `everyone` from the start.

    \b
    Examples:
      python -m onedoor users create ada@acme.example Ada Lovelace --reason "joined on 1 May"
      python -m onedoor users create ada@acme.example Ada Lovelace --group finance --reason "ticket 1234"
    """
    _require_registered(context, groups)

    def create(database: MetadataDatabase, attribution: Attribution) -> User:
        return users.create_user(
            database, first_name=first_name, last_name=last_name, email=email, groups=groups, attribution=attribution
        )

    user = administrator.administer(context, "users create", create)
    click.echo(f"{user.email} is person {user.id}")


@user_commands.command("create-service")
@click.argument("name")
@click.option("--owner", required=True, metavar="GROUP", help="The group that answers for it.")
@GROUPS_OPTION
@click.pass_obj
@on_record
def create_service_command(
    context: RegisterContext, administrator: Administrator, name: str, owner: str, groups: Sequence[str]
) -> None:
    """Add a service, such as a till, for which a group answers: it has groups and a key as a person has.

    \b
    Example:
      python -m onedoor users create-service till-7 --owner sales --group finance --reason "the shop in Bern"
    """
    _require_registered(context, (owner, *groups))

    def create(database: MetadataDatabase, attribution: Attribution) -> User:
        return users.create_service(database, name=name, owner_group=owner, groups=groups, attribution=attribution)

    service = administrator.administer(context, "users create-service", create)
    click.echo(f"{service.email} is service {service.id}")


@user_commands.command("list")
@click.option("--group", metavar="GROUP", help="Only those in this group.")
@JSON_OPTION
@click.pass_obj
def list_users_command(context: RegisterContext, group: str | None, as_json: bool) -> None:
    """List everyone, with the groups they are in.

    \b
    Examples:
      python -m onedoor users list
      python -m onedoor users list --group finance --json
    """
    with context.open_database() as database:
        listed = users.list_users(database, group=group)
    print_listing(map(_describe_user, listed), USER_COLUMNS, as_json=as_json)


@user_commands.command("show")
@click.argument("user", metavar="EMAIL|ID")
@JSON_OPTION
@click.pass_obj
def show_user_command(context: RegisterContext, user: str, as_json: bool) -> None:
    """Show one user: their attributes, and by what they are in which groups, since when.

    \b
    Example:
      python -m onedoor users show ada@acme.example
    """
    with context.open_database() as database:
        shown = users.load_user(database, user)
    if as_json:
        print_listing([_describe_user(shown)], {}, as_json=True)
        return
    print_listing([_describe_user(shown)], USER_COLUMNS, as_json=False)
    for name, values in shown.attributes.items():
        click.echo(f"{name} = {' '.join(values)}")
    columns = {"group": "group", "source": "source", "since": "since", "confirmed_at": "confirmed"}
    print_listing(map(asdict, shown.memberships), columns, as_json=False, format_time=format_minute)


@user_commands.command("rename")
@click.argument("user", metavar="EMAIL|ID")
@click.argument("first_name")
@click.argument("last_name")
@click.pass_obj
@on_record
def rename_user_command(
    context: RegisterContext, administrator: Administrator, user: str, first_name: str, last_name: str
) -> None:
    """Give a person another name.

    \b
    Example:
      python -m onedoor users rename ada@acme.example Ada King --reason "married"
    """

    def rename(database: MetadataDatabase, attribution: Attribution) -> None:
        users.rename_user(database, user, first_name=first_name, last_name=last_name, attribution=attribution)

    administrator.administer(context, "users rename", rename)
    click.echo(f"{user} is {first_name} {last_name}")


@user_commands.command("change-email")
@click.argument("user", metavar="EMAIL|ID")
@click.argument("email")
@click.pass_obj
@on_record
def change_email_command(context: RegisterContext, administrator: Administrator, user: str, email: str) -> None:
    """Give a person another e-mail address; their id, groups and key stay.

    \b
    Example:
      python -m onedoor users change-email ada@acme.example ada.king@acme.example --reason "married"
    """
    administrator.administer(
        context,
        "users change-email",
        lambda database, attribution: users.change_email(database, user, email, attribution),
    )
    click.echo(f"{user} is {email}")


@user_commands.command("set-attribute")
@click.argument("user", metavar="EMAIL|ID")
@click.argument("name")
@click.argument("values", metavar="[VALUE...]", nargs=-1)
@click.pass_obj
@on_record
def set_attribute_command(
    context: RegisterContext, administrator: Administrator, user: str, name: str, values: tuple[str, ...]
) -> None:
    """Set an attribute of a user, which row rules compare columns with; without values it is removed.

    \b
    Examples:
      python -m onedoor users set-attribute ada@acme.example customer 20 21 --reason "looks after both"
      python -m onedoor users set-attribute ada@acme.example customer --reason "ticket 1235"
    """
    administrator.administer(
        context,
        "users set-attribute",
        lambda database, attribution: users.set_attributes(database, user, {name: values}, attribution),
    )
    click.echo(f"{user} has {name} = {' '.join(values)}" if values else f"{user} has no {name}")


@user_commands.command("deactivate")
@click.argument("user", metavar="EMAIL|ID")
@click.pass_obj
@on_record
def deactivate_user_command(context: RegisterContext, administrator: Administrator, user: str) -> None:
    """Deactivate a user and revoke their key, within a second; what they did stays on record.

    \b
    Example:
      python -m onedoor users deactivate ada@acme.example --reason "left the company"
    """
    administrator.administer(
        context,
        "users deactivate",
        lambda database, attribution: users.deactivate_user(database, user, attribution),
    )
    click.echo(f"{user} is deactivated")


@user_commands.command("erase")
@click.argument("user", metavar="EMAIL|ID")
@click.pass_obj
@on_record
def erase_user_command(context: RegisterContext, administrator: Administrator, user: str) -> None:
    """Erase name, address and attributes of a deactivated person for ever; what they did stays under their id.

    \b
    Example:
      python -m onedoor users erase ada@acme.example --reason "she asked for it"
    """
    id = administrator.administer(
        context, "users erase", lambda database, attribution: erase_person(database, user, attribution)
    )
    click.echo(f"the name of {id} is erased")


@user_commands.command("activate")
@click.argument("user", metavar="EMAIL|ID")
@click.pass_obj
@on_record
def activate_user_command(context: RegisterContext, administrator: Administrator, user: str) -> None:
    """Activate a user again, in the groups they were in; they have no key until one is made.

    \b
    Example:
      python -m onedoor users activate ada@acme.example --reason "deactivated by mistake"
    """
    activated = administrator.administer(
        context,
        "users activate",
        lambda database, attribution: users.activate_user(database, user, attribution),
    )
    click.echo(f"{user} is active, and in {', '.join(activated.groups)}")


@user_commands.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would be changed, and change nothing.")
@JSON_OPTION
@click.pass_obj
@on_record
def import_users_command(
    context: RegisterContext, administrator: Administrator, file: Path, dry_run: bool, as_json: bool
) -> None:
    """Add people from a CSV file, or bring those there are up to date: all of its lines or none.

    Its first line names the columns: email, first_name, last_name, and if you like groups and attribute:NAME.

    \b
    Examples:
      python -m onedoor users import people.csv --dry-run --reason "the new office"
      python -m onedoor users import people.csv --reason "the new office"
    """
    text, groups = _read_csv(file), context.load_groups()
    report = administrator.administer(
        context,
        "users import",
        lambda database, attribution: import_users(database, text, groups.require, attribution, dry_run=dry_run),
    )
    columns = {"number": "line", "email": "email", "outcome": "outcome", "message": "because"}
    print_listing(map(asdict, report.lines), columns, as_json=as_json)
    refused = sum(line.outcome is LineOutcome.REFUSED for line in report.lines)
    click.echo("this is done" if report.is_applied else "nothing was changed", err=True)
    if refused:
        raise ConfigurationError(f"{refused} of {len(report.lines)} lines are refused: correct them, and import again")


@user_commands.command("bootstrap")
@click.argument("user", metavar="EMAIL|ID")
@click.pass_obj
@on_record
def bootstrap_command(context: RegisterContext, administrator: Administrator, user: str) -> None:
    """Make a person the first administrator: once, where nobody ever was one. They let in the others.

    \b
    Example:
      python -m onedoor users bootstrap ada@acme.example --reason "sets up the company"
    """
    administrator.administer(
        context,
        "users bootstrap",
        lambda database, attribution: users.bootstrap_administrator(database, user, attribution),
    )
    click.echo(f"{user} is in {USER_ADMINISTRATION}")


@click.group("groups")
def group_commands() -> None:
    """Say which functional groups a user is in; what they may see follows from these."""


@group_commands.command("list")
@JSON_OPTION
@click.pass_obj
def list_groups_command(context: RegisterContext, as_json: bool) -> None:
    """List the groups that are registered: what each is for, and who answers for it.

    \b
    Example:
      python -m onedoor groups list
    """
    groups = context.load_groups()
    listed = [
        {
            "name": group.name,
            "owner": group.owner,
            "contact": groups.contacts.get(group.owner),
            "purpose": group.purpose,
            "sensitivity": group.sensitivity,
            "from": group.directory_groups,
            "approvers": group.approvers,
            "exclusive": group.exclusive,
        }
        for group in groups
    ]
    columns = {"name": "group", "owner": "owner", "contact": "contact", "purpose": "purpose"}
    print_listing(listed, columns, as_json=as_json)


@group_commands.command("members")
@click.argument("group")
@JSON_OPTION
@click.pass_obj
def list_members_command(context: RegisterContext, group: str, as_json: bool) -> None:
    """List who is in a group, by what and since when; the deactivated are not.

    \b
    Example:
      python -m onedoor groups members finance
    """
    _require_registered(context, (group,))
    with context.open_database() as database:
        members = [user for user in users.list_users(database, group=group) if user.deactivated_at is None]
    rows = [
        {"email": user.email, "id": user.id, **asdict(membership)}
        for user in members
        for membership in user.memberships
        if membership.group == group
    ]
    columns = {"email": "email", "source": "source", "since": "since", "confirmed_at": "confirmed"}
    print_listing(rows, columns, as_json=as_json, format_time=format_minute)


@group_commands.command("history")
@click.argument("name", metavar="[EMAIL|GROUP]", required=False)
@JSON_OPTION
@click.pass_obj
def list_history_command(context: RegisterContext, name: str | None, as_json: bool) -> None:
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
    rows = [
        {
            "email": period.email,
            "group": period.group,
            "source": period.source,
            "since": period.since,
            "added_by": period.added.actor,
            "added_because": period.added.reason,
            "added_record": period.added.record_id,
            "until": period.until,
            "removed_by": period.removed.actor,
            "removed_because": period.removed.reason,
            "removed_record": period.removed.record_id,
        }
        for period in periods
    ]
    columns = {
        "email": "email", "group": "group", "source": "source", "since": "since", "added_by": "added by",
        "added_because": "because", "until": "until", "removed_by": "removed by", "removed_because": "because",
    }  # fmt: skip
    print_listing(rows, columns, as_json=as_json, format_time=format_minute)


@group_commands.command("join")
@click.argument("user", metavar="EMAIL|ID")
@click.argument("groups", metavar="GROUP...", nargs=-1, required=True)
@click.option("--until", metavar="TIME", help="When it ends, in UTC: each group is then a grant.")
@click.pass_obj
@on_record
def join_group_command(
    context: RegisterContext, administrator: Administrator, user: str, groups: Sequence[str], until: str | None
) -> None:
    """Put a user into groups; they see what these see within a second.

    \b
    Examples:
      python -m onedoor groups join ada@acme.example finance --reason "works on the year's end"
      python -m onedoor groups join ada@acme.example finance sales --reason "ticket 1234"
      python -m onedoor groups join ada@acme.example support --until 2026-12-24T18:00 --reason "stands in for Ben"
    """
    _require_registered(context, groups)
    if until is not None:
        lend_groups(context, administrator, user, groups=groups, until=parse_until(until))
        return
    administrator.administer(
        context,
        "groups join",
        lambda database, attribution: users.join_group(database, user, *groups, attribution=attribution),
    )
    click.echo(f"{user} is in {', '.join(groups)}")


@group_commands.command("leave")
@click.argument("user", metavar="EMAIL|ID")
@click.argument("groups", metavar="GROUP...", nargs=-1, required=True)
@click.pass_obj
@on_record
def leave_group_command(
    context: RegisterContext, administrator: Administrator, user: str, groups: Sequence[str]
) -> None:
    """Take a user out of groups; they stop seeing what these see within a second.

    \b
    Examples:
      python -m onedoor groups leave ada@acme.example finance --reason "the year's end is done"
      python -m onedoor groups leave ada@acme.example finance sales --reason "ticket 1235"
    """
    administrator.administer(
        context,
        "groups leave",
        lambda database, attribution: users.leave_group(database, user, *groups, attribution=attribution),
    )
    click.echo(f"{user} is no longer in {', '.join(groups)}")


def _require_registered(context: RegisterContext, groups: Sequence[str]) -> None:
    """Raise ConfigurationError, offering the nearest name, for a group that nobody registered."""
    if groups:
        registered = context.load_groups()
        for group in groups:
            registered.require(group)


def _describe_user(user: User) -> dict[str, Any]:
    return {**asdict(user), "groups": user.groups}


def _read_csv(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as reason:
        raise ConfigurationError(f"`{file}` cannot be read: it must be text in UTF-8") from reason
