"""Google Drive: files by id, folder, owner and what their paths say; the rest by what it belongs to."""

from engine.binding import Binding, Link
from resolvers.file import CUSTOMER, KEY, inside
from resolvers.file_changes import changes

PERMISSIONS = Link(to="DrivePermission", here="id", there="file_id")

BINDINGS = (
    Binding(
        type="DriveFile",
        source="drive",
        collection="files",
        key=KEY,
        constants={"store": "DRIVE"},
        lookups=inside("drive"),
        links={
            "owner": Link(to="Employee", here="owner_email", there="email"),
            "folder": Link(to="DriveFolder", here="parent_id", there="id"),
            "customer": CUSTOMER,
            "permissions": PERMISSIONS,
        },
    ),
    Binding(
        type="DriveFolder",
        source="drive",
        collection="folders",
        links={
            "parent": Link(to="DriveFolder", here="parent_id", there="id"),
            "folders": Link(to="DriveFolder", here="id", there="parent_id"),
            "files": Link(to="DriveFile", here="id", there="parent_id"),
            "permissions": PERMISSIONS,
        },
    ),
    Binding(
        type="DrivePermission",
        source="drive",
        collection="permissions",
        key=("file_id", "id"),
        links={"employee": Link(to="Employee", here="email", there="email")},
    ),
    Binding(
        type="DriveSearch",
        source="drive",
        collection="searches",
        key=("text",),
        links={"hits": Link(to="DriveHit", here="text", there="text")},
    ),
    Binding(
        type="DriveHit",
        source="drive",
        collection="hits",
        key=("text", "file_id"),
        links={"file": Link(to="DriveFile", here="file_id", there="id")},
    ),
)
CHANGES = changes(BINDINGS[0])
