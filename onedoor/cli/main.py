"""The same house from a terminal: what an operator types in, what was done out."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click
from sqlalchemy.exc import SQLAlchemyError

from onedoor import config as onedoor_config
from onedoor.audit.reader import verify_folder
from onedoor.cli import documents, users
from onedoor.errors import ConfigurationError, build_unknown_name_error
from onedoor.storage.database import MetadataDatabase, open_database

if TYPE_CHECKING:
    from onedoor.codegen.models import ApiReadOptions, SourceDescription


class ErrorReportingGroup(click.Group):
    """Ends a mistake as one sentence on standard error and exit code 2."""

    def invoke(self, context: click.Context) -> Any:
        """Runs the command."""
        try:
            return super().invoke(context)
        except ConfigurationError as mistake:
            raise click.UsageError(str(mistake)) from mistake


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandContext:
    """What every command is handed: the file of settings, read only by those that need it."""

    settings_path: Path

    def load_settings(self) -> onedoor_config.Settings:
        """The settings of the file."""
        return onedoor_config.load_settings(self.settings_path)

    @contextmanager
    def open_database(self) -> Iterator[MetadataDatabase]:
        """The state the settings name, open for one command."""
        read = self.load_settings()
        state = open_database(read.state.url, read.state.pepper.encode())
        try:
            yield state
        except SQLAlchemyError as reason:
            raise ConfigurationError("the state did not answer: try again") from reason
        finally:
            state.close()


@click.group(cls=ErrorReportingGroup)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=Path("onedoor.toml"),
    envvar="ONEDOOR_CONFIG",
    show_default=True,
    show_envvar=True,
    help="The file of settings.",
)
@click.pass_context
def main(context: click.Context, config: Path) -> None:
    """One GraphQL door to a company's data: serve it, and say who may come in.

    \b
    Examples:
      python cli.py people create ada@acme.example Ada Lovelace
      python cli.py groups join ada@acme.example finance
      python cli.py keys create ada@acme.example
      python cli.py serve
    """
    context.obj = CommandContext(settings_path=config)


@main.command()
@click.option("--host", help="The address to listen on, in place of `server.host`.")
@click.option("--port", type=int, help="The port to listen on, in place of `server.port`.")
@click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="How many processes share it."
)
@click.pass_obj
def serve(context: CommandContext, host: str | None, port: int | None, workers: int) -> None:
    """Open the door and answer until stopped.

    \b
    Examples:
      python cli.py serve
      python cli.py --config /etc/onedoor.toml serve --host 0.0.0.0 --port 8080
    """
    from onedoor import app

    read = context.load_settings()
    server = replace(read.server, host=host or read.server.host, port=read.server.port if port is None else port)
    app.serve_app(onedoor_config.validate_settings(replace(read, server=server)), workers)


@main.command()
@click.pass_obj
def worker(context: CommandContext) -> None:
    """Run jobs until stopped, and answer nobody. Any number of workers on any machines share one queue.

    \b
    Example:
      python cli.py worker
    """
    from onedoor import app

    app.run_worker(context.load_settings())


@main.command()
@click.pass_obj
def check(context: CommandContext) -> None:
    """See whether the door would open: settings, state, records, schema. Nothing is served.

    \b
    Example:
      python cli.py check
    """
    from onedoor import app

    read = context.load_settings()
    click.echo("settings: good")
    with context.open_database():
        click.echo("state: good")
    if not os.access(read.records.folder, os.W_OK):
        raise ConfigurationError(
            f"records cannot be kept in `{read.records.folder}`: create the folder and let this process write"
        )
    click.echo("records: good")
    app.check_app(read)
    click.echo("schema: good")
    click.echo(f"documents: good, {documents.check_documents(read)} of them")


@main.command()
def sdl() -> None:
    """Print the schema with its permissions, as schema/schema.graphql holds it.

    \b
    Example:
      python cli.py sdl > schema/schema.graphql
    """
    from onedoor.schema.builder import print_sdl as written
    from resolvers import load_schema_modules as modules

    click.echo(written(modules()), nl=False)


@main.command()
@click.argument("url")
@click.option("--source", help="The name of the source in onedoor.toml; by default that of the database.")
@click.option("--allow", multiple=True, metavar="GROUP", help="A group that may see it all; may be given again.")
@click.option("--owner", help="The team that answers for it; by default the name of the source.")
@click.option("--tables", multiple=True, metavar="PATTERN", help="Only these; `!PATTERN`: not these; repeatable.")
@click.option("--key", "keys", multiple=True, metavar="TABLE=COLUMN,...", help="What identifies a row, of a view say.")
@click.option("--strip", help="What the names of tables begin with and types are to be without.")
@click.option("--only", multiple=True, metavar="TAG|PATH", help="Of an API: only these; `!...`: not these; repeatable.")
@click.option("--given", multiple=True, metavar="NAME=VALUE", help="Of an API: a constant in its paths; repeatable.")
@click.option("--base-url", help="Of an API: where it is, in place of what its description says.")
@click.option("--header", multiple=True, metavar="NAME", help="Of an API: a header for its credentials; repeatable.")
@click.option("--host", multiple=True, metavar="HOST", help="Whose description may be read, and whose API asked.")
@click.option("--private", is_flag=True, help="Of an API: it is in this network.")
@click.option("--into", type=click.Path(path_type=Path), default=Path(), help="The folder that has schema/.")
@click.option("--dry-run", is_flag=True, help="Write nothing, only say what would be.")
@click.pass_obj
def introspect(
    context: CommandContext, /, url: str, source: str | None, into: Path, dry_run: bool, **options: Any
) -> None:
    """Read a database, an OpenAPI description or a GraphQL service, and write its tables as files.

    Run again, it says what changed since, writes that, and leaves alone what was edited by hand. What was wished for
    the last time holds until it is wished otherwise. A password is best left in the environment:

    \b
    Examples:
      python cli.py introspect "$SHOP_URL" --source shop --allow sales --owner "shop team"
      python cli.py introspect sqlite:///chinook.sqlite --dry-run
      python cli.py introspect openapi.json --source github --only deployments --given owner=acme --allow engineering
      python cli.py introspect https://directory.example/graphql --source directory
    """
    from onedoor.codegen.apply import API_OPTION_NAMES as READS
    from onedoor.codegen.apply import DRY_RUN_WORDING as WOULD
    from onedoor.codegen.apply import WRITTEN_WORDING as DONE
    from onedoor.codegen.apply import apply_plan as done
    from onedoor.codegen.apply import build_api_options as read_as
    from onedoor.codegen.apply import build_options as wish
    from onedoor.codegen.apply import format_report as report
    from onedoor.codegen.apply import load_manifest as kept
    from onedoor.codegen.apply import name_source as named
    from onedoor.codegen.apply import plan_codegen as steps
    from onedoor.codegen.apply import read_current_files as standing
    from onedoor.codegen.render import DECLARED_FOLDER as DECLARED

    name = named(source, url)
    before = kept(into, name)
    reading = read_as(before.wish, **{each: options.pop(each) for each in READS})
    found = asyncio.run(describe_source(url, reading))
    settled = wish(before.wish, name, found.tables, **options, api_options=reading)
    taken = steps(found.tables, settled, before, standing(into))
    if not dry_run:
        done(into, taken)
    known = context.settings_path.exists() and name in onedoor_config.read_toml(context.settings_path).get(
        "sources", {}
    )
    declared = {"described": f"{DECLARED}/{name}.toml"} if f"{DECLARED}/{name}.toml" in taken.manifest.files else {}
    told = report(taken, name, {**found.settings, **declared}, known, WOULD if dry_run else DONE)
    for line in (*found.notes, *told):
        click.echo(line)


async def describe_source(url: str, api_options: "ApiReadOptions") -> "SourceDescription":
    """What a URL leads to, or what a file describes."""
    from onedoor.connectors.registry import API_INTROSPECTOR as DOCUMENTS
    from onedoor.connectors.registry import INTROSPECTORS_BY_SCHEME as DESCRIBED
    from onedoor.connectors.registry import INTROSPECTORS_BY_SUFFIX as ENDINGS

    scheme, sign, _ = url.partition("://")
    ending = next((each for each in ENDINGS if urlsplit(url).path.endswith(each)), None)
    if scheme in DESCRIBED:
        module = import_module(DESCRIBED[scheme])
    elif ending is not None:
        module = import_module(ENDINGS[ending])
    elif not sign or scheme in ("http", "https"):
        module = import_module(DOCUMENTS)
    else:
        raise build_unknown_name_error("kind of database", scheme, DESCRIBED)
    found: SourceDescription = await (
        module.describe(url, api_options) if module.__name__ == DOCUMENTS else module.describe(url)
    )
    return found if found.settings else replace(found, settings=module.parse_source_settings(url))


@main.command()
@click.pass_obj
def verify(context: CommandContext) -> None:
    """See whether the records hold together: each line must hold the digest of the line before it.

    Names the first bad line and exits with 1 where one was changed, moved, put in or taken away. It does not notice
    where the end of a file is missing.

    \b
    Example:
      python cli.py verify
    """
    checked = verify_folder(context.load_settings().records.folder)
    click.echo(f"{checked.records} records in {checked.files} files hold together")
    if checked.broken is not None:
        click.echo(f"`{checked.broken.file}` line {checked.broken.line}: {checked.broken.reason}", err=True)
        raise SystemExit(1)


for each in (users.people, users.groups, users.keys, documents.documents):
    main.add_command(each)

if __name__ == "__main__":
    main()
