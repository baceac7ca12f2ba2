"""Uploads: files that are sent to their store itself, at an address that Onedoor gives."""

from onedoor.schema import uploads
from schema.file import Store

UPLOADS = uploads(stores=Store, allow=("finance", "support"), owner="data platform")
