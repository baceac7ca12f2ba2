"""Customers: the companies that buy from us."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

import strawberry

from onedoor.schema import Argument, ById, Changed, History, Looked, Many, One, allow, owned, with_arguments, with_input

if TYPE_CHECKING:
    from schema.azure import AzureFile, BlobFile
    from schema.drive import DriveFile
    from schema.employee import Employee
    from schema.file import File
    from schema.monitoring import LogLine, Monitor
    from schema.order import Order
    from schema.slack import Channel
    from schema.usage import RevenueMonth, UsageDay


@strawberry.enum(description="How large a customer is.")
class Segment(StrEnum):
    ENTERPRISE = "ENTERPRISE"
    MID_MARKET = "MID_MARKET"
    SMALL_BUSINESS = "SMALL_BUSINESS"


@strawberry.enum(description="How a customer fares with us.")
class Health(StrEnum):
    HEALTHY = "OK"
    AT_RISK = "Warn"
    FAILING = "Alert"
    UNKNOWN = "No Data"


@strawberry.type(
    description="A company that buys from us.",
    directives=[allow("sales", "marketing", "finance", "support"), owned("sales operations")],
)
class Customer:
    id: strawberry.ID = strawberry.field(description="The customer number.")
    name: str = strawberry.field(description="The company's name.")
    email: str | None = strawberry.field(
        description="Where invoices and notices go.", directives=[allow("sales", "finance", "support")]
    )
    phone: str | None = strawberry.field(
        description="The main line, where we know it.", directives=[allow("sales", "support")]
    )
    country: str = strawberry.field(description="ISO 3166 code, two letters.")
    segment: Segment = strawberry.field(description="How large the customer is.")
    created_at: datetime = strawberry.field(description="When the customer first signed.")
    credit_limit: Decimal | None = strawberry.field(
        description="How much may be owed, in euros.", directives=[allow("finance")]
    )
    version: int = strawberry.field(description="Counts the changes; give it as `ifVersion`.")
    account_manager: One["Employee"] = strawberry.field(description="Who looks after the customer.")
    orders: Many["Order"] = strawberry.field(description="What the customer ordered.")
    usage: Many["UsageDay"] = strawberry.field(description="What the customer used, a row a day.")
    revenue: Many["RevenueMonth"] = strawberry.field(description="What the customer brought in, a row a month.")
    files: Many["File"] = strawberry.field(description="The customer's contracts and invoices.")
    azure_files: Many["AzureFile"] = strawberry.field(description="The customer's scans and tables of orders.")
    blob_files: Many["BlobFile"] = strawberry.field(description="The customer's nightly exports and delivery notes.")
    drive_files: Many["DriveFile"] = strawberry.field(description="What is kept about the customer in Google Drive.")
    health: Looked[Health] = strawberry.field(
        description="How all that watches the customer is at worst, where anything does.",
        directives=[allow("sales", "support")],
    )
    monitors: Many["Monitor"] = strawberry.field(description="What watches the customer.")
    logs: Many["LogLine"] = strawberry.field(description="What our services logged of the customer.")
    channel: One["Channel"] = strawberry.field(description="The Slack channel kept for the customer.")
    history: History["Customer"] = strawberry.field(description="Every change of the customer that was made here.")


@strawberry.input(description="A customer to be.")
class CreateCustomerInput:
    name: str = strawberry.field(description="The company's name.")
    country: str = strawberry.field(description="ISO 3166 code, two letters.")
    segment: Segment = strawberry.field(description="How large the customer is.")
    created_at: datetime = strawberry.field(description="When the customer first signed.")
    email: str | None = strawberry.field(description="Where invoices and notices go.")
    phone: str | None = strawberry.field(description="The main line, where we know it.")
    credit_limit: Decimal | None = strawberry.field(description="How much may be owed, in euros.")
    account_manager_id: strawberry.ID | None = strawberry.field(
        description="The employee who looks after the customer."
    )


@strawberry.input(description="What is to be changed of a customer; what is not given stays as it is.")
class UpdateCustomerInput:
    id: strawberry.ID = strawberry.field(description="Which one.")
    name: str | None = strawberry.field(description="The company's name.")
    country: str | None = strawberry.field(description="ISO 3166 code, two letters.")
    segment: Segment | None = strawberry.field(description="How large the customer is.")
    email: str | None = strawberry.field(description="Where invoices and notices go; null: nowhere.")
    phone: str | None = strawberry.field(description="The main line; null: none that we know.")
    credit_limit: Decimal | None = strawberry.field(description="How much may be owed, in euros; null: no limit set.")
    account_manager_id: strawberry.ID | None = strawberry.field(
        description="The employee who looks after the customer."
    )


@strawberry.input(description="A customer to be deleted, of whom nothing else is kept any more.")
class DeleteCustomerInput:
    id: strawberry.ID = strawberry.field(description="Which one.")


@strawberry.type
class Query:
    customer: ById["Customer"] = strawberry.field(description="The customer with this number.")
    customers: Many["Customer"] = strawberry.field(description="All customers.")


@strawberry.type
class Mutation:
    create_customer: Changed["Customer"] = strawberry.field(
        description="Makes a customer.",
        directives=[allow("sales", "finance"), owned("sales operations")],
        metadata=with_input(CreateCustomerInput),
    )
    update_customer: Changed["Customer"] = strawberry.field(
        description="Changes what is kept of a customer.",
        directives=[allow("sales", "finance"), owned("sales operations")],
        metadata=with_input(UpdateCustomerInput),
    )
    delete_customer: Changed["Customer"] = strawberry.field(
        description="Deletes a customer without orders.",
        directives=[allow("sales"), owned("sales operations")],
        metadata=with_input(DeleteCustomerInput),
    )


@strawberry.type
class Subscription:
    customer_changed: Changed["Customer"] = strawberry.field(
        description="A change of a customer, as soon as it is made.",
        metadata=with_arguments(id=Argument(strawberry.ID, "Only of this one.", default=None)),
    )
