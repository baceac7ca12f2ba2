"""Google Drive: files, the folders they lie in, who may do what with them, and what its own search finds."""

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
    owner_email: str | None = strawberry.field(description="Whose it is; nobody's, in a shared drive.")
    link: str | None = strawberry.field(description="Where a person opens it.")
    owner: One["Employee"] = strawberry.field(description="The employee with the owner's e-mail address.")
    folder: One["DriveFolder"] = strawberry.field(description="Where it lies.")
    permissions: Many["DrivePermission"] = strawberry.field(description="Who may do what with it.")
    history: History["DriveFile"] = strawberry.field(description="Every change of the file that was made here.")


@strawberry.type(
    description="A folder in Google Drive.",
    directives=[allow("sales", "finance", "support"), owned("workplace tools")],
)
class DriveFolder:
    id: strawberry.ID = strawberry.field(description="Google's id of the folder.")
    path: str = strawberry.field(description="The folders it lies in and its name, `/` between.")
    name: str = strawberry.field(description="What it is called; others may be called the same.")
    parent: One["DriveFolder"] = strawberry.field(description="The folder it lies in.")
    folders: Many["DriveFolder"] = strawberry.field(description="The folders in it.")
    files: Many["DriveFile"] = strawberry.field(description="The files in it.")
    permissions: Many["DrivePermission"] = strawberry.field(description="Who may do what with it.")


@strawberry.type(
    description="What someone may do with a file or folder in Google Drive.",
    directives=[allow("sales", "finance", "support"), owned("workplace tools")],
)
class DrivePermission:
    id: strawberry.ID = strawberry.field(description="The file or folder, and Google's id of who it is for.")
    kind: str = strawberry.field(description="`user`, `group`, `domain` or `anyone`.")
    role: str = strawberry.field(description="Such as `owner`, `writer` or `reader`.")
    email: str | None = strawberry.field(description="The address of the user or group.")
    employee: One["Employee"] = strawberry.field(description="The employee with that e-mail address.")


@strawberry.type(
    description="A search of Google Drive's own, in the names of files and in what they say.",
    directives=[allow("sales", "finance", "support"), owned("workplace tools")],
)
class DriveSearch:
    id: strawberry.ID = strawberry.field(description="What is searched for: words, or a phrase in double quotes.")
    hits: Many["DriveHit"] = strawberry.field(description="What Drive finds.")


@strawberry.type(
    description="A file that Google Drive's own search found.",
    directives=[allow("sales", "finance", "support"), owned("workplace tools")],
)
class DriveHit:
    id: strawberry.ID = strawberry.field(description="What was searched for, and Google's id of the file.")
    rank: int = strawberry.field(description="1 is what Drive put first, then 2, and so on.")
    name: str = strawberry.field(description="What the file is called.")
    content_type: str = strawberry.field(description="The media type that Drive keeps for it.")
    modified: datetime = strawberry.field(description="When the file was last changed.")
    link: str | None = strawberry.field(description="Where a person opens it.")
    file: One["DriveFile"] = strawberry.field(description="The file itself.")


@strawberry.input(description="A file in Google Drive as it is to be.")
class PutDriveFileInput(FileContent):
    id: strawberry.ID | None = strawberry.field(description="Which one, where it is there already; or give `path`.")
    path: str | None = strawberry.field(description="Folders and name, `/` between; or give `id`.")


@strawberry.input(description="A file in Google Drive to be, with what is in another.")
class CopyDriveFileInput(CopyFile):
    pass


@strawberry.input(description="A file in Google Drive to be deleted.")
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
        description="Makes a file in Google Drive what is given, whether it was there or not.",
        directives=[allow("finance", "support"), owned("workplace tools")],
        metadata=with_input(PutDriveFileInput),
    )
    copy_drive_file: Changed["DriveFile"] = strawberry.field(
        description="Makes a file in Google Drive that is a copy of another, in the store itself.",
        directives=[allow("finance", "support"), owned("workplace tools")],
        metadata=with_input(CopyDriveFileInput),
    )
    delete_drive_file: Changed["DriveFile"] = strawberry.field(
        description="Deletes a file in Google Drive.",
        directives=[allow("finance"), owned("workplace tools")],
        metadata=with_input(DeleteDriveFileInput),
    )
