"""Files: contracts, invoices and profiles kept in object storage."""

from datetime import datetime
from typing import TYPE_CHECKING

import strawberry

from schema.arguments import BigInt, ById, Many, One
from schema.directives import allow, owned

if TYPE_CHECKING:
    from schema.customer import Customer


@strawberry.type(
    description="One stored object.",
    directives=[allow("sales", "finance", "support"), owned("data platform")],
)
class File:
    id: strawberry.ID = strawberry.field(description="The object's key.")
    name: str = strawberry.field(description="The last part of the key.")
    kind: str | None = strawberry.field(description="The folder below the customer's, such as `invoices`.")
    size: BigInt = strawberry.field(description="In bytes.")
    content_type: str | None = strawberry.field(description="The media type, after the name's ending.")
    modified: datetime = strawberry.field(description="When it was last written.")
    etag: str = strawberry.field(description="Changes when the content does.")
    customer: One["Customer"] = strawberry.field(description="Whose it is.")


@strawberry.type
class Query:
    file: ById["File"] = strawberry.field(description="The object with this key.")
    files: Many["File"] = strawberry.field(description="All stored objects.")
