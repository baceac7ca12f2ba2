"""Files: of each store a binding, whose key begins with the store; patterns of paths say whose they are."""

from collections.abc import Mapping

from onedoor.mapping import Lookup, Relationship, TypeMapping
from onedoor.mutations import build_file_mutations

KEY = ("store", "id")
MAX_BYTES = {"maxBytes": "max_bytes"}
CUSTOMER = Relationship(to="Customer", local="customer_id", remote="id")


def build_content_lookups(source: str) -> Mapping[str, Lookup]:
    """Map the contents that every store gives of its files."""
    rows = {"first": "first", "columns": "columns", "where": "where"}
    return {
        "text": Lookup(source=source, collection="text", local="id", remote="id", column="text", arguments=MAX_BYTES),
        "rows": Lookup(source=source, collection="rows", local="id", remote="id", column="rows", arguments=rows),
        "downloadUrl": Lookup(
            source=source,
            collection="download",
            local="id",
            remote="id",
            column="url",
            arguments={"minutes": "minutes"},
        ),
    }


MAPPINGS = (
    TypeMapping(
        type="S3File",
        source="s3",
        collection="files",
        key=KEY,
        constants={"store": "S3"},
        relationships={"customer": CUSTOMER},
        lookups=build_content_lookups("s3"),
    ),
    TypeMapping(
        type="FolderFile",
        source="folder",
        collection="files",
        key=KEY,
        constants={"store": "FOLDER"},
        relationships={"customer": CUSTOMER},
        lookups=build_content_lookups("folder"),
    ),
)
MUTATIONS = tuple(each for binding in MAPPINGS for each in build_file_mutations(binding))
