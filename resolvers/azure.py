"""Azure: files of a share and blobs of a container, whose paths name the customer they belong to."""

from engine.words import Binding, Link

CUSTOMER = Link(to="Customer", here="customer_id", there="id")

BINDINGS = (
    Binding(type="AzureFile", source="azure_files", collection="files", links={"customer": CUSTOMER}),
    Binding(type="BlobFile", source="azure_blob", collection="files", links={"customer": CUSTOMER}),
)
