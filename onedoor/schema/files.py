"""Declare the types of files: what the inputs of their mutations share, and the addresses to upload to."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import strawberry

from onedoor.schema import annotations
from onedoor.schema.annotations import Json, One, with_input
from onedoor.schema.reader import SchemaPart

UPLOADS = "uploads"


@strawberry.input
class FileContent:
    text: str | None = strawberry.field(description="The content, as UTF-8; or give `base64`.")
    base64: str | None = strawberry.field(description="The content of any kind, in Base64; or give `text`.")
    content_type: str | None = strawberry.field(description="The media type; derived from the name if not given.")


@strawberry.input
class PutFile(FileContent):
    path: str = strawberry.field(description="The folders and the name, separated by `/`.")


@strawberry.input
class CopyFile:
    copy_of: strawberry.ID = strawberry.field(description="The id of the file to copy, in the same store.")
    path: str = strawberry.field(description="The path of the copy; no file may be there.")


@strawberry.input
class DeleteFile:
    id: strawberry.ID = strawberry.field(description="The id of the file.")


def uploads(*, stores: type[StrEnum], allow: Sequence[str], owner: str) -> SchemaPart:
    """Declare `fileUpload`, which returns an address to send a file to: the file goes straight to its store.

    `stores` is the company's enum of the stores; the type mapping of each has its value as the constant `store`.
    `allow` are the groups that may upload.
    """
    return SchemaPart(UPLOADS, _declare_upload_types(stores, [annotations.allow(*allow), annotations.owned(owner)]))


def _declare_upload_types(stores: Any, directives: list[object]) -> tuple[type, ...]:
    @strawberry.type(
        description="An address to send one file to, for some minutes; it works without an API key.",
        directives=directives,
    )
    class FileUpload:
        id: strawberry.ID = strawberry.field(description="The id of the upload.")
        store: stores = strawberry.field(description="The store that will hold the file.")
        path: str = strawberry.field(description="The folders and the name, separated by `/`.")
        file_id: strawberry.ID | None = strawberry.field(
            description="The id of the future file; null if the store assigns it on arrival."
        )
        expires_at: datetime = strawberry.field(description="When the address stops working.")
        bounded: bool = strawberry.field(
            description="Whether the store itself refuses another size or type than the one given."
        )
        steps: Json = strawberry.field(
            description="The requests to send, in order: `method`, `url` and `headers` of each; its body is `length`"
            " bytes of the file from offset `first`."
        )

    @strawberry.input(description="The file to upload.")
    class FileUploadInput:
        store: stores = strawberry.field(description="The store for the file; a folder has no upload address.")
        path: str = strawberry.field(description="The folders and the name, separated by `/`.")
        size: int = strawberry.field(description="The exact size in bytes, at most 1073741824.")
        content_type: str | None = strawberry.field(description="The media type; derived from the name if not given.")
        minutes: int | None = strawberry.field(
            description="How many minutes the address works: 1 to 5; 5 if not given."
        )
        replace: bool | None = strawberry.field(
            description="Whether the file may replace one at this path; if not, no file may be there."
        )

    @strawberry.type
    class Mutation:
        file_upload: One["FileUpload"] = strawberry.field(
            description="Returns an address to upload one file to; nothing changes until the file arrives there.",
            directives=directives,
            metadata=with_input(FileUploadInput),
        )

    return FileUpload, FileUploadInput, Mutation
