"""Customers: a table of the internal database, linked to all that is known of them elsewhere."""

from onedoor.mapping import ALL_ROWS, Lookup, Relationship, TopicSubscription, TypeMapping, attribute, last
from onedoor.mutations import TABLE_CHANGE_KINDS, RowMutation

MAPPINGS = (
    TypeMapping(
        type="Customer",
        source="internal",
        collection="customer",
        lookups={
            "health": Lookup(source="datadog", collection="health", local="id", remote="customer_id", column="status"),
        },
        relationships={
            "monitors": Relationship(to="Monitor", local="id", remote="customer_id"),
            "logs": Relationship(to="LogLine", local="id", remote="customer_id"),
            "accountManager": Relationship(to="Employee", local="account_manager_id", remote="id"),
            "orders": Relationship(to="Order", local="id", remote="customer_id"),
            "usage": Relationship(to="UsageDay", local="id", remote="customer_id"),
            "revenue": Relationship(to="RevenueMonth", local="id", remote="customer_id"),
            "files": Relationship(to="File", local="id", remote="customer_id"),
            "azureFiles": Relationship(to="AzureFile", local="id", remote="customer_id"),
            "blobFiles": Relationship(to="BlobFile", local="id", remote="customer_id"),
            "driveFiles": Relationship(to="DriveFile", local="id", remote="customer_id"),
            "channel": Relationship(to="Channel", local="id", remote="customer_id"),
        },
        rows={
            "sales": ALL_ROWS,
            "marketing": ALL_ROWS,
            "finance": ALL_ROWS,
            "support": ALL_ROWS,
            "vendor": {"vendor": attribute("vendor")},
        },
        mask={"phone": {"support": last(4)}},
    ),
)
MUTATIONS = tuple(RowMutation(field=f"{verb}Customer", type="Customer", kind=verb) for verb in TABLE_CHANGE_KINDS)
SUBSCRIPTIONS = {"customerChanged": TopicSubscription(topic="Customer", argument="id")}
