"""People, groups and keys from a terminal: what an operator types in, what was done out."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

import click

from auth import keyring
from auth import people as register
from auth.groups import GROUPS
from auth.keys import DEFAULT_DAYS
from auth.state import State

DAYS = click.option("--days", default=DEFAULT_DAYS, show_default=True, help="How long the key opens.")


class House(Protocol):
    """What the terminal hands each command."""

    def state(self) -> AbstractContextManager[State]:
        """The state the settings name, open for one command."""
        ...


@click.group()
def people() -> None:
    """Who may have a key."""


@people.command("create")
@click.argument("email")
@click.argument("first_name")
@click.argument("last_name")
@click.pass_obj
def create_person(house: House, email: str, first_name: str, last_name: str) -> None:
    """Add a person; they are in the group `everyone` from the start.

    \b
    Example:
      python cli.py people create ada@acme.example Ada Lovelace
    """
    with house.state() as state:
        made = register.create(state, first_name=first_name, last_name=last_name, email=email)
    click.echo(f"{made.email} is person {made.id}")


@people.command("list")
@click.pass_obj
def list_people(house: House) -> None:
    """Everyone, with the groups they are in.

    \b
    Example:
      python cli.py people list
    """
    with house.state() as state:
        known = register.listed(state)
    show(
        ("person", "email", "first name", "last name", "groups", "deactivated"),
        ((p.id, p.email, p.first_name, p.last_name, " ".join(p.groups), day(p.deactivated_at)) for p in known),
    )


@people.command("deactivate")
@click.argument("email")
@click.pass_obj
def deactivate_person(house: House, email: str) -> None:
    """Shut a person out and revoke their key, within a second; what they did stays on record.

    \b
    Example:
      python cli.py people deactivate ada@acme.example
    """
    with house.state() as state:
        register.deactivate(state, email)
    click.echo(f"{email} is deactivated")


@click.group()
def groups() -> None:
    """What a person sees follows from the functional groups they are in."""


@groups.command("list")
def list_groups() -> None:
    """The register of groups: what each is for, and who answers for it.

    \b
    Example:
      python cli.py groups list
    """
    show(("group", "owner", "purpose"), ((group.name, group.owner, group.purpose) for group in GROUPS))


@groups.command("join")
@click.argument("email")
@click.argument("group")
@click.pass_obj
def join_group(house: House, email: str, group: str) -> None:
    """Put a person into a group; they see what it sees within a second.

    \b
    Example:
      python cli.py groups join ada@acme.example finance
    """
    with house.state() as state:
        register.join(state, email, group)
    click.echo(f"{email} is in {group}")


@groups.command("leave")
@click.argument("email")
@click.argument("group")
@click.pass_obj
def leave_group(house: House, email: str, group: str) -> None:
    """Take a person out of a group; they stop seeing what it sees within a second.

    \b
    Example:
      python cli.py groups leave ada@acme.example finance
    """
    with house.state() as state:
        register.leave(state, email, group)
    click.echo(f"{email} is no longer in {group}")


@click.group()
def keys() -> None:
    """One key per person; its secret is shown once and kept nowhere."""


@keys.command("create")
@click.argument("email")
@DAYS
@click.pass_obj
def create_key(house: House, email: str, days: int) -> None:
    """Make a key for a person who has none, and print it: it cannot be shown again.

    \b
    Examples:
      python cli.py keys create ada@acme.example
      python cli.py keys create ada@acme.example --days 7
    """
    with house.state() as state:
        hand_over(keyring.create(state, email, days=days))


@keys.command("rotate")
@click.argument("email")
@DAYS
@click.pass_obj
def rotate_key(house: House, email: str, days: int) -> None:
    """Make a new key in place of a person's old one, which stops opening within a second, and print it.

    \b
    Example:
      python cli.py keys rotate ada@acme.example
    """
    with house.state() as state:
        hand_over(keyring.rotate(state, email, days=days))


@keys.command("revoke")
@click.argument("key_id")
@click.pass_obj
def revoke_key(house: House, key_id: str) -> None:
    """Shut a key for good, within a second. Its id is the part after `od_`; `keys list` shows it.

    \b
    Example:
      python cli.py keys revoke 4PpNKnMFvEXo
    """
    with house.state() as state:
        keyring.revoke(state, key_id)
    click.echo(f"{key_id} is revoked")


@keys.command("list")
@click.pass_obj
def list_keys(house: House) -> None:
    """Every key there ever was, without its secret.

    \b
    Example:
      python cli.py keys list
    """
    with house.state() as state:
        held = keyring.listed(state)
    show(
        ("key", "email", "created", "expires", "revoked"),
        ((k.id, k.email, day(k.created_at), day(k.expires_at), day(k.revoked_at)) for k in held),
    )


def hand_over(issued: keyring.Issued) -> None:
    """The key alone on standard output, so that it can be piped; what there is to say of it on standard error."""
    click.echo(issued.text)
    click.echo(f"keep it now, it is not shown again; it opens until {day(issued.expires_at)}", err=True)


def show(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Rows under their heads, each column as wide as its widest value."""
    lines = [heads, *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(heads))]
    for line in lines:
        click.echo("  ".join(f"{value:{width}}" for value, width in zip(line, widths, strict=True)).rstrip())


def day(moment: datetime | None) -> str:
    """The day of a time, in UTC; nothing where there is none."""
    return "" if moment is None else f"{moment:%Y-%m-%d}"
