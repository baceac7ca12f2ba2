"""Declare Google Drive's files, folders and permissions, and the hits of its own search."""

from datetime import datetime
from typing import TYPE_CHECKING

import strawberry

from onedoor.schema import (
    ById,
    Changed,
    CopyFile,
    DeleteFile,
    FileContent,
    History,
    Many,
    One,
    allow,
    owned,
    with_input,
)
from schema.file import File

if TYPE_CHECKING:
    from schema.employee import Employee


@strawberry.type(
    description="A file in Google Drive: a Doc, a Sheet, or whatever was uploaded.",
    directives=[allow("sales", "finance", "support"), owned("workplace tools")],
)
class DriveFile(File):
    owner_email: str | None = strawberry.field(description="The e-mail address of the owner; null in a shared drive.")
    link: str | None = strawberry.field(description="The link to open it in a browser.")
    owner: One["Employee"] = strawberry.field(description="The employee with the owner's e-mail address.")
    folder: One["DriveFolder"] = strawberry.field(description="The folder that holds it.")
    permissions: Many["DrivePermission"] = strawberry.field(description="Who may do what with it.")
    history: History["DriveFile"] = strawberry.field(
        description="Every change of the file that was made through Onedoor."
    )


@strawberry.type(
    description="A folder in Google Drive.",
    directives=[allow("sales", "finance", "support"), owned("workplace tools")],
)
class DriveFolder:
    id: strawberry.ID = strawberry.field(description="Google's id of the folder.")
    path: str = strawberry.field(description="The folders that hold it and its name, separated by `/`.")
    name: str = strawberry.field(description="The name, which other folders may have too.")
    parent: One["DriveFolder"] = strawberry.field(description="The folder that holds it.")
    folders: Many["DriveFolder"] = strawberry.field(description="The folders in it.")
    files: Many["DriveFile"] = strawberry.field(description="The files in it.")
    permissions: Many["DrivePermission"] = strawberry.field(description="Who may do what with it.")


@strawberry.type(
    description="What someone may do with a file or folder in Google Drive.",
    directives=[allow("sales", "finance", "support"), owned("workplace tools")],
)
class DrivePermission:
    id: strawberry.ID = strawberry.field(description="The file or folder, and Google's id of the permission.")
    kind: str = strawberry.field(description="`user`, `group`, `domain` or `anyone`.")
    role: str = strawberry.field(description="Such as `owner`, `writer` or `reader`.")
    email: str | None = strawberry.field(description="The e-mail address of the user or group.")
    employee: One["Employee"] = strawberry.field(description="The employee with that e-mail address.")


@strawberry.type(
    description="A search by Google Drive itself, in the names and the content of files.",
    directives=[allow("sales", "finance", "support"), owned("workplace tools")],
)
class DriveSearch:
    id: strawberry.ID = strawberry.field(description="The text to search for: words, or a phrase in double quotes.")
    hits: Many["DriveHit"] = strawberry.field(description="The files that Drive finds.")


@strawberry.type(
    description="A file that Google Drive's own search found.",
    directives=[allow("sales", "finance", "support"), owned("workplace tools")],
)
class DriveHit:
    id: strawberry.ID = strawberry.field(description="The text that was searched for, and Google's id of the file.")
    rank: int = strawberry.field(description="The rank that Drive gives it, from 1.")
    name: str = strawberry.field(description="The name of the file.")
    content_type: str = strawberry.field(description="The media type in Drive.")
    modified: datetime = strawberry.field(description="When the file was last changed.")
    link: str | None = strawberry.field(description="The link to open it in a browser.")
    file: One["DriveFile"] = strawberry.field(description="The file itself.")


@strawberry.input(description="The file in Google Drive to write.")
class PutDriveFileInput(FileContent):
    id: strawberry.ID | None = strawberry.field(description="The id of an existing file; or give `path`.")
    path: str | None = strawberry.field(description="The folders and the name, separated by `/`; or give `id`.")


@strawberry.input(description="The file in Google Drive to copy, and the path of the copy.")
class CopyDriveFileInput(CopyFile):
    pass


@strawberry.input(description="The file in Google Drive to delete.")
class DeleteDriveFileInput(DeleteFile):
    pass


@strawberry.type
class Query:
    drive_file: ById["DriveFile"] = strawberry.field(description="The file with this id.")
    drive_files: Many["DriveFile"] = strawberry.field(description="All files but those in the trash.")
    drive_folder: ById["DriveFolder"] = strawberry.field(description="The folder with this id.")
    drive_folders: Many["DriveFolder"] = strawberry.field(description="All folders but those in the trash.")
    drive_search: ById["DriveSearch"] = strawberry.field(
        description="A search for this text; null where it holds neither a letter nor a digit."
    )


@strawberry.type
class Mutation:
    put_drive_file: Changed["DriveFile"] = strawberry.field(
        description="Writes a file in Google Drive, whether it exists or not.",
        directives=[allow("finance", "support"), owned("workplace tools")],
        metadata=with_input(PutDriveFileInput),
    )
    copy_drive_file: Changed["DriveFile"] = strawberry.field(
        description="Copies a file in Google Drive to another path, inside the store.",
        directives=[allow("finance", "support"), owned("workplace tools")],
        metadata=with_input(CopyDriveFileInput),
    )
    delete_drive_file: Changed["DriveFile"] = strawberry.field(
        description="Deletes a file in Google Drive.",
        directives=[allow("finance"), owned("workplace tools")],
        metadata=with_input(DeleteDriveFileInput),
    )
