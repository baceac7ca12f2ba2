"""Azure: files of a share and blobs of a container, whose paths name the customer they belong to."""

from onedoor.mapping import TypeMapping
from onedoor.mutations import build_file_mutations
from resolvers.file import CUSTOMER, KEY, build_content_lookups

MAPPINGS = (
    TypeMapping(
        type="AzureFile",
        source="azure_files",
        collection="files",
        key=KEY,
        constants={"store": "AZURE_FILES"},
        relationships={"customer": CUSTOMER},
        lookups=build_content_lookups("azure_files"),
    ),
    TypeMapping(
        type="BlobFile",
        source="azure_blob",
        collection="files",
        key=KEY,
        constants={"store": "AZURE_BLOB"},
        relationships={"customer": CUSTOMER},
        lookups=build_content_lookups("azure_blob"),
    ),
)
MUTATIONS = tuple(each for binding in MAPPINGS for each in build_file_mutations(binding))
