"""Files: of each store a binding, whose key begins with the store; patterns of paths say whose they are."""

from collections.abc import Mapping

from engine.binding import Binding, Link, Lookup
from resolvers.file_changes import changes

KEY = ("store", "id")
MAX_BYTES = {"maxBytes": "max_bytes"}
CUSTOMER = Link(to="Customer", here="customer_id", there="id")


def inside(source: str) -> Mapping[str, Lookup]:
    """What every store tells of what is in its files."""
    rows = {"first": "first", "columns": "columns", "where": "where"}
    return {
        "text": Lookup(source=source, collection="text", here="id", there="id", column="text", arguments=MAX_BYTES),
        "rows": Lookup(source=source, collection="rows", here="id", there="id", column="rows", arguments=rows),
        "downloadUrl": Lookup(
            source=source, collection="download", here="id", there="id", column="url", arguments={"minutes": "minutes"}
        ),
    }


BINDINGS = (
    Binding(
        type="S3File",
        source="s3",
        collection="files",
        key=KEY,
        constants={"store": "S3"},
        links={"customer": CUSTOMER},
        lookups=inside("s3"),
    ),
    Binding(
        type="FolderFile",
        source="folder",
        collection="files",
        key=KEY,
        constants={"store": "FOLDER"},
        links={"customer": CUSTOMER},
        lookups=inside("folder"),
    ),
)
CHANGES = tuple(each for binding in BINDINGS for each in changes(binding))
