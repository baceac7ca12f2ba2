"""Google Drive: files by id, folder, owner and what their paths say; the rest by what it belongs to."""

from onedoor.mapping import Relationship, TypeMapping
from onedoor.mutations import build_file_mutations
from resolvers.file import CUSTOMER, KEY, build_content_lookups

PERMISSIONS = Relationship(to="DrivePermission", local="id", remote="file_id")

MAPPINGS = (
    TypeMapping(
        type="DriveFile",
        source="drive",
        collection="files",
        key=KEY,
        constants={"store": "DRIVE"},
        lookups=build_content_lookups("drive"),
        relationships={
            "owner": Relationship(to="Employee", local="owner_email", remote="email"),
            "folder": Relationship(to="DriveFolder", local="parent_id", remote="id"),
            "customer": CUSTOMER,
            "permissions": PERMISSIONS,
        },
    ),
    TypeMapping(
        type="DriveFolder",
        source="drive",
        collection="folders",
        relationships={
            "parent": Relationship(to="DriveFolder", local="parent_id", remote="id"),
            "folders": Relationship(to="DriveFolder", local="id", remote="parent_id"),
            "files": Relationship(to="DriveFile", local="id", remote="parent_id"),
            "permissions": PERMISSIONS,
        },
    ),
    TypeMapping(
        type="DrivePermission",
        source="drive",
        collection="permissions",
        key=("file_id", "id"),
        relationships={"employee": Relationship(to="Employee", local="email", remote="email")},
    ),
    TypeMapping(
        type="DriveSearch",
        source="drive",
        collection="searches",
        key=("text",),
        relationships={"hits": Relationship(to="DriveHit", local="text", remote="text")},
    ),
    TypeMapping(
        type="DriveHit",
        source="drive",
        collection="hits",
        key=("text", "file_id"),
        relationships={"file": Relationship(to="DriveFile", local="file_id", remote="id")},
    ),
)
MUTATIONS = build_file_mutations(MAPPINGS[0])
