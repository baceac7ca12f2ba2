"""Register and list the trusted documents, which run by their digest."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import click
from graphql import GraphQLSchema

from auth.attribution import Attribution
from onedoor.cli.administration import AdministrationContext, Administrator, Subject, on_record
from onedoor.cli.tables import JSON_OPTION, print_listing
from onedoor.config import Settings
from onedoor.errors import ConfigurationError, RequestRejected
from onedoor.http.persisted_documents import (
    DIGEST_PREFIX,
    DOCUMENT_SUFFIX,
    PersistedDocumentSettings,
    hash_document,
    read_manifest,
    read_trusted_documents,
)
from onedoor.model.catalog import Limits
from onedoor.query.document import parse_document


class DocumentCommandContext(AdministrationContext, Protocol):
    """What every command is given."""

    def load_settings(self) -> Settings:
        """Read the settings."""
        ...

    def load_schema(self) -> GraphQLSchema: ...


@click.group("documents")
def documents() -> None:
    """Manage the documents that run by their digest."""


@documents.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
@on_record
def register(context: DocumentCommandContext, administrator: Administrator, files: tuple[Path, ...]) -> None:
    """Trust the documents of FILES: GraphQL as clients send it, to the last character, or a manifest in JSON.

    \b
    Example:
      python -m onedoor documents register dashboards/revenue.graphql --reason "the dashboard of May"
    """
    settings = context.load_settings()
    folder = settings.documents.folder
    if folder is None:
        raise ConfigurationError("there is no folder to keep documents in: set `documents.folder`")
    texts = [(str(path), text) for path in files for text in _read_texts(path)]
    _require_valid(texts, context.load_schema, settings.limits)

    def trust(_: Attribution) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for _name, text in texts:
            _write_atomically(folder / f"{hash_document(text)}{DOCUMENT_SUFFIX}", text)

    subjects = [Subject(type="Document", id=DIGEST_PREFIX + hash_document(text), verb="create") for _, text in texts]
    administrator.carry_out(context, "documents register", subjects, trust)
    for name, text in texts:
        click.echo(f"{DIGEST_PREFIX}{hash_document(text)} {name}")


@documents.command("list")
@JSON_OPTION
@click.pass_obj
def list_documents(context: DocumentCommandContext, as_json: bool) -> None:
    """List every document that is trusted.

    \b
    Example:
      python -m onedoor documents list
    """
    texts = _read_distinct_texts(context.load_settings().documents)
    listed = [{"id": f"{DIGEST_PREFIX}{hash_document(text)}", "text": text} for text in texts]
    if as_json:
        print_listing(listed, {}, as_json=True)
    for document in () if as_json else listed:
        click.echo(f"{document['id']} {' '.join(document['text'].split())[:80]}")


def check_documents(context: DocumentCommandContext) -> int:
    """Return how many documents are trusted. Raises ConfigurationError, naming those that do not fit the schema."""
    settings = context.load_settings()
    texts = [(DIGEST_PREFIX + hash_document(text), text) for text in _read_distinct_texts(settings.documents)]
    _require_valid(texts, context.load_schema, settings.limits)
    return len(texts)


def _read_distinct_texts(settings: PersistedDocumentSettings) -> list[str]:
    return list(dict.fromkeys(text for _, text in read_trusted_documents(settings)))


def _read_texts(path: Path) -> Iterator[str]:
    if path.suffix == ".json":
        yield from read_manifest(path).values()
        return
    try:
        yield path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as reason:
        raise ConfigurationError(f"`{path}` cannot be read: it must be text in UTF-8") from reason


def _require_valid(texts: list[tuple[str, str]], load_schema: Callable[[], GraphQLSchema], limits: Limits) -> None:
    wrong = dict(_find_invalid(texts, load_schema(), limits)) if texts else {}
    if wrong:
        named = ", ".join(f"`{name}` ({why})" for name, why in wrong.items())
        raise ConfigurationError(f"these documents do not fit the schema: {named}: mend them, or take them out")


def _find_invalid(texts: list[tuple[str, str]], schema: GraphQLSchema, limits: Limits) -> Iterator[tuple[str, str]]:
    for name, text in texts:
        try:
            parse_document(schema, text, limits)
        except RequestRejected as refusal:
            yield name, refusal.errors[0].message


def _write_atomically(path: Path, text: str) -> None:
    """Write a file whole or not at all, as a server may be looking for it."""
    part = path.with_suffix(".new")
    part.write_bytes(text.encode())
    part.rename(path)
