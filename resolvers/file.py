"""Files: objects of a bucket, whose keys name the customer they belong to."""

from engine.words import Binding, Link

BINDINGS = (
    Binding(
        type="File",
        source="s3",
        collection="files",
        key=("key",),
        links={"customer": Link(to="Customer", here="customer_id", there="id")},
    ),
)
