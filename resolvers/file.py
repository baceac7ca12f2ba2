"""Files: of each store a binding, whose key begins with the store; patterns of paths say whose they are."""

from engine.words import Binding, Link

KEY = ("store", "id")
CUSTOMER = Link(to="Customer", here="customer_id", there="id")

BINDINGS = (
    Binding(
        type="S3File",
        source="s3",
        collection="files",
        key=KEY,
        constants={"store": "S3"},
        links={"customer": CUSTOMER},
    ),
    Binding(
        type="FolderFile",
        source="folder",
        collection="files",
        key=KEY,
        constants={"store": "FOLDER"},
        links={"customer": CUSTOMER},
    ),
)
