"""Customers: a table of the internal database, linked to all that is known of them elsewhere."""

from engine.binding import Binding, Link, Lookup
from engine.change.declared import Changes
from engine.change.words import ROW_VERBS
from engine.feed import Listens

BINDINGS = (
    Binding(
        type="Customer",
        source="internal",
        collection="customer",
        lookups={
            "health": Lookup(source="datadog", collection="health", here="id", there="customer_id", column="status"),
        },
        links={
            "monitors": Link(to="Monitor", here="id", there="customer_id"),
            "logs": Link(to="LogLine", here="id", there="customer_id"),
            "accountManager": Link(to="Employee", here="account_manager_id", there="id"),
            "orders": Link(to="Order", here="id", there="customer_id"),
            "usage": Link(to="UsageDay", here="id", there="customer_id"),
            "revenue": Link(to="RevenueMonth", here="id", there="customer_id"),
            "files": Link(to="File", here="id", there="customer_id"),
            "azureFiles": Link(to="AzureFile", here="id", there="customer_id"),
            "blobFiles": Link(to="BlobFile", here="id", there="customer_id"),
            "driveFiles": Link(to="DriveFile", here="id", there="customer_id"),
            "channel": Link(to="Channel", here="id", there="customer_id"),
        },
    ),
)
CHANGES = tuple(Changes(field=f"{verb}Customer", type="Customer", verb=verb) for verb in ROW_VERBS)
FEEDS = {"customerChanged": Listens(topic="Customer", argument="id")}
