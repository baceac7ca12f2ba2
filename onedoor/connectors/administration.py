"""Serve users, memberships and keys, and what was changed of them, for those who administer them."""

from collections.abc import Mapping

from sqlalchemy import select

from auth.api_keys import IssuedKey
from auth.user_import import ImportReport
from onedoor.connectors.memory import MemoryCollection, MemoryConnector
from onedoor.connectors.metadata import (
    INTEGER_COLUMN,
    METADATA_SOURCE,
    TEXT_COLUMN,
    TIME_COLUMN,
    UNFILTERED_TEXT_COLUMN,
    MetadataCollection,
    build_capabilities,
)
from onedoor.model.mapping import Relationship, TypeMapping
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.storage.tables import administrative_change_table, key_table, membership_table, user_table

COUNTED_MEMBERSHIPS = (
    select(membership_table)
    .join(user_table)
    .where(user_table.c.deactivated_at.is_(None))
    .subquery("counted_membership")
)
"""The memberships that count: not those of deactivated users."""

ADMINISTRATION_COLLECTIONS: Mapping[str, MetadataCollection] = {
    "user": MetadataCollection(
        table=user_table,
        capabilities=build_capabilities(
            {
                "id": TEXT_COLUMN,
                "first_name": TEXT_COLUMN,
                "last_name": TEXT_COLUMN,
                "email": TEXT_COLUMN,
                "email_folded": TEXT_COLUMN,
                "owner_group": TEXT_COLUMN,
                "attributes": UNFILTERED_TEXT_COLUMN,
                "created_at": TIME_COLUMN,
                "deactivated_at": TIME_COLUMN,
            },
            ("id",),
            ("email_folded",),
            ("owner_group",),
        ),
    ),
    "membership": MetadataCollection(
        table=COUNTED_MEMBERSHIPS,
        capabilities=build_capabilities(
            {
                "person_id": TEXT_COLUMN,
                "group_name": TEXT_COLUMN,
                "source": TEXT_COLUMN,
                "since": TIME_COLUMN,
                "confirmed_at": TIME_COLUMN,
            },
            ("person_id",),
            ("group_name",),
            ("person_id", "group_name", "source"),
        ),
    ),
    "key": MetadataCollection(
        table=key_table,
        capabilities=build_capabilities(
            {
                "id": TEXT_COLUMN,
                "person_id": TEXT_COLUMN,
                "secret": INTEGER_COLUMN,
                "created_at": TIME_COLUMN,
                "expires_at": TIME_COLUMN,
                "revoked_at": TIME_COLUMN,
                "rotated_at": TIME_COLUMN,
                "previous_until": TIME_COLUMN,
                "used_at": TIME_COLUMN,
            },
            ("id",),
            ("person_id",),
        ),
    ),
    "change": MetadataCollection(
        table=administrative_change_table,
        capabilities=build_capabilities(
            {
                "record_id": TEXT_COLUMN,
                "type": TEXT_COLUMN,
                "subject": TEXT_COLUMN,
                "verb": TEXT_COLUMN,
                "person_id": TEXT_COLUMN,
                "at": TIME_COLUMN,
                "actor": TEXT_COLUMN,
                "reason": UNFILTERED_TEXT_COLUMN,
            },
            ("person_id",),
            ("record_id", "type", "subject", "verb"),
        ),
    ),
}

ISSUED_KEY_SOURCE, ISSUED_KEY_COLLECTION = "issued_keys", "issued_key"

ISSUED_KEY_CAPABILITIES = Capabilities(
    columns={
        "id": Column(ColumnType.TEXT),
        "key": Column(ColumnType.TEXT),
        "secret": Column(ColumnType.INTEGER),
        "expires_at": Column(ColumnType.TIME),
    },
    max_keys=1,
)

IMPORT_SOURCE, IMPORT_COLLECTION, IMPORT_LINE_COLLECTION = "imports", "import", "import_line"

IMPORT_CAPABILITIES = Capabilities(
    columns={
        "id": Column(ColumnType.TEXT),
        "applied": Column(ColumnType.BOOLEAN),
        "created": Column(ColumnType.INTEGER),
        "updated": Column(ColumnType.INTEGER),
        "unchanged": Column(ColumnType.INTEGER),
        "refused": Column(ColumnType.INTEGER),
    },
    max_keys=1,
)

IMPORT_LINE_CAPABILITIES = Capabilities(
    columns={
        "import_id": Column(ColumnType.TEXT),
        "line": Column(ColumnType.INTEGER),
        "email": Column(ColumnType.TEXT),
        "outcome": Column(ColumnType.TEXT),
        "message": Column(ColumnType.TEXT),
    },
    max_keys=1,
)

MAPPINGS = (
    TypeMapping(
        type="UserAccount",
        source=METADATA_SOURCE,
        collection="user",
        columns={"foldedEmail": "email_folded"},
        relationships={
            "memberships": Relationship(to="GroupMembership", local="id", remote="person_id"),
            "keys": Relationship(to="ApiKey", local="id", remote="person_id"),
            "changes": Relationship(to="AdministrativeChange", local="id", remote="person_id"),
        },
    ),
    TypeMapping(
        type="GroupMembership",
        source=METADATA_SOURCE,
        collection="membership",
        key=("person_id", "group_name", "source"),
        columns={"group": "group_name"},
        relationships={"account": Relationship(to="UserAccount", local="person_id", remote="id")},
    ),
    TypeMapping(
        type="ApiKey",
        source=METADATA_SOURCE,
        collection="key",
        columns={"formerSecretUntil": "previous_until"},
        relationships={"account": Relationship(to="UserAccount", local="person_id", remote="id")},
    ),
    TypeMapping(
        type="AdministrativeChange",
        source=METADATA_SOURCE,
        collection="change",
        key=("record_id", "type", "subject", "verb"),
        columns={"record": "record_id", "subjectType": "type"},
        relationships={"account": Relationship(to="UserAccount", local="person_id", remote="id")},
    ),
    TypeMapping(type="IssuedApiKey", source=ISSUED_KEY_SOURCE, collection=ISSUED_KEY_COLLECTION),
    TypeMapping(
        type="UserImport",
        source=IMPORT_SOURCE,
        collection=IMPORT_COLLECTION,
        relationships={"lines": Relationship(to="UserImportLine", local="id", remote="import_id")},
    ),
    TypeMapping(
        type="UserImportLine", source=IMPORT_SOURCE, collection=IMPORT_LINE_COLLECTION, key=("import_id", "line")
    ),
)


def build_issued_key_connector(issued: IssuedKey | None = None) -> MemoryConnector:
    """Return the connector of the one answer that shows a key, or of none, for what it promises."""
    rows = () if issued is None else ((issued.id, issued.text, issued.secret, issued.expires_at),)
    return MemoryConnector({ISSUED_KEY_COLLECTION: MemoryCollection(capabilities=ISSUED_KEY_CAPABILITIES, rows=rows)})


def build_import_connector(id: str = "", report: ImportReport | None = None) -> MemoryConnector:
    """Return the connector of the one answer that shows the report of an import, or of none, for what it promises."""
    imports = () if report is None else ((id, report.is_applied, *report.count_outcomes()),)
    lines = () if report is None else report.lines
    return MemoryConnector(
        {
            IMPORT_COLLECTION: MemoryCollection(capabilities=IMPORT_CAPABILITIES, rows=imports),
            IMPORT_LINE_COLLECTION: MemoryCollection(
                capabilities=IMPORT_LINE_CAPABILITIES,
                rows=[(id, line.number, line.email, line.outcome.value, line.message) for line in lines],
            ),
        }
    )
