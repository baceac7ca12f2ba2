"""Files: contracts, invoices and price lists, wherever they are kept."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import strawberry

from onedoor.schema import (
    Argument,
    BigInt,
    ById,
    Changed,
    CopyFile,
    DeleteFile,
    History,
    Json,
    Looked,
    Many,
    One,
    PutFile,
    allow,
    owned,
    with_arguments,
    with_input,
)

if TYPE_CHECKING:
    from schema.customer import Customer


@strawberry.enum(description="Where a file is kept.")
class Store(StrEnum):
    AZURE_BLOB = "AZURE_BLOB"
    AZURE_FILES = "AZURE_FILES"
    DRIVE = "DRIVE"
    FOLDER = "FOLDER"
    S3 = "S3"


@strawberry.input(
    description="What one column of a row must meet; a cell and a value that are both numbers compare as numbers.",
    directives=[allow("sales", "finance", "support"), owned("data platform")],
)
class CellTest:
    column: str = strawberry.field(description="The column's name.")
    eq: str | None = strawberry.field(description="Equal to this.")
    ne: str | None = strawberry.field(description="Another than this.")
    lt: str | None = strawberry.field(description="Less than this.")
    lte: str | None = strawberry.field(description="Less than this, or equal to it.")
    gt: str | None = strawberry.field(description="Greater than this.")
    gte: str | None = strawberry.field(description="Greater than this, or equal to it.")
    contains: str | None = strawberry.field(description="Has this within.")
    starts_with: str | None = strawberry.field(description="Begins with this.")
    ends_with: str | None = strawberry.field(description="Ends with this.")
    is_null: bool | None = strawberry.field(description="Has no value: true. Has one: false.")


TEXT = with_arguments(max_bytes=Argument(int, "How much of the file is read, at most 1048576 bytes.", 65_536))
ROWS = with_arguments(
    first=Argument(int, "How many rows, at most 1000.", 20),
    columns=Argument(list[str], "Which columns; all of them where none are named.", None),
    where=Argument(list[CellTest], "What each row must meet; all of these.", None),
)
DOWNLOAD = with_arguments(minutes=Argument(int, "How long the address opens the file, at most 5.", 5))


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
    text: Looked[str] = strawberry.field(
        description="The beginning of what is in it, where that is text in UTF-8.", metadata=TEXT
    )
    rows: Looked[list[Json]] = strawberry.field(
        description="The first rows of its table, where it is CSV, JSON Lines or Parquet.", metadata=ROWS
    )
    download_url: Looked[str] = strawberry.field(
        description="An address that gives this file, without a key, for some minutes.", metadata=DOWNLOAD
    )


@strawberry.type(
    description="An object of the bucket.",
    directives=[allow("sales", "finance", "support"), owned("data platform")],
)
class S3File(File):
    kind: str | None = strawberry.field(description="The folder below the customer's, such as `invoices`.")
    history: History["S3File"] = strawberry.field(description="Every change of the file that was made here.")


@strawberry.type(
    description="A file of a folder of the company's own machine.",
    directives=[allow("sales", "finance", "support"), owned("data platform")],
)
class FolderFile(File):
    folder: str | None = strawberry.field(description="The folder below the customer's, such as `prices`.")
    history: History["FolderFile"] = strawberry.field(description="Every change of the file that was made here.")


@strawberry.input(description="An object of the bucket as it is to be.")
class PutS3FileInput(PutFile):
    pass


@strawberry.input(description="An object of the bucket to be, with what is in another.")
class CopyS3FileInput(CopyFile):
    pass


@strawberry.input(description="An object of the bucket to be deleted.")
class DeleteS3FileInput(DeleteFile):
    pass


@strawberry.input(description="A file of the folder as it is to be.")
class PutFolderFileInput(PutFile):
    pass


@strawberry.input(description="A file of the folder to be, with what is in another.")
class CopyFolderFileInput(CopyFile):
    pass


@strawberry.input(description="A file of the folder to be deleted.")
class DeleteFolderFileInput(DeleteFile):
    pass


@strawberry.type
class Query:
    file: ById["File"] = strawberry.field(description="The file with this id, which names its store.")
    files: Many["File"] = strawberry.field(description="The files of all stores.")
    s3_files: Many["S3File"] = strawberry.field(description="The objects of the bucket.")
    folder_files: Many["FolderFile"] = strawberry.field(description="The files of the folder.")


@strawberry.type
class Mutation:
    put_s3_file: Changed["S3File"] = strawberry.field(
        description="Makes an object of the bucket what is given, whether it was there or not.",
        directives=[allow("finance", "support"), owned("data platform")],
        metadata=with_input(PutS3FileInput),
    )
    copy_s3_file: Changed["S3File"] = strawberry.field(
        description="Makes an object of the bucket that is a copy of another, in the store itself.",
        directives=[allow("finance", "support"), owned("data platform")],
        metadata=with_input(CopyS3FileInput),
    )
    delete_s3_file: Changed["S3File"] = strawberry.field(
        description="Deletes an object of the bucket.",
        directives=[allow("finance"), owned("data platform")],
        metadata=with_input(DeleteS3FileInput),
    )
    put_folder_file: Changed["FolderFile"] = strawberry.field(
        description="Makes a file of the folder what is given, whether it was there or not.",
        directives=[allow("finance", "support"), owned("data platform")],
        metadata=with_input(PutFolderFileInput),
    )
    copy_folder_file: Changed["FolderFile"] = strawberry.field(
        description="Makes a file of the folder that is a copy of another, in the store itself.",
        directives=[allow("finance", "support"), owned("data platform")],
        metadata=with_input(CopyFolderFileInput),
    )
    delete_folder_file: Changed["FolderFile"] = strawberry.field(
        description="Deletes a file of the folder.",
        directives=[allow("finance"), owned("data platform")],
        metadata=with_input(DeleteFolderFileInput),
    )
