"""Serve what syncs with directories did, and the users and groups of directories, to those who administer users."""

from collections.abc import Mapping

from auth.directory.claims import ClaimCode
from onedoor.connectors.memory import MemoryCollection, MemoryConnector
from onedoor.connectors.metadata import (
    METADATA_SOURCE,
    TEXT_COLUMN,
    TIME_COLUMN,
    UNFILTERED_TEXT_COLUMN,
    MetadataCollection,
    build_capabilities,
)
from onedoor.model.mapping import Relationship, TypeMapping
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.storage.directory_tables import (
    directory_change_table,
    directory_group_table,
    directory_sync_table,
    directory_user_table,
)

DIRECTORY_COLLECTIONS: Mapping[str, MetadataCollection] = {
    "directory_sync": MetadataCollection(
        table=directory_sync_table,
        capabilities=build_capabilities(
            {
                "id": TEXT_COLUMN,
                "source": TEXT_COLUMN,
                "started_at": TIME_COLUMN,
                "ended_at": TIME_COLUMN,
                "state": TEXT_COLUMN,
                "failure": UNFILTERED_TEXT_COLUMN,
                "decided_by": TEXT_COLUMN,
                "decided_reason": UNFILTERED_TEXT_COLUMN,
                "decided_at": TIME_COLUMN,
            },
            ("id",),
        ),
    ),
    "directory_change": MetadataCollection(
        table=directory_change_table,
        capabilities=build_capabilities(
            {
                "id": TEXT_COLUMN,
                "sync_id": TEXT_COLUMN,
                "at": TIME_COLUMN,
                "kind": TEXT_COLUMN,
                "subject": TEXT_COLUMN,
                "person_id": TEXT_COLUMN,
                "group_name": TEXT_COLUMN,
                "detail": UNFILTERED_TEXT_COLUMN,
                "record_id": TEXT_COLUMN,
            },
            ("id",),
            ("sync_id",),
        ),
    ),
    "directory_user": MetadataCollection(
        table=directory_user_table,
        capabilities=build_capabilities(
            {
                "id": TEXT_COLUMN,
                "source": TEXT_COLUMN,
                "external_id": TEXT_COLUMN,
                "user_name": TEXT_COLUMN,
                "active": Column(ColumnType.BOOLEAN),
                "person_id": TEXT_COLUMN,
                "created_at": TIME_COLUMN,
                "modified_at": TIME_COLUMN,
            },
            ("id",),
        ),
    ),
    "directory_group": MetadataCollection(
        table=directory_group_table,
        capabilities=build_capabilities(
            {
                "id": TEXT_COLUMN,
                "source": TEXT_COLUMN,
                "external_id": TEXT_COLUMN,
                "display_name": TEXT_COLUMN,
                "created_at": TIME_COLUMN,
                "modified_at": TIME_COLUMN,
            },
            ("id",),
        ),
    ),
}

KEY_CLAIM_SOURCE, KEY_CLAIM_COLLECTION = "key_claims", "key_claim"

KEY_CLAIM_CAPABILITIES = Capabilities(
    columns={
        "id": Column(ColumnType.TEXT),
        "email": Column(ColumnType.TEXT),
        "expires_at": Column(ColumnType.TIME),
    },
    max_keys=1,
)

TO_ACCOUNT = Relationship(to="UserAccount", local="person_id", remote="id")

MAPPINGS = (
    TypeMapping(
        type="DirectorySync",
        source=METADATA_SOURCE,
        collection="directory_sync",
        relationships={"changes": Relationship(to="DirectoryChange", local="id", remote="sync_id")},
    ),
    TypeMapping(
        type="DirectoryChange",
        source=METADATA_SOURCE,
        collection="directory_change",
        columns={"group": "group_name", "record": "record_id"},
        relationships={
            "sync": Relationship(to="DirectorySync", local="sync_id", remote="id"),
            "account": TO_ACCOUNT,
        },
    ),
    TypeMapping(
        type="DirectoryUser",
        source=METADATA_SOURCE,
        collection="directory_user",
        relationships={"account": TO_ACCOUNT},
    ),
    TypeMapping(type="DirectoryGroup", source=METADATA_SOURCE, collection="directory_group"),
    TypeMapping(type="KeyClaim", source=KEY_CLAIM_SOURCE, collection=KEY_CLAIM_COLLECTION),
)


def build_key_claim_connector(claim: ClaimCode | None = None) -> MemoryConnector:
    """Return the connector of the one answer that shows a claim, never its code; of none, for what it promises."""
    rows = () if claim is None else ((claim.id, claim.email, claim.expires_at),)
    return MemoryConnector({KEY_CLAIM_COLLECTION: MemoryCollection(capabilities=KEY_CLAIM_CAPABILITIES, rows=rows)})
