"""Azure: files of a share and blobs of a container, whose paths name the customer they belong to."""

from engine.binding import Binding
from resolvers.file import CUSTOMER, KEY, inside
from resolvers.file_changes import changes

BINDINGS = (
    Binding(
        type="AzureFile",
        source="azure_files",
        collection="files",
        key=KEY,
        constants={"store": "AZURE_FILES"},
        links={"customer": CUSTOMER},
        lookups=inside("azure_files"),
    ),
    Binding(
        type="BlobFile",
        source="azure_blob",
        collection="files",
        key=KEY,
        constants={"store": "AZURE_BLOB"},
        links={"customer": CUSTOMER},
        lookups=inside("azure_blob"),
    ),
)
CHANGES = tuple(each for binding in BINDINGS for each in changes(binding))
