"""Uploads: files that are sent to their store itself, past the door, for which it gives an address."""

from datetime import datetime

import strawberry

from onedoor.schema.annotations import Json, One, allow, owned, with_input
from schema.file import Store


@strawberry.type(
    description="Where to send one file to, for some minutes; whoever holds it needs no key.",
    directives=[allow("finance", "support"), owned("data platform")],
)
class FileUpload:
    id: strawberry.ID = strawberry.field(description="The upload's own.")
    store: Store = strawberry.field(description="Where the file will be kept.")
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
    store: Store = strawberry.field(description="Where it is to be kept; a folder has no address.")
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
        directives=[allow("finance", "support"), owned("data platform")],
        metadata=with_input(FileUploadInput),
    )
