"""Declare the types of files: what inputs of their mutations share, and the addresses to upload them to."""

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
    text: str | None = strawberry.field(description="What is to be in it, as UTF-8; or give `base64`.")
    base64: str | None = strawberry.field(description="What is to be in it, of any kind; or give `text`.")
    content_type: str | None = strawberry.field(description="The media type; guessed from the name if not given.")


@strawberry.input
class PutFile(FileContent):
    path: str = strawberry.field(description="Folders and name, `/` between.")


@strawberry.input
class CopyFile:
    copy_of: strawberry.ID = strawberry.field(description="The id of the file to copy, of the same store.")
    path: str = strawberry.field(description="Where the copy is to be; nothing may be there.")


@strawberry.input
class DeleteFile:
    id: strawberry.ID = strawberry.field(description="Which one.")


def uploads(*, stores: type[StrEnum], allow: Sequence[str], owner: str) -> SchemaPart:
    """Declare `fileUpload`, which gives an address to send a file to: the file goes to its store, past Onedoor.

    `stores` is the company's enum of the stores; the type mapping of each has its value as the constant `store`.
    `allow` are the groups that may upload.
    """
    return SchemaPart(UPLOADS, _declare_upload_types(stores, [annotations.allow(*allow), annotations.owned(owner)]))


def _declare_upload_types(stores: Any, directives: list[object]) -> tuple[type, ...]:
    @strawberry.type(
        description="Where to send one file to, for some minutes; whoever holds it needs no key.",
        directives=directives,
    )
    class FileUpload:
        id: strawberry.ID = strawberry.field(description="The upload's own.")
        store: stores = strawberry.field(description="Where the file will be kept.")
        path: str = strawberry.field(description="Folders and name, `/` between.")
        file_id: strawberry.ID | None = strawberry.field(
            description="The id of the file to be; null where its store gives it one only then."
        )
        expires_at: datetime = strawberry.field(description="When the address opens nothing any more.")
        bounded: bool = strawberry.field(
            description="Whether the store itself refuses another size or type than was asked for."
        )
        steps: Json = strawberry.field(
            description="The calls to make, in order: the `method`, `url` and `headers` of each; its body is `length`"
            " octets of the file, from `first` on."
        )

    @strawberry.input(description="A file to come.")
    class FileUploadInput:
        store: stores = strawberry.field(description="Where it is to be kept; a folder has no address.")
        path: str = strawberry.field(description="Folders and name, `/` between.")
        size: int = strawberry.field(description="Its octets, exactly: at most 1073741824.")
        content_type: str | None = strawberry.field(description="The media type; guessed from the name if not given.")
        minutes: int | None = strawberry.field(
            description="How long the address is to be good for: 1 to 5, if not given 5."
        )
        replace: bool | None = strawberry.field(
            description="Whether it may take a file's place; else nothing may be there."
        )

    @strawberry.type
    class Mutation:
        file_upload: One["FileUpload"] = strawberry.field(
            description="An address that takes this one file; nothing is changed until the file is sent there.",
            directives=directives,
            metadata=with_input(FileUploadInput),
        )

    return FileUpload, FileUploadInput, Mutation
