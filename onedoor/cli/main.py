"""Run the commands of `python -m onedoor`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from sqlalchemy.exc import SQLAlchemyError

from auth.groups import Groups
from auth.users import list_unregistered_memberships
from onedoor import config
from onedoor.audit.settings import RecordsSettings
from onedoor.cli import access, audit, directory, documents, grants, keys, users
from onedoor.cli.introspect import introspect
from onedoor.cli.new import new
from onedoor.cli.upgrade import upgrade
from onedoor.errors import ConfigurationError
from onedoor.storage.database import MetadataDatabase, open_database
from onedoor.storage.private_files import set_private_umask

if TYPE_CHECKING:
    from graphql import GraphQLSchema

    from onedoor.company import Company, CompanySchema

SETTINGS_FILE = "onedoor.toml"


class ErrorReportingGroup(click.Group):
    """Ends a ConfigurationError as one sentence on standard error and exit code 2."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except ConfigurationError as reason:
            raise click.UsageError(str(reason)) from reason


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandContext:
    """What every command is given; settings and company are read only by the commands that need them."""

    chosen_settings: Path | None
    chosen_company: Path | None

    @property
    def settings_path(self) -> Path:
        """The file chosen, or else onedoor.toml of the company chosen, or of the working directory."""
        return self.chosen_settings or (self.chosen_company or Path()) / SETTINGS_FILE

    def load_settings(self) -> config.Settings:
        return config.load_settings(self.settings_path)

    def load_administration_settings(self) -> config.AdministrationSettings:
        return config.load_administration_settings(self.settings_path)

    def load_records_settings(self) -> RecordsSettings:
        return config.load_records_settings(self.settings_path)

    def find_company(self) -> Path:
        from onedoor.company import find_company_folder

        return find_company_folder(self.chosen_company, self.settings_path.absolute().parent)

    def load_company(self) -> "Company":
        from onedoor.company import load_company

        return load_company(self.find_company())

    def load_groups(self) -> Groups:
        from onedoor.company import GROUPS_FILE

        return Groups.load(self.find_company() / GROUPS_FILE)

    def load_company_schema(self) -> "CompanySchema":
        """Load what the schema is made of, the built-in types among it; it needs no secret and no source."""
        from onedoor.company import build_company_schema

        schema, exports = config.load_schema_settings(self.settings_path)
        return build_company_schema(self.load_company(), schema, exports=exports)

    def load_schema(self) -> "GraphQLSchema":
        from onedoor.schema.builder import build_schema_and_policy

        parts = self.load_company_schema()
        return build_schema_and_policy(parts.modules, parts.masking_groups)[0]

    @contextmanager
    def open_database(self) -> Iterator[MetadataDatabase]:
        """Open the metadata database for one command."""
        settings = self.load_administration_settings()
        database = open_database(settings.state.url, settings.state.pepper.encode())
        try:
            yield database
        except SQLAlchemyError as reason:
            raise ConfigurationError("the state did not answer: try again") from reason
        finally:
            database.close()


@click.group(cls=ErrorReportingGroup)
@click.option(
    "--config",
    "settings",
    envvar="ONEDOOR_CONFIG",
    type=click.Path(path_type=Path),
    help="The file of settings; without it, onedoor.toml of the company or of the working directory.",
)
@click.option(
    "--company",
    envvar="ONEDOOR_COMPANY",
    type=click.Path(path_type=Path),
    help="The company's folder; without it, that of the settings or the working directory, whichever has schema/.",
)
@click.pass_context
def main(context: click.Context, settings: Path | None, company: Path | None) -> None:
    """One GraphQL schema over a company's tables and systems: run it, and manage who may see what.

    \b
    Examples:
      python -m onedoor new acme
      python -m onedoor --config acme/onedoor.toml serve
    """
    context.call_on_close(partial(os.umask, set_private_umask()))
    context.obj = CommandContext(chosen_settings=settings, chosen_company=company)


@main.command()
@click.option("--host", help="The address to listen on, in place of `server.host`.")
@click.option("--port", type=int, help="The port to listen on, in place of `server.port`.")
@click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="How many processes share it."
)
@click.pass_obj
def serve(context: CommandContext, host: str | None, port: int | None, workers: int) -> None:
    """Answer requests until stopped.

    \b
    Examples:
      python -m onedoor serve
      python -m onedoor --config /etc/onedoor.toml serve --host 0.0.0.0 --port 8080
    """
    from onedoor.app import serve_app

    settings = context.load_settings()
    chosen = settings.server
    server = replace(chosen, host=host or chosen.host, port=chosen.port if port is None else port)
    serve_app(config.validate_settings(replace(settings, server=server)), context.find_company(), workers)


@main.command()
@click.pass_obj
def worker(context: CommandContext) -> None:
    """Run jobs until stopped, and answer nobody. Any number of workers on any machines share one queue.

    \b
    Example:
      python -m onedoor worker
    """
    from onedoor.app import run_worker

    run_worker(context.load_settings(), context.load_company())


@main.command()
@click.pass_obj
def check(context: CommandContext) -> None:
    """Check that it would start: settings, state, records, schema. Nothing is served.

    \b
    Example:
      python -m onedoor check
    """
    from onedoor.app import check_app

    settings = context.load_settings()
    click.echo("settings: good")
    company = context.load_company()
    click.echo(f"company: good, {company.folder.name or company.folder}")
    if unreachable := company.groups.list_owners_without_contact():
        names = ", ".join(f"`{owner}`" for owner in unreachable)
        click.echo(f"groups: no contact for {names}: denials cannot say whom to ask until `owners` in groups.toml does")
    with context.open_database() as database:
        unregistered = list_unregistered_memberships(database, company.groups)
        click.echo("state: good")
    for email, group in unregistered:
        click.echo(f"state: `{email}` is in `{group}`, which is not registered in groups.toml and counts for nothing")
    if not os.access(settings.records.folder, os.W_OK):
        raise ConfigurationError(
            f"records cannot be kept in `{settings.records.folder}`: create the folder and let this process write"
        )
    click.echo("records: good")
    check_app(settings, company)
    click.echo("schema: good")
    click.echo(f"documents: good, {documents.check_documents(context)} of them")


@main.command()
@click.pass_obj
def sdl(context: CommandContext) -> None:
    """Print the schema with its permissions; the settings need not be complete for it.

    \b
    Example:
      python -m onedoor sdl > schema/schema.graphql
    """
    from onedoor.schema.builder import print_sdl

    parts = context.load_company_schema()
    click.echo(print_sdl(parts.modules, parts.masking_groups, parts.row_rules), nl=False)


def _add_alias(command: click.Command, old_name: str) -> None:
    """Keep the name that a command had up to the last release."""
    alias = copy(command)
    alias.hidden = True
    main.add_command(alias, old_name)


for command in (
    introspect,
    new,
    upgrade,
    users.user_commands,
    users.group_commands,
    directory.directory_commands,
    keys.key_commands,
    grants.grant_commands,
    documents.documents,
    access.show_access,
    access.compare_policies,
    audit.audit_commands,
):
    main.add_command(command)
_add_alias(users.user_commands, "people")
_add_alias(audit.verify, "verify")

if __name__ == "__main__":
    main()
