"""A scale to what the company keeps in Google Drive: contracts, prices and terms by customer, papers by team."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction

from demo.world import shop
from demo.world.draw import draw, stream
from demo.world.names import DEPARTMENTS, SERVICES
from demo.world.sizes import NOW, size
from demo.world.staff import Employee, employees

DOMAIN = "acme.example"
GOOGLE = "application/vnd.google-apps."
FOLDER, DOC, SHEET = f"{GOOGLE}folder", f"{GOOGLE}document", f"{GOOGLE}spreadsheet"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
ARCHIVE = "Legal archive"
"""The one shared drive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Who may do what; `to` is an address, or a domain, or empty for anyone."""

    kind: str
    role: str
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file or folder. `owner`: an address, None in a shared drive. A Doc's bytes are its text, a Sheet's its CSV."""

    id: str
    name: str
    parent: str
    content_type: str
    modified: datetime
    owner: str | None
    body: bytes = b""
    shares: tuple[Share, ...] = ()
    trashed: bool = False
    drive: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    """What an application keeps with it, for itself."""


def documents(scale: Fraction | float = 1) -> tuple[Document, ...]:
    """Folders before what lies in them. At scale 1 about 200 files."""
    staff = employees(size("employee", scale))
    return (*of_customers(staff, scale), *of_teams(staff), *archived())


def subject(scale: Fraction | float = 1) -> str:
    """Whose Drive it is all in: the head of the company's."""
    return employees(size("employee", scale))[0][3]


def root(email: str) -> str:
    """The id of someone's own Drive."""
    return drive_id(f"root {email}")


def of_customers(staff: tuple[Employee, ...], scale: Fraction | float) -> Iterator[Document]:
    whole, head = shop.shop(scale), staff[0][3]
    top = folder("Customers", root(head), head, (Share(kind="group", role="reader", to=f"sales@{DOMAIN}"),))
    yield top
    for number in range(1, size("drive_customer", scale) + 1):
        yield from of_customer(shop.customer(number, whole), top, staff)


def of_customer(customer: shop.Customer, top: Document, staff: tuple[Employee, ...]) -> Iterator[Document]:
    """Two folders: a contract and its terms, prices and what was bought at them."""
    number, name, *_, created, manager, _ = customer
    owner = staff[0 if manager is None else manager - 1][3]
    home = folder(f"{number} {name}", top.id, owner)
    contracts, prices = folder("Contracts", home.id, owner), folder("Prices", home.id, owner)
    yield from (home, contracts, prices)
    yield file(f"Framework agreement {created.year}", DOC, contracts, agreement(customer))
    yield file(f"Terms {number}.pdf", "application/pdf", contracts, pdf(f"Terms of AC-{number:05d}"))
    yield file("Prices 2026", SHEET, prices, price_list(number))
    yield file(f"volumes-{number}.csv", "text/csv", prices, volumes(number))


def of_teams(staff: tuple[Employee, ...]) -> Iterator[Document]:
    head = staff[0][3]
    top = folder("Teams", root(head), head, (Share(kind="domain", role="reader", to=DOMAIN),))
    yield top
    for place, name in enumerate(DEPARTMENTS):
        yield from of_team(name, staff[place + 1][3], top)


def of_team(name: str, lead: str, top: Document) -> Iterator[Document]:
    """A slash in a name, an apostrophe, a name that many files have, and something in the trash."""
    home = folder(name, top.id, lead, (Share(kind="group", role="writer", to=f"{name.lower()}@{DOMAIN}"),))
    yield home
    yield file("Handbook", DOC, home, f"How {name} works.\nWho to ask, and when.\n")
    yield file(f"{name} plan 2026/27", DOC, home, f"What {name} does next.\nFirst half; second half.\n")
    yield file("Numbers", SHEET, home, written((("month", "count"), *((month, 10 + month) for month in range(1, 13)))))
    yield file(f"{name}'s notes.txt", "text/plain", home, f"Notes of {name}: café, naïve, 東京.\n")
    yield file("on-call.csv", "text/csv", home, written((("service", "week"), *((each, 44) for each in SERVICES))))
    yield file("Old plan", DOC, home, "No longer true.\n", trashed=True)


def archived() -> Iterator[Document]:
    drive = shared_drive()
    home = Document(
        id=drive_id("archive folder"), name="2020", parent=drive, content_type=FOLDER, modified=changed("archive"),
        owner=None, drive=drive,
    )  # fmt: skip
    yield home
    yield file("Articles.pdf", "application/pdf", home, pdf("Articles of association"))
    yield file("Register", SHEET, home, "entry,day\n1,2020-01-02\n")


