"""Files: contracts, invoices and price lists, wherever they are kept."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import strawberry

from schema.arguments import BigInt, ById, Many, One
from schema.directives import allow, owned

if TYPE_CHECKING:
    from schema.customer import Customer


@strawberry.enum(description="Where a file is kept.")
class Store(StrEnum):
    AZURE_BLOB = "AZURE_BLOB"
    AZURE_FILES = "AZURE_FILES"
    DRIVE = "DRIVE"
    FOLDER = "FOLDER"
    S3 = "S3"


@strawberry.interface(
    description="A file, wherever it is kept.",
    directives=[allow("sales", "finance", "support"), owned("data platform")],
)
class File:
    id: strawberry.ID = strawberry.field(description="The store, and what it knows the file by, as `STORE:id`.")
    store: Store = strawberry.field(description="Where it is kept.")
    path: str = strawberry.field(description="Folders and name, `/` between.")
    name: str = strawberry.field(description="The last part of the path.")
    size: BigInt | None = strawberry.field(description="In bytes, where the store can tell.")
    content_type: str | None = strawberry.field(description="The media type.")
    modified: datetime = strawberry.field(description="When it was last written.")
    version: str = strawberry.field(description="Changes when the content does.")
    customer: One["Customer"] = strawberry.field(description="Whose it is.")


@strawberry.type(
    description="An object of the bucket.",
    directives=[allow("sales", "finance", "support"), owned("data platform")],
)
class S3File(File):
    kind: str | None = strawberry.field(description="The folder below the customer's, such as `invoices`.")


@strawberry.type(
    description="A file of a folder of the company's own machine.",
    directives=[allow("sales", "finance", "support"), owned("data platform")],
)
class FolderFile(File):
    folder: str | None = strawberry.field(description="The folder below the customer's, such as `prices`.")


@strawberry.type
class Query:
    file: ById["File"] = strawberry.field(description="The file with this id, which names its store.")
    files: Many["File"] = strawberry.field(description="The files of all stores.")
    s3_files: Many["S3File"] = strawberry.field(description="The objects of the bucket.")
    folder_files: Many["FolderFile"] = strawberry.field(description="The files of the folder.")
