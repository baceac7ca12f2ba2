"""Introspect a database, an OpenAPI description or a GraphQL service, and write its tables as files of a company."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import click

from auth.groups import Groups
from onedoor import config
from onedoor.errors import build_unknown_name_error

if TYPE_CHECKING:
    from onedoor.codegen.models import ApiReadOptions, SourceDescription

GROUPS_FILE = "groups.toml"

ONLY_HELP = (
    "Of an API: only these; `!...`: not these. Of a database: also TABLE.COLUMN, which looks like a secret. Repeatable."
)


class IntrospectContext(Protocol):
    """What the command is given."""

    @property
    def settings_path(self) -> Path: ...

    @property
    def chosen_company(self) -> Path | None: ...


@click.command()
@click.argument("url")
@click.option("--source", help="The name of the source in onedoor.toml; by default that of the database.")
@click.option("--allow", multiple=True, metavar="GROUP", help="A group that may see it all; may be given again.")
@click.option("--owner", help="The team that answers for it; by default the name of the source.")
@click.option("--tables", multiple=True, metavar="PATTERN", help="Only these; `!PATTERN`: not these; repeatable.")
@click.option("--key", "keys", multiple=True, metavar="TABLE=COLUMN,...", help="What identifies a row, of a view say.")
@click.option("--strip", help="What the names of tables begin with and types are to be without.")
@click.option("--only", multiple=True, metavar="TAG|PATH|COLUMN", help=ONLY_HELP)
@click.option("--binary", is_flag=True, help="Of a database: columns of bytes too, as base64.")
@click.option("--given", multiple=True, metavar="NAME=VALUE", help="Of an API: a constant in its paths; repeatable.")
@click.option("--base-url", help="Of an API: where it is, in place of what its description says.")
@click.option("--header", multiple=True, metavar="NAME", help="Of an API: a header for its credentials; repeatable.")
@click.option("--host", multiple=True, metavar="HOST", help="Whose description may be read, and whose API asked.")
@click.option("--private", is_flag=True, help="Of an API: it is in this network.")
@click.option("--into", type=click.Path(path_type=Path), help="The company's folder; by default `--company`, or this.")
@click.option("--dry-run", is_flag=True, help="Write nothing, only say what would be written.")
@click.pass_obj
def introspect(
    context: IntrospectContext, /, url: str, source: str | None, into: Path | None, dry_run: bool, **options: Any
) -> None:
    """Read a database, an OpenAPI description or a GraphQL service, and write its tables as files.

    Run again, it says what changed since, writes that, and leaves alone what was edited by hand. The options of the
    last run hold until others are given. A password is best left in the environment:

    \b
    Examples:
      python -m onedoor introspect "$SHOP_URL" --source shop --allow sales --owner "shop team"
      python -m onedoor introspect sqlite:///chinook.sqlite --dry-run
      python -m onedoor introspect openapi.json --source github --only deployments --given owner=acme
      python -m onedoor introspect https://directory.example/graphql --source directory
    """
    from onedoor.codegen import apply

    folder = into or context.chosen_company or Path()
    groups = Groups.load(folder / GROUPS_FILE) if (folder / GROUPS_FILE).exists() else Groups()
    for group in options["allow"]:
        groups.require(group)
    name = apply.name_source(source, url)
    previous = apply.load_manifest(folder, name)
    api_options = apply.build_api_options(
        previous.wish, **{option: options.pop(option) for option in apply.API_OPTION_NAMES}
    )
    description = asyncio.run(describe_source(url, api_options))
    chosen = apply.build_options(previous.wish, name, description.tables, **options, api_options=api_options)
    plan = apply.plan_codegen(description.tables, chosen, previous, apply.read_current_files(folder))
    if not dry_run:
        apply.apply_plan(folder, plan)
    settings = {**description.settings, **_name_described_file(name, plan.manifest.files)}
    wording = apply.DRY_RUN_WORDING if dry_run else apply.WRITTEN_WORDING
    report = apply.format_report(plan, name, settings, _is_configured(context.settings_path, name), wording)
    for line in (*description.notes, *report):
        click.echo(line)


def _name_described_file(source: str, files: Mapping[str, str]) -> Mapping[str, str]:
    from onedoor.codegen.render import DECLARED_FOLDER

    path = f"{DECLARED_FOLDER}/{source}.toml"
    return {"described": path} if path in files else {}


def _is_configured(settings_path: Path, source: str) -> bool:
    return settings_path.exists() and source in config.read_toml(settings_path).get("sources", {})


async def describe_source(url: str, api_options: "ApiReadOptions") -> "SourceDescription":
    """Describe what a URL leads to, or what a file describes. Raises ConfigurationError for what nothing reads."""
    from onedoor.connectors.registry import API_INTROSPECTOR, INTROSPECTORS_BY_SCHEME, INTROSPECTORS_BY_SUFFIX

    scheme, sign, _ = url.partition("://")
    suffix = next((each for each in INTROSPECTORS_BY_SUFFIX if urlsplit(url).path.endswith(each)), None)
    if scheme in INTROSPECTORS_BY_SCHEME:
        module = import_module(INTROSPECTORS_BY_SCHEME[scheme])
    elif suffix is not None:
        module = import_module(INTROSPECTORS_BY_SUFFIX[suffix])
    elif not sign or scheme in ("http", "https"):
        module = import_module(API_INTROSPECTOR)
    else:
        raise build_unknown_name_error("kind of database", scheme, INTROSPECTORS_BY_SCHEME)
    reading = module.describe(url, api_options) if module.__name__ == API_INTROSPECTOR else module.describe(url)
    description: SourceDescription = await reading
    if description.settings:
        return description
    return replace(description, settings=module.parse_source_settings(url))
