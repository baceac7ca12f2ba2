"""Show what the syncs of directories did from a terminal, decide about halted ones, and hand people over to them."""

from dataclasses import asdict

import click

from auth.attribution import Attribution
from auth.directory import claims, people, reports
from auth.memberships import IdentitySource
from auth.users import find_user_id
from onedoor.cli.administration import AdministrationContext, Administrator, Subject, on_record
from onedoor.cli.tables import JSON_OPTION, format_minute, print_listing

DIRECTORY_SOURCES = [source.value for source in IdentitySource if source is not IdentitySource.LOCAL]


@click.group("directory")
def directory_commands() -> None:
    """Follow the company's directory: what its syncs did, and what waits for a decision."""


@directory_commands.command("syncs")
@JSON_OPTION
@click.pass_obj
def list_syncs_command(context: AdministrationContext, as_json: bool) -> None:
    """List the last syncs, the newest first, with how many changes of each kind there were.

    \b
    Examples:
      python -m onedoor directory syncs
      python -m onedoor directory syncs --json
    """
    with context.open_database() as database:
        syncs = reports.list_syncs(database)
    columns = {"id": "sync", "source": "source", "started_at": "started", "ended_at": "ended", "state": "state"}
    if as_json:
        counts = ({str(kind): count for kind, count in sync.counts.items()} for sync in syncs)
        listed = ({**asdict(sync), "counts": counted} for sync, counted in zip(syncs, counts, strict=True))
        print_listing(listed, columns, as_json=True)
        return
    rows = ({**asdict(sync), "changes": _summarize(sync)} for sync in syncs)
    print_listing(rows, {**columns, "changes": "changes"}, as_json=False, format_time=format_minute)


def _summarize(sync: reports.SyncReport) -> str:
    return sync.failure or " ".join(f"{kind.lower()}:{count}" for kind, count in sorted(sync.counts.items()))


@directory_commands.command("changes")
@click.argument("sync")
@JSON_OPTION
@click.pass_obj
def list_sync_changes_command(context: AdministrationContext, sync: str, as_json: bool) -> None:
    """List what one sync brought, changed and was refused.

    \b
    Examples:
      python -m onedoor directory changes 4PpNKnMFvEXo
      python -m onedoor directory changes 4PpNKnMFvEXo --json
    """
    with context.open_database() as database:
        changes = reports.list_sync_changes(database, sync)
    columns = {"at": "at", "kind": "what", "subject": "who", "group": "group", "detail": "detail"}
    print_listing(map(asdict, changes), columns, as_json=as_json, format_time=format_minute)


@directory_commands.command("approve")
@click.argument("sync")
@click.pass_obj
@on_record
def approve_sync_command(context: AdministrationContext, administrator: Administrator, sync: str) -> None:
    """Let the directory remove the people who wait in a halted sync, when it asks again, within three days.

    \b
    Example:
      python -m onedoor directory approve 4PpNKnMFvEXo --reason "the branch is closed, ticket 1236"
    """
    _decide(context, administrator, sync, approve=True)


@directory_commands.command("dismiss")
@click.argument("sync")
@click.pass_obj
@on_record
def dismiss_sync_command(context: AdministrationContext, administrator: Administrator, sync: str) -> None:
    """Keep the people who wait in a halted sync, once the directory is put right; it may remove people again.

    \b
    Example:
      python -m onedoor directory dismiss 4PpNKnMFvEXo --reason "a filter was wrong, ticket 1237"
    """
    _decide(context, administrator, sync, approve=False)


def _decide(context: AdministrationContext, administrator: Administrator, sync: str, *, approve: bool) -> None:
    verb = "approve" if approve else "dismiss"

    def decide(attribution: Attribution) -> tuple[str, ...]:
        return tuple(reports.decide_halted_sync(database, sync, approve=approve, attribution=attribution))

    with context.open_database() as database:
        subjects = [Subject(type="DirectorySync", id=sync, verb=verb)]
        waiting = administrator.carry_out(context, f"directory {verb}", subjects, decide)
    for email in waiting:
        click.echo(email)
    click.echo("these may now be removed" if approve else "these stay", err=True)


@directory_commands.command("claims")
@JSON_OPTION
@click.pass_obj
@on_record
def list_claims_command(context: AdministrationContext, administrator: Administrator, as_json: bool) -> None:
    """Print the address and the link of everybody who has not claimed their key yet: whoever has a link has the key.

    \b
    Examples:
      python -m onedoor directory claims --reason "the people who came today"
      python -m onedoor directory claims --json --reason "sent every hour"
    """
    address = context.load_administration_settings().directory_address
    with context.open_database() as database:
        waiting = claims.list_claims(database)
        subjects = [Subject(type="KeyClaim", id=claim.id, verb="show") for claim in waiting]
        administrator.carry_out(context, "directory claims", subjects, lambda _: None)
    links = [
        {"email": claim.email, "link": claims.build_link(address, claim), "expires_at": claim.expires_at}
        for claim in waiting
    ]
    if as_json:
        print_listing(links, {}, as_json=True)
    for link in () if as_json else links:
        click.echo(f"{link['email']} {link['link']}")


@directory_commands.command("claim")
@click.argument("email")
@click.pass_obj
@on_record
def create_claim_command(context: AdministrationContext, administrator: Administrator, email: str) -> None:
    """Make a link by which a person gets their key, print it, and end the one before.

    \b
    Example:
      python -m onedoor directory claim ada@acme.example --reason "she lost the first"
    """
    address = context.load_administration_settings().directory_address
    with context.open_database() as database:
        subjects = [Subject(type="User", id=find_user_id(database, email), verb="claim")]
        claim = administrator.carry_out(
            context,
            "directory claim",
            subjects,
            lambda attribution: claims.replace_claim(database, email, attribution),
        )
    click.echo(claims.build_link(address, claim))


@directory_commands.command("adopt")
@click.argument("email")
@click.option("--source", type=click.Choice(DIRECTORY_SOURCES), default="scim", show_default=True)
@click.pass_obj
@on_record
def adopt_person_command(context: AdministrationContext, administrator: Administrator, email: str, source: str) -> None:
    """Hand a person over to a directory, which then updates and deactivates them; nobody else is in its reach.

    \b
    Example:
      python -m onedoor directory adopt ada@acme.example --reason "the directory knows her, too"
    """
    with context.open_database() as database:
        subjects = [Subject(type="User", id=find_user_id(database, email), verb="adopt")]
        administrator.carry_out(
            context,
            "directory adopt",
            subjects,
            lambda attribution: people.adopt_person(database, email, IdentitySource(source), attribution),
        )
    click.echo(f"{email} is from the directory `{source}`")
