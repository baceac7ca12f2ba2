"""Declare the files of an Azure share and the blobs of a container."""

import strawberry

from onedoor.schema import ById, Changed, CopyFile, DeleteFile, History, Many, PutFile, allow, owned, with_input
from schema.file import File


@strawberry.type(
    description="A file of the office's share in Azure Files.",
    directives=[allow("sales", "finance", "support"), owned("data platform")],
)
class AzureFile(File):
    kind: str | None = strawberry.field(description="The folder below the customer's, such as `scans`.")
    history: History["AzureFile"] = strawberry.field(
        description="Every change of the file that was made through Onedoor."
    )


@strawberry.type(
    description="A blob of a container in Azure Blob Storage.",
    directives=[allow("sales", "finance", "support"), owned("data platform")],
)
class BlobFile(File):
    kind: str | None = strawberry.field(description="The folder below the customer's, such as `exports`.")
    history: History["BlobFile"] = strawberry.field(
        description="Every change of the file that was made through Onedoor."
    )


@strawberry.input(description="The file of the share to write.")
class PutAzureFileInput(PutFile):
    pass


@strawberry.input(description="The file of the share to copy, and the path of the copy.")
class CopyAzureFileInput(CopyFile):
    pass


@strawberry.input(description="The file of the share to delete.")
class DeleteAzureFileInput(DeleteFile):
    pass


@strawberry.input(description="The blob of the container to write.")
class PutBlobFileInput(PutFile):
    pass


@strawberry.input(description="The blob of the container to copy, and the path of the copy.")
class CopyBlobFileInput(CopyFile):
    pass


@strawberry.input(description="The blob of the container to delete.")
class DeleteBlobFileInput(DeleteFile):
    pass


@strawberry.type
class Query:
    azure_file: ById["AzureFile"] = strawberry.field(description="The file at this path of the share.")
    azure_files: Many["AzureFile"] = strawberry.field(description="All files of the share.")
    blob_file: ById["BlobFile"] = strawberry.field(description="The blob with this name.")
    blob_files: Many["BlobFile"] = strawberry.field(description="All blobs of the container.")


@strawberry.type
class Mutation:
    put_azure_file: Changed["AzureFile"] = strawberry.field(
        description="Writes a file of the share, whether it exists or not.",
        directives=[allow("finance", "support"), owned("data platform")],
        metadata=with_input(PutAzureFileInput),
    )
    copy_azure_file: Changed["AzureFile"] = strawberry.field(
        description="Copies a file of the share to another path, inside the store.",
        directives=[allow("finance", "support"), owned("data platform")],
        metadata=with_input(CopyAzureFileInput),
    )
    delete_azure_file: Changed["AzureFile"] = strawberry.field(
        description="Deletes a file of the share.",
        directives=[allow("finance"), owned("data platform")],
        metadata=with_input(DeleteAzureFileInput),
    )
    put_blob_file: Changed["BlobFile"] = strawberry.field(
        description="Writes a blob of the container, whether it exists or not.",
        directives=[allow("finance", "support"), owned("data platform")],
        metadata=with_input(PutBlobFileInput),
    )
    copy_blob_file: Changed["BlobFile"] = strawberry.field(
        description="Copies a blob of the container to another path, inside the store.",
        directives=[allow("finance", "support"), owned("data platform")],
        metadata=with_input(CopyBlobFileInput),
    )
    delete_blob_file: Changed["BlobFile"] = strawberry.field(
        description="Deletes a blob of the container.",
        directives=[allow("finance"), owned("data platform")],
        metadata=with_input(DeleteBlobFileInput),
    )
