"""What of a Drive the settings open: one person's, one shared drive, or what lies below one folder."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sources.drive.calls import Calls, Item

ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""What Drive's ids look like; no file has any other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """`folder`: only what lies below it. `drive`: only what is in this shared drive."""

    folder: str | None
    drive: str | None

    @property
    def one(self) -> Mapping[str, str]:
        """What a call for one item says beside its id."""
        return {} if self.drive is None else {"supportsAllDrives": "true"}

    @property
    def all(self) -> Mapping[str, str]:
        """What a listing says beside its query."""
        if self.drive is None:
            return {}
        return {**self.one, "includeItemsFromAllDrives": "true", "corpora": "drive", "driveId": self.drive}

    def holds(self, item: Item) -> bool:
        """Whether an item that was asked for by its id is one that a listing shows, folders aside."""
        return not item.get("trashed") and (self.drive is None or item.get("driveId") == self.drive)


class Roots:
    """Where paths begin: asked once, as nobody's own folder ever changes."""

    def __init__(self, scope: Scope) -> None:
        self.found = scope.folder or scope.drive

    async def id(self, calls: Calls) -> str | None:
        """None: there is no such folder, as a service account that speaks for itself may have none."""
        if self.found is None:
            said = await calls.found("files/root", fields="id")
            self.found = None if said is None else said.get("id")
        return self.found
