"""Manage API keys from a terminal."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import click

from auth import api_keys
from auth.key_format import DEFAULT_KEY_DAYS
from onedoor.cli.administration import AdministrationContext, Administrator, on_record
from onedoor.cli.tables import JSON_OPTION, format_day, print_listing

DAYS_OPTION = click.option("--days", default=DEFAULT_KEY_DAYS, show_default=True, help="How long the key opens.")

KEY_COLUMNS: Mapping[str, str] = {
    "id": "key", "email": "email", "created_at": "created", "expires_at": "expires", "used_at": "used",
    "revoked_at": "revoked",
}  # fmt: skip


@click.group("keys")
def key_commands() -> None:
    """Manage API keys: one for each user, whose secret is shown once and stored nowhere."""


@key_commands.command("create")
@click.argument("user", metavar="EMAIL|ID")
@DAYS_OPTION
@click.pass_obj
@on_record
def create_key_command(context: AdministrationContext, administrator: Administrator, user: str, days: int) -> None:
    """Make a key for a user who has none, and print it: it cannot be shown again.

    \b
    Examples:
      python -m onedoor keys create ada@acme.example --reason "her first key"
      python -m onedoor keys create ada@acme.example --days 7 --reason "on trial"
    """
    issued = administrator.administer(
        context,
        "keys create",
        lambda database, attribution: api_keys.create_key(database, user, days=days, attribution=attribution),
    )
    print_issued_key(issued)


@key_commands.command("rotate")
@click.argument("user", metavar="EMAIL|ID")
@click.option("--grace-hours", default=1.0, show_default=True, help="How long the old secret lives after that.")
@click.option("--at-once", is_flag=True, help="Refuse the old secret within a second, as after a leak.")
@click.pass_obj
@on_record
def rotate_key_command(
    context: AdministrationContext, administrator: Administrator, user: str, grace_hours: float, at_once: bool
) -> None:
    """Give a user's key another secret, and print it; the old one lives until the new one is first used, and a while.

    \b
    Examples:
      python -m onedoor keys rotate ada@acme.example --reason "once a quarter"
      python -m onedoor keys rotate ada@acme.example --at-once --reason "the old one was in a chat"
    """
    grace = None if at_once else timedelta(hours=grace_hours)
    issued = administrator.administer(
        context,
        "keys rotate",
        lambda database, attribution: api_keys.rotate_key(database, user, grace=grace, attribution=attribution),
    )
    print_issued_key(issued)


@key_commands.command("extend")
@click.argument("user", metavar="EMAIL|ID")
@DAYS_OPTION
@click.pass_obj
@on_record
def extend_key_command(context: AdministrationContext, administrator: Administrator, user: str, days: int) -> None:
    """Let a user's key open for so many days from now; its secret stays.

    \b
    Example:
      python -m onedoor keys extend ada@acme.example --days 90 --reason "still with us"
    """
    expires_at = administrator.administer(
        context,
        "keys extend",
        lambda database, attribution: api_keys.extend_key(database, user, days=days, attribution=attribution),
    )
    click.echo(f"the key of {user} opens until {format_day(expires_at)}")


@key_commands.command("revoke")
@click.argument("key", metavar="KEY_ID|EMAIL|ID")
@click.pass_obj
@on_record
def revoke_key_command(context: AdministrationContext, administrator: Administrator, key: str) -> None:
    """Revoke a key for good, within a second: by its id, which is the part after `od_`, or by its user.

    \b
    Examples:
      python -m onedoor keys revoke 4PpNKnMFvEXo --reason "found in a repository"
      python -m onedoor keys revoke ada@acme.example --reason "her laptop is lost"
    """
    with context.open_database() as database:
        key_id = api_keys.resolve_key_id(database, key)
    administrator.administer(
        context, "keys revoke", lambda database, attribution: api_keys.revoke_key(database, key_id, attribution)
    )
    click.echo(f"{key_id} is revoked")


@key_commands.command("list")
@click.argument("user", metavar="[EMAIL|ID]", required=False)
@click.option("--expiring", type=click.IntRange(1), metavar="DAYS", help="Only valid keys that expire within so long.")
@JSON_OPTION
@click.pass_obj
def list_keys_command(context: AdministrationContext, user: str | None, expiring: int | None, as_json: bool) -> None:
    """List every key there ever was, or a user's, or those about to expire, without their secrets.

    \b
    Examples:
      python -m onedoor keys list
      python -m onedoor keys list ada@acme.example
      python -m onedoor keys list --expiring 30 --json
    """
    with context.open_database() as database:
        before = None if expiring is None else database.now() + timedelta(days=expiring)
        listed = api_keys.list_keys(database, user=user, expiring_before=before)
    rows: list[dict[str, Any]] = [asdict(key) for key in listed]
    print_listing(rows, KEY_COLUMNS, as_json=as_json)


def print_issued_key(issued: api_keys.IssuedKey) -> None:
    """Print the key alone on standard output, so that it can be piped, and the rest on standard error."""
    click.echo(issued.text)
    click.echo(f"keep it now, it is not shown again; it opens until {format_day(issued.expires_at)}", err=True)