def shared_drive() -> str:
    """Its id."""
    return drive_id("drive archive")


def archive(scale: Fraction | float = 1) -> Document:
    """The shared drive itself: its members' rights hold for all that is in it."""
    members = (
        Share(kind="user", role="organizer", to=subject(scale)),
        Share(kind="group", role="reader", to=f"legal@{DOMAIN}"),
    )
    drive = shared_drive()
    return Document(
        id=drive, name=ARCHIVE, parent="", content_type=FOLDER, modified=changed("archive"), owner=None, drive=drive,
        shares=members,
    )  # fmt: skip


def folder(name: str, parent: str, owner: str, shares: tuple[Share, ...] = ()) -> Document:
    return Document(
        id=drive_id(f"{parent}/{name}"), name=name, parent=parent, content_type=FOLDER,
        modified=changed(f"{parent}/{name}"), owner=owner, shares=shares,
    )  # fmt: skip


def file(name: str, content_type: str, within: Document, body: str | bytes, trashed: bool = False) -> Document:
    return Document(
        id=drive_id(f"{within.id}/{name}"), name=name, parent=within.id, content_type=content_type,
        modified=changed(f"{within.id}/{name}"), owner=within.owner, drive=within.drive, trashed=trashed,
        body=body if isinstance(body, bytes) else body.encode(),
    )  # fmt: skip


def drive_id(name: str) -> str:
    """As Drive's ids look."""
    bits = [draw(stream(f"drive {name}"), part) for part in range(4)]
    return "1" + "".join(ALPHABET[part >> 6 * place & 63] for part in bits for place in range(8))


def changed(name: str) -> datetime:
    """Within the last two years, to the millisecond, as Drive keeps it."""
    bits = draw(stream(f"drive time {name}"), 0)
    return NOW - timedelta(days=bits % 700, seconds=(bits >> 16) % 86_400, milliseconds=(bits >> 40) % 1_000)


def agreement(customer: shop.Customer) -> str:
    number, name, _, _, country, _, created, _, _ = customer
    return (
        f"Framework agreement AC-{number:05d}\n\nBetween Acme Inc. and {name} ({country}), since {created.date()}.\n"
        f"Renewed each year; notice {30 * (1 + number % 3)} days before its end.\n"
    )


def price_list(customer: int) -> str:
    sold = (shop.product(1 + (customer * 7 + turn) % 20) for turn in range(6))
    return written((("sku", "name", "price"), *((sku, name, price) for _, sku, name, _, price, _ in sold)))


def volumes(customer: int) -> str:
    counts = ((month, draw(stream("volumes"), customer * 16 + month) % 900) for month in range(1, 13))
    return written((("month", "pieces"), *counts))


def written(rows: tuple[tuple[object, ...], ...]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def pdf(title: str) -> bytes:
    """One page that says its title, with the table of offsets a reader needs."""
    drawing = f"BT /F1 18 Tf 72 720 Td ({title}) Tj ET"
    objects = (
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        "/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        f"<< /Length {len(drawing)} >>\nstream\n{drawing}\nendstream",
    )
    text, offsets = "%PDF-1.4\n", []
    for number, each in enumerate(objects, start=1):
        offsets.append(len(text))
        text += f"{number} 0 obj\n{each}\nendobj\n"
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    end = f"xref\n0 5\n0000000000 65535 f \n{table}trailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n{len(text)}\n%%EOF\n"
    return (text + end).encode("ascii")


ROLES = ("owner", "organizer", "fileOrganizer", "writer", "commenter", "reader")


def shares(document: Document, known: Mapping[str, Document]) -> tuple[Share, ...]:
    """Its own and those of the folders it lies in, whose owners may write in it; of one grantee the most."""
    found: dict[tuple[str, str], Share] = {}
    at: Document | None = document
    while at is not None:
        owner = () if at.owner is None else (Share(kind="user", role=owning(at, document), to=at.owner),)
        for each in (*owner, *at.shares):
            before = found.get((each.kind, each.to))
            if before is None or ROLES.index(each.role) < ROLES.index(before.role):
                found[each.kind, each.to] = each
        at = known.get(at.parent)
    return tuple(found.values())


def owning(folder: Document, document: Document) -> str:
    return "owner" if folder is document else "writer"


def share_id(share: Share) -> str:
    """Of whom it is for, whatever it is for."""
    if share.kind in ("anyone", "domain"):
        return "anyoneWithLink" if share.kind == "anyone" else f"{draw(stream('drive domain ' + share.to), 0):020d}k"
    return f"{draw(stream('drive permission ' + share.to), 0):020d}"
