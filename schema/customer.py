"""Declare customers: the companies that buy from us."""

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


@strawberry.enum(description="The size of a customer.")
class Segment(StrEnum):
    ENTERPRISE = "ENTERPRISE"
    MID_MARKET = "MID_MARKET"
    SMALL_BUSINESS = "SMALL_BUSINESS"


@strawberry.enum(description="The state of all that monitors a customer.")
class Health(StrEnum):
    HEALTHY = "OK"
    AT_RISK = "Warn"
    FAILING = "Alert"
    UNKNOWN = "No Data"


@strawberry.type(
    description="A company that buys from us.",
    directives=[allow("sales", "marketing", "finance", "support", "vendor"), owned("sales operations")],
)
class Customer:
    id: strawberry.ID = strawberry.field(description="The customer number.")
    name: str = strawberry.field(description="The company's name.")
    email: str | None = strawberry.field(
        description="The address for invoices and notices.", directives=[allow("sales", "finance", "support")]
    )
    phone: str | None = strawberry.field(
        description="The number of the main line, if we know it.", directives=[allow("sales", "support")]
    )
    country: str = strawberry.field(description="The ISO 3166 code of the country, two letters.")
    segment: Segment = strawberry.field(description="The size of the customer.")
    created_at: datetime = strawberry.field(description="When the customer first signed.")
    credit_limit: Decimal | None = strawberry.field(
        description="The most that the customer may owe, in euros.", directives=[allow("finance")]
    )
    version: int = strawberry.field(description="The number of changes so far; pass it as `ifVersion`.")
    account_manager: One["Employee"] = strawberry.field(description="The employee who looks after the customer.")
    orders: Many["Order"] = strawberry.field(description="The orders of the customer.")
    usage: Many["UsageDay"] = strawberry.field(description="The usage of the customer, one row a day.")
    revenue: Many["RevenueMonth"] = strawberry.field(description="The revenue from the customer, one row a month.")
    files: Many["File"] = strawberry.field(description="The customer's contracts and invoices.")
    azure_files: Many["AzureFile"] = strawberry.field(description="The customer's scans and tables of orders.")
    blob_files: Many["BlobFile"] = strawberry.field(description="The customer's nightly exports and delivery notes.")
    drive_files: Many["DriveFile"] = strawberry.field(description="The files about the customer in Google Drive.")
    health: Looked[Health] = strawberry.field(
        description="The worst state of the customer's monitors, if there are any.",
        directives=[allow("sales", "support")],
    )
    monitors: Many["Monitor"] = strawberry.field(description="The monitors of the customer.")
    logs: Many["LogLine"] = strawberry.field(description="The lines that our services logged about the customer.")
    channel: One["Channel"] = strawberry.field(description="The Slack channel about the customer.")
    history: History["Customer"] = strawberry.field(
        description="Every change of the customer that was made through Onedoor."
    )


@strawberry.input(description="The values of a new customer.")
class CreateCustomerInput:
    name: str = strawberry.field(description="The company's name.")
    country: str = strawberry.field(description="The ISO 3166 code of the country, two letters.")
    segment: Segment = strawberry.field(description="The size of the customer.")
    created_at: datetime = strawberry.field(description="When the customer first signed.")
    email: str | None = strawberry.field(description="The address for invoices and notices.")
    phone: str | None = strawberry.field(description="The number of the main line, if we know it.")
    credit_limit: Decimal | None = strawberry.field(description="The most that the customer may owe, in euros.")
    account_manager_id: strawberry.ID | None = strawberry.field(
        description="The employee who looks after the customer."
    )


@strawberry.input(description="The values to change in a customer; those not given stay as they are.")
class UpdateCustomerInput:
    id: strawberry.ID = strawberry.field(description="The id of the customer.")
    name: str | None = strawberry.field(description="The company's name.")
    country: str | None = strawberry.field(description="The ISO 3166 code of the country, two letters.")
    segment: Segment | None = strawberry.field(description="The size of the customer.")
    email: str | None = strawberry.field(description="The address for invoices and notices; null removes it.")
    phone: str | None = strawberry.field(description="The number of the main line; null removes it.")
    credit_limit: Decimal | None = strawberry.field(
        description="The most that the customer may owe, in euros; null removes the limit."
    )
    account_manager_id: strawberry.ID | None = strawberry.field(
        description="The employee who looks after the customer."
    )


@strawberry.input(description="The customer to delete, on whom no other row may depend.")
class DeleteCustomerInput:
    id: strawberry.ID = strawberry.field(description="The id of the customer.")


@strawberry.type
class Query:
    customer: ById["Customer"] = strawberry.field(description="The customer with this number.")
    customers: Many["Customer"] = strawberry.field(description="All customers.")


@strawberry.type
class Mutation:
    create_customer: Changed["Customer"] = strawberry.field(
        description="Creates a customer.",
        directives=[allow("sales", "finance"), owned("sales operations")],
        metadata=with_input(CreateCustomerInput),
    )
    update_customer: Changed["Customer"] = strawberry.field(
        description="Changes a customer.",
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
        metadata=with_arguments(id=Argument(strawberry.ID, "Only changes of the customer with this id.", default=None)),
    )
