"""Trusted documents from a terminal: files in, documents that run by their digest out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import click
from graphql import GraphQLSchema

from auth.mistake import Mistake
from door.documents import PREFIX, digest
from door.trusted import ENDING, Kept, manifest, registered
from engine.admit import admit
from engine.errors import Refused
from engine.house import Limits


class Settings(Protocol):
    """What the settings say that matters here."""

    @property
    def documents(self) -> Kept: ...

    @property
    def limits(self) -> Limits: ...


class House(Protocol):
    """What the terminal hands each command."""

    def settings(self) -> Settings: ...


@click.group("documents")
def documents() -> None:
    """Documents that run by their digest."""


@documents.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def register(house: House, files: tuple[Path, ...]) -> None:
    """Trust the documents of FILES: GraphQL as clients send it, to the last character, or a manifest in JSON.

    \b
    Example:
      python cli.py documents register dashboards/revenue.graphql manifest.json
    """
    settings = house.settings()
    folder = settings.documents.folder
    if folder is None:
        raise Mistake("there is no folder to keep documents in: set `documents.folder`")
    texts = [(str(path), text) for path in files for text in _texts(path)]
    _fit(texts, settings.limits)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts:
        _put(folder / f"{digest(text)}{ENDING}", text)
        click.echo(f"{PREFIX}{digest(text)} {name}")


@documents.command("list")
@click.pass_obj
def listed(house: House) -> None:
    """Every document that is trusted.

    \b
    Example:
      python cli.py documents list
    """
    for text in _distinct(house.settings().documents):
        click.echo(f"{PREFIX}{digest(text)} {' '.join(text.split())[:80]}")


def checked(settings: Settings) -> int:
    """How many documents are trusted; Mistake, naming them, where some no longer fit the schema."""
    texts = [(PREFIX + digest(text), text) for text in _distinct(settings.documents)]
    _fit(texts, settings.limits)
    return len(texts)


def _distinct(kept: Kept) -> list[str]:
    return list(dict.fromkeys(text for _, text in registered(kept)))


def _texts(path: Path) -> Iterator[str]:
    if path.suffix == ".json":
        yield from manifest(path).values()
        return
    try:
        yield path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as reason:
        raise Mistake(f"`{path}` cannot be read: it must be text in UTF-8") from reason


def _fit(texts: list[tuple[str, str]], limits: Limits) -> None:
    wrong = dict(_wrong(texts, _schema(), limits)) if texts else {}
    if wrong:
        named = ", ".join(f"`{name}` ({why})" for name, why in wrong.items())
        raise Mistake(f"these documents do not fit the schema: {named}: mend them, or take them out")


def _wrong(texts: list[tuple[str, str]], schema: GraphQLSchema, limits: Limits) -> Iterator[tuple[str, str]]:
    for name, text in texts:
        try:
            admit(schema, text, limits)
        except Refused as refusal:
            yield name, refusal.faults[0].message


def _schema() -> GraphQLSchema:
    from resolvers import modules
    from schema.build import build

    return build(modules())[0]


def _put(path: Path, text: str) -> None:
    """Whole or not at all, as a door may be looking for it."""
    made = path.with_suffix(".new")
    made.write_bytes(text.encode())
    made.rename(path)
