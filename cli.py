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

import settings
from auth import commands
from auth.mistake import Mistake, unknown
from auth.state import State, opened
from door import commands as documents
from records.verify import verify as verified

if TYPE_CHECKING:
    from introspect.words import Described, Reading


class Door(click.Group):
    """Ends a mistake as one sentence on standard error and exit code 2."""

    def invoke(self, context: click.Context) -> Any:
        """Runs the command."""
        try:
            return super().invoke(context)
        except Mistake as mistake:
            raise click.UsageError(str(mistake)) from mistake


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What every command is handed: the file of settings, read only by those that need it."""

    config: Path

    def settings(self) -> settings.Settings:
        """The settings of the file."""
        return settings.read(self.config)

    @contextmanager
    def state(self) -> Iterator[State]:
        """The state the settings name, open for one command."""
        read = self.settings()
        state = opened(read.state.url, read.state.pepper.encode())
        try:
            yield state
        except SQLAlchemyError as reason:
            raise Mistake("the state did not answer: try again") from reason
        finally:
            state.close()


@click.group(cls=Door)
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
    context.obj = House(config=config)


@main.command()
@click.option("--host", help="The address to listen on, in place of `server.host`.")
@click.option("--port", type=int, help="The port to listen on, in place of `server.port`.")
@click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="How many processes share it."
)
@click.pass_obj
def serve(house: House, host: str | None, port: int | None, workers: int) -> None:
    """Open the door and answer until stopped.

    \b
    Examples:
      python cli.py serve
      python cli.py --config /etc/onedoor.toml serve --host 0.0.0.0 --port 8080
    """
    import app

    read = house.settings()
    server = replace(read.server, host=host or read.server.host, port=read.server.port if port is None else port)
    app.serve(settings.consistent(replace(read, server=server)), workers)


@main.command()
@click.pass_obj
def worker(house: House) -> None:
    """Run jobs until stopped, and answer nobody. Any number of workers on any machines share one queue.

    \b
    Example:
      python cli.py worker
    """
    import app

    app.work(house.settings())


@main.command()
@click.pass_obj
def check(house: House) -> None:
    """See whether the door would open: settings, state, records, schema. Nothing is served.

    \b
    Example:
      python cli.py check
    """
    import app

    read = house.settings()
    click.echo("settings: good")
    with house.state():
        click.echo("state: good")
    if not os.access(read.records.folder, os.W_OK):
        raise Mistake(
            f"records cannot be kept in `{read.records.folder}`: create the folder and let this process write"
        )
    click.echo("records: good")
    app.check(read)
    click.echo("schema: good")
    click.echo(f"documents: good, {documents.checked(read)} of them")


@main.command()
def sdl() -> None:
    """Print the schema with its permissions, as schema/schema.graphql holds it.

    \b
    Example:
      python cli.py sdl > schema/schema.graphql
    """
    from resolvers import modules
    from schema.build import sdl as written

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
def introspect(house: House, /, url: str, source: str | None, into: Path, dry_run: bool, **wished: Any) -> None:
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
    from introspect.files import DECLARED
    from introspect.folder import done, kept, standing
    from introspect.steps import steps
    from introspect.told import DONE, WOULD, report
    from introspect.wishes import READS, named, read_as, wish

    name = named(source, url)
    before = kept(into, name)
    reading = read_as(before.wish, **{each: wished.pop(each) for each in READS})
    found = asyncio.run(described(url, reading))
    settled = wish(before.wish, name, found.tables, **wished, reading=reading)
    taken = steps(found.tables, settled, before, standing(into))
    if not dry_run:
        done(into, taken)
    known = house.config.exists() and name in settings.tables(house.config).get("sources", {})
    declared = {"described": f"{DECLARED}/{name}.toml"} if f"{DECLARED}/{name}.toml" in taken.kept.files else {}
    told = report(taken, name, {**found.settings, **declared}, known, WOULD if dry_run else DONE)
    for line in (*found.told, *told):
        click.echo(line)


async def described(url: str, reading: "Reading") -> "Described":
    """What a URL leads to, or what a file describes."""
    from sources import DESCRIBED, DOCUMENTS, ENDINGS

    scheme, sign, _ = url.partition("://")
    ending = next((each for each in ENDINGS if urlsplit(url).path.endswith(each)), None)
    if scheme in DESCRIBED:
        module = import_module(DESCRIBED[scheme])
    elif ending is not None:
        module = import_module(ENDINGS[ending])
    elif not sign or scheme in ("http", "https"):
        module = import_module(DOCUMENTS)
    else:
        raise unknown("kind of database", scheme, DESCRIBED)
    found: Described = await (module.described(url, reading) if module.__name__ == DOCUMENTS else module.described(url))
    return found if found.settings else replace(found, settings=module.settings(url))


@main.command()
@click.pass_obj
def verify(house: House) -> None:
    """See whether the records hold together: each line must hold the digest of the line before it.

    Names the first bad line and exits with 1 where one was changed, moved, put in or taken away. It does not notice
    where the end of a file is missing.

    \b
    Example:
      python cli.py verify
    """
    checked = verified(house.settings().records.folder)
    click.echo(f"{checked.records} records in {checked.files} files hold together")
    if checked.broken is not None:
        click.echo(f"`{checked.broken.file}` line {checked.broken.line}: {checked.broken.reason}", err=True)
        raise SystemExit(1)


for each in (commands.people, commands.groups, commands.keys, documents.documents):
    main.add_command(each)

if __name__ == "__main__":
    main()
