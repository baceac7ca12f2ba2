"""Azure: files of a share, and blobs of a container."""

import strawberry

from schema.arguments import ById, Many
from schema.directives import allow, owned
from schema.file import File


@strawberry.type(
    description="A file of the office's share in Azure Files.",
    directives=[allow("sales", "finance", "support"), owned("data platform")],
)
class AzureFile(File):
    kind: str | None = strawberry.field(description="The folder below the customer's, such as `scans`.")


@strawberry.type(
    description="A blob of a container in Azure Blob Storage.",
    directives=[allow("sales", "finance", "support"), owned("data platform")],
)
class BlobFile(File):
    kind: str | None = strawberry.field(description="The folder below the customer's, such as `exports`.")


@strawberry.type
class Query:
    azure_file: ById["AzureFile"] = strawberry.field(description="The file at this path of the share.")
    azure_files: Many["AzureFile"] = strawberry.field(description="All files of the share.")
    blob_file: ById["BlobFile"] = strawberry.field(description="The blob with this name.")
    blob_files: Many["BlobFile"] = strawberry.field(description="All blobs of the container.")
