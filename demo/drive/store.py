"""What is kept: every file and folder, as seeded and as changed since; and what of it one person sees."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from demo.drive.failures import forbidden, not_found
from demo.world.documents import DOMAIN, FOLDER, Document, Share, archive, documents, root, shares
from demo.world.sizes import NOW, size
from demo.world.staff import employees

WRITERS = frozenset({"owner", "organizer", "fileOrganizer", "writer"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """`versions` counts what was changed of an item, `revisions` what was changed of its bytes.

    `names`: by address, who it is; `groups`: by address, the addresses of the groups they are in.
    """

    names: Mapping[str, str]
    groups: Mapping[str, frozenset[str]]
    roots: frozenset[str]
    documents: dict[str, Document] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    revisions: dict[str, int] = field(default_factory=dict)


def store(scale: Fraction | float = 1) -> Store:
    staff = employees(size("employee", scale))
    homes = [home(each[3]) for each in staff]
    drive = archive(scale)
    made = Store(
        names={each[3]: f"{each[1]} {each[2]}" for each in staff},
        groups={each[3]: frozenset({f"{each[5].lower()}@{DOMAIN}"}) for each in staff},
        roots=frozenset({drive.id, *(each.id for each in homes)}),
    )
    for each in (*homes, drive, *documents(scale)):
        put(made, each)
    return made


def home(email: str) -> Document:
    return Document(id=root(email), name="My Drive", parent="", content_type=FOLDER, modified=NOW, owner=email)


def put(here: Store, document: Document) -> Document:
    """New, or in place of what it was."""
    before = here.documents.get(document.id)
    here.documents[document.id] = document
    here.versions[document.id] = here.versions.get(document.id, 0) + 1
    if before is None or before.body != document.body:
        here.revisions[document.id] = here.revisions.get(document.id, 0) + 1
    return document


def changed(here: Store, document: Document, **given: Any) -> Document:
    return put(here, replace(document, modified=now(), **given))


def now() -> datetime:
    """To the millisecond, as Drive keeps it."""
    return datetime.fromtimestamp(int(time.time() * 1000) / 1000, UTC)


def removed(here: Store, document: Document) -> None:
    """With all that lies in it."""
    for each in [each for each in here.documents.values() if each.parent == document.id]:
        removed(here, each)
    del here.documents[document.id]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one person sees. `drives`: whether they asked for what is in shared drives, too."""

    store: Store
    email: str
    drives: bool

    @property
    def documents(self) -> Mapping[str, Document]:
        return self.store.documents

    @property
    def root(self) -> str:
        return root(self.email)

    def role(self, document: Document) -> str | None:
        """What they may do; None: they do not see it."""
        given = [each.role for each in shares(document, self.documents) if self.meant(each)]
        return min(given, key=list(ORDER).index, default=None)

    def meant(self, share: Share) -> bool:
        mine = {self.email, *self.store.groups.get(self.email, ())}
        return share.to in mine or share.kind == "anyone" or (share.kind == "domain" and share.to == self.domain)

    @property
    def domain(self) -> str:
        return self.email.rpartition("@")[2]

    def knows(self, id: str) -> bool:
        found = self.documents.get(id)
        return found is not None and self.sees(found)

    def sees(self, document: Document) -> bool:
        return (document.drive is None or self.drives) and self.role(document) is not None

    def get(self, id: str) -> Document:
        """Raises Failure, the same for what is not there and for what is not theirs to see."""
        wanted = self.root if id == "root" else id
        if not self.knows(wanted):
            raise not_found(id)
        return self.documents[wanted]

    def writable(self, id: str) -> Document:
        found = self.get(id)
        if self.role(found) not in WRITERS:
            raise forbidden()
        return found

    def listed(self) -> Iterator[Document]:
        """All but what everything lies in."""
        return (each for each in self.documents.values() if each.id not in self.store.roots and self.sees(each))


ORDER = ("owner", "organizer", "fileOrganizer", "writer", "commenter", "reader")
