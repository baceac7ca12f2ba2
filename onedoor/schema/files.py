"""What the inputs of the mutations of files share; each mutation has an input of its own name."""

import strawberry


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
