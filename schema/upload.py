"""Declare uploads: addresses at which clients send files straight to their store."""

from onedoor.schema import uploads
from schema.file import Store

UPLOADS = uploads(stores=Store, allow=("finance", "support"), owner="data platform")
