"""Declare files: contracts, invoices and price lists, in every store."""

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


@strawberry.enum(description="The store of a file.")
class Store(StrEnum):
    AZURE_BLOB = "AZURE_BLOB"
    AZURE_FILES = "AZURE_FILES"
    DRIVE = "DRIVE"
    FOLDER = "FOLDER"
    S3 = "S3"


@strawberry.input(
    description="Conditions on one column of a row; a cell and a value that are both numbers compare as numbers.",
    directives=[allow("sales", "finance", "support"), owned("data platform")],
)
class CellTest:
    column: str = strawberry.field(description="The column's name.")
    eq: str | None = strawberry.field(description="Equal to this.")
    ne: str | None = strawberry.field(description="Not equal to this.")
    lt: str | None = strawberry.field(description="Less than this.")
    lte: str | None = strawberry.field(description="Less than or equal to this.")
    gt: str | None = strawberry.field(description="Greater than this.")
    gte: str | None = strawberry.field(description="Greater than or equal to this.")
    contains: str | None = strawberry.field(description="Contains this text.")
    starts_with: str | None = strawberry.field(description="Starts with this text.")
    ends_with: str | None = strawberry.field(description="Ends with this text.")
    is_null: bool | None = strawberry.field(description="Null if true, not null if false.")


TEXT = with_arguments(max_bytes=Argument(int, "How many bytes of the file to read, at most 1048576.", 65_536))
ROWS = with_arguments(
    first=Argument(int, "How many rows to read, at most 1000.", 20),
    columns=Argument(list[str], "The columns to read; all of them if not given.", None),
    where=Argument(list[CellTest], "The conditions that each row must meet, all of them.", None),
)
DOWNLOAD = with_arguments(minutes=Argument(int, "How many minutes the address works, at most 5.", 5))


@strawberry.interface(
    description="A file in any store.",
    directives=[allow("sales", "finance", "support"), owned("data platform")],
)
class File:
    id: strawberry.ID = strawberry.field(description="The store and the id of the file in it, as `STORE:id`.")
    store: Store = strawberry.field(description="The store of the file.")
    path: str = strawberry.field(description="The folders and the name, separated by `/`.")
    name: str = strawberry.field(description="The last part of the path.")
    size: BigInt | None = strawberry.field(description="The size in bytes, if the store knows it.")
    content_type: str | None = strawberry.field(description="The media type.")
    modified: datetime = strawberry.field(description="When the file was last written.")
    version: str = strawberry.field(description="The version, which changes with the content.")
    customer: One["Customer"] = strawberry.field(description="The customer whose file it is.")
    text: Looked[str] = strawberry.field(
        description="The beginning of the content, if it is text in UTF-8.", metadata=TEXT
    )
    rows: Looked[list[Json]] = strawberry.field(
        description="The first rows of the table in it, if it is CSV, JSON Lines or Parquet.", metadata=ROWS
    )
    download_url: Looked[str] = strawberry.field(
        description="An address to download the file from without an API key, for some minutes.", metadata=DOWNLOAD
    )


@strawberry.type(
    description="An object of the bucket.",
    directives=[allow("sales", "finance", "support"), owned("data platform")],
)
class S3File(File):
    kind: str | None = strawberry.field(description="The folder below the customer's, such as `invoices`.")
    history: History["S3File"] = strawberry.field(description="Every change of the file that was made through Onedoor.")


@strawberry.type(
    description="A file of a folder on the company's own machine.",
    directives=[allow("sales", "finance", "support"), owned("data platform")],
)
class FolderFile(File):
    folder: str | None = strawberry.field(description="The folder below the customer's, such as `prices`.")
    history: History["FolderFile"] = strawberry.field(
        description="Every change of the file that was made through Onedoor."
    )


@strawberry.input(description="The object of the bucket to write.")
class PutS3FileInput(PutFile):
    pass


@strawberry.input(description="The object of the bucket to copy, and the path of the copy.")
class CopyS3FileInput(CopyFile):
    pass


@strawberry.input(description="The object of the bucket to delete.")
class DeleteS3FileInput(DeleteFile):
    pass


@strawberry.input(description="The file of the folder to write.")
class PutFolderFileInput(PutFile):
    pass


@strawberry.input(description="The file of the folder to copy, and the path of the copy.")
class CopyFolderFileInput(CopyFile):
    pass


@strawberry.input(description="The file of the folder to delete.")
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
        description="Writes an object of the bucket, whether it exists or not.",
        directives=[allow("finance", "support"), owned("data platform")],
        metadata=with_input(PutS3FileInput),
    )
    copy_s3_file: Changed["S3File"] = strawberry.field(
        description="Copies an object of the bucket to another path, inside the store.",
        directives=[allow("finance", "support"), owned("data platform")],
        metadata=with_input(CopyS3FileInput),
    )
    delete_s3_file: Changed["S3File"] = strawberry.field(
        description="Deletes an object of the bucket.",
        directives=[allow("finance"), owned("data platform")],
        metadata=with_input(DeleteS3FileInput),
    )
    put_folder_file: Changed["FolderFile"] = strawberry.field(
        description="Writes a file of the folder, whether it exists or not.",
        directives=[allow("finance", "support"), owned("data platform")],
        metadata=with_input(PutFolderFileInput),
    )
    copy_folder_file: Changed["FolderFile"] = strawberry.field(
        description="Copies a file of the folder to another path, inside the store.",
        directives=[allow("finance", "support"), owned("data platform")],
        metadata=with_input(CopyFolderFileInput),
    )
    delete_folder_file: Changed["FolderFile"] = strawberry.field(
        description="Deletes a file of the folder.",
        directives=[allow("finance"), owned("data platform")],
        metadata=with_input(DeleteFolderFileInput),
    )
