"""Azure: files of a share, and blobs of a container."""

from datetime import datetime
from typing import TYPE_CHECKING

import strawberry

from schema.arguments import BigInt, ById, Many, One
from schema.directives import allow, owned

if TYPE_CHECKING:
    from schema.customer import Customer


@strawberry.type(
    description="A file of the office's share in Azure Files.",
    directives=[allow("sales", "finance", "support"), owned("data platform")],
)
class AzureFile:
    id: strawberry.ID = strawberry.field(description="The path in the share.")
    path: str = strawberry.field(description="Folders and name, `/` between.")
    name: str = strawberry.field(description="The last part of the path.")
    kind: str | None = strawberry.field(description="The folder below the customer's, such as `scans`.")
    size: BigInt = strawberry.field(description="In bytes.")
    content_type: str | None = strawberry.field(description="The media type, after the name's ending.")
    modified: datetime = strawberry.field(description="When it was last written.")
    version: str = strawberry.field(description="Changes when the content does.")
    customer: One["Customer"] = strawberry.field(description="Whose it is.")


@strawberry.type(
    description="A blob of a container in Azure Blob Storage.",
    directives=[allow("sales", "finance", "support"), owned("data platform")],
)
class BlobFile:
    id: strawberry.ID = strawberry.field(description="The blob's name.")
    path: str = strawberry.field(description="Folders and name, `/` between.")
    name: str = strawberry.field(description="The last part of the path.")
    kind: str | None = strawberry.field(description="The folder below the customer's, such as `exports`.")
    size: BigInt = strawberry.field(description="In bytes.")
    content_type: str | None = strawberry.field(description="The media type, as it was stored with the blob.")
    modified: datetime = strawberry.field(description="When it was last written.")
    version: str = strawberry.field(description="Changes when the content does.")
    customer: One["Customer"] = strawberry.field(description="Whose it is.")


@strawberry.type
class Query:
    azure_file: ById["AzureFile"] = strawberry.field(description="The file at this path of the share.")
    azure_files: Many["AzureFile"] = strawberry.field(description="All files of the share.")
    blob_file: ById["BlobFile"] = strawberry.field(description="The blob with this name.")
    blob_files: Many["BlobFile"] = strawberry.field(description="All blobs of the container.")
