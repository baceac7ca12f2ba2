"""Documents, files, shelves."""

import csv
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet as parquet_

from demo.data import business
from demo.data.business import Employee, employees
from demo.data.random import DEPARTMENTS, NOW, SERVICES, draw, size, stream

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
    whole, head = business.shop(scale), staff[0][3]
    top = folder("Customers", root(head), head, (Share(kind="group", role="reader", to=f"sales@{DOMAIN}"),))
    yield top
    for number in range(1, size("drive_customer", scale) + 1):
        yield from of_customer(business.customer(number, whole), top, staff)


def of_customer(customer: business.Customer, top: Document, staff: tuple[Employee, ...]) -> Iterator[Document]:
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


def agreement(customer: business.Customer) -> str:
    number, name, _, _, country, _, created, _, _ = customer
    return (
        f"Framework agreement AC-{number:05d}\n\nBetween Acme Inc. and {name} ({country}), since {created.date()}.\n"
        f"Renewed each year; notice {30 * (1 + number % 3)} days before its end.\n"
    )


def price_list(customer: int) -> str:
    sold = (business.product(1 + (customer * 7 + turn) % 20) for turn in range(6))
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


INVOICES_EACH = 3

TYPES = {"csv": "text/csv", "json": "application/json", "txt": "text/plain; charset=utf-8"}


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One object: its key in the bucket, its bytes, and when it was last written."""

    key: str
    body: bytes
    modified: datetime


def content_type(key: str) -> str:
    return TYPES[key.rpartition(".")[2]]


def files(scale: Fraction | float = 1) -> Iterator[File]:
    """The files of the first customers. At scale 1 about 2,000."""
    whole = business.shop(scale)
    billed = latest_orders(size("filed_customer", scale), whole)
    for number, orders in billed.items():
        customer = business.customer(number, whole)
        yield profile(customer)
        yield contract(customer)
        yield from (invoice(customer, *business.order(order, whole)) for order in orders)


def latest_orders(customers: int, whole: business.Shop) -> dict[int, list[int]]:
    """Each customer's most recent order numbers; none for those who never ordered."""
    found: dict[int, list[int]] = {number: [] for number in range(1, customers + 1)}
    for number in business.orders_of(customers, whole):
        found[business.placed(number, whole)[0]].append(number)
    return {customer: numbers[-INVOICES_EACH:] for customer, numbers in found.items()}


def profile(customer: business.Customer) -> File:
    number, name, email, phone, country, segment, created_at, _, _ = customer
    content = {
        "id": number,
        "name": name,
        "email": email,
        "phone": phone,
        "country": country,
        "segment": segment,
        "customer_since": created_at.date().isoformat(),
    }
    body = json.dumps(content, ensure_ascii=False, indent=2).encode()
    return File(key=f"customers/{number}/profile/profile.json", body=body, modified=created_at)


def contract(customer: business.Customer) -> File:
    number, name, _, _, country, segment, created_at, _, credit_limit = customer
    text = (
        f"FRAMEWORK AGREEMENT AC-{number:05d}\n\nBetween Acme Inc. and {name} ({country}).\n"
        f"In force since {created_at.date()}, renewed each year.\nSegment: {segment}\n"
        f"Credit limit: {'none agreed' if credit_limit is None else f'{credit_limit} EUR'}\n"
        f"Payment within {60 if segment == 'ENTERPRISE' else 30} days.\n"
    )
    key = f"customers/{number}/contracts/framework-{created_at.year}.txt"
    return File(key=key, body=text.encode(), modified=created_at)


def invoice(customer: business.Customer, order: business.Order, lines: list[business.Item]) -> File:
    """As a table; every tenth one as JSON, in the form the company's older system wrote."""
    written = invoice_json if order[0] % 10 == 0 else invoice_csv
    ending = "json" if order[0] % 10 == 0 else "csv"
    key = f"customers/{customer[0]}/invoices/INV-{order[0]:06d}.{ending}"
    return File(key=key, body=written(customer, order, lines).encode(), modified=min(order[3], NOW))


def invoice_csv(customer: business.Customer, order: business.Order, lines: list[business.Item]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("order_id", "customer_id", "line", "sku", "product", "quantity", "unit_price", "amount"))
    for _, line, product_id, quantity, price in lines:
        _, sku, name, *_ = business.product(product_id)
        writer.writerow((order[0], customer[0], line, sku, name, quantity, price, quantity * price))
    return text.getvalue()


def invoice_json(customer: business.Customer, order: business.Order, lines: list[business.Item]) -> str:
    content = {
        "order_id": order[0],
        "customer_id": customer[0],
        "customer": customer[1],
        "placed_at": order[3].isoformat(),
        "total": str(order[4]),
        "lines": [
            {"line": line, "sku": business.product(product_id)[1], "quantity": quantity, "unit_price": str(price)}
            for _, line, product_id, quantity, price in lines
        ],
    }
    return json.dumps(content, ensure_ascii=False, indent=2)


STORED_TYPES = {
    "pdf": "application/pdf",
    "csv": "text/csv",
    "txt": "text/plain",
    "jsonl": "application/jsonl",
    "parquet": "application/vnd.apache.parquet",
}

ORDER_LINES = ("order_id", "placed_at", "status", "total")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    path: str
    body: bytes
    modified: datetime

    @property
    def content_type(self) -> str:
        return STORED_TYPES[self.path.rpartition(".")[2]]

    @property
    def version(self) -> str:
        """An ETag as Azure writes them, of the content."""
        return f"0x8{sha256(self.body).hexdigest()[:14].upper()}"


def stored_documents(scale: Fraction | float = 1) -> Iterator[Stored]:
    """The office's share: of each customer two scans and a table of orders, and a letter. At scale 1 about 100."""
    whole = business.shop(scale)
    for number, orders in latest_orders(size("stored_customer", scale), whole).items():
        customer = business.customer(number, whole)
        folder, signed = f"customers/{number}", customer[6]
        yield scanned(f"{folder}/scans/agreement-{signed.year}.pdf", stored_agreement(customer), signed)
        yield scanned(f"{folder}/scans/identity-{signed.year}.pdf", [f"Register extract of {customer[1]}"], signed)
        rows = [business.order(order, whole)[0] for order in orders]
        yield table(
            f"{folder}/exports/orders.csv", ORDER_LINES, [(row[0], row[3].isoformat(), *row[2:5:2]) for row in rows]
        )
    yield Stored(path="templates/letter.txt", body=b"Dear customer,\n\nwith kind regards\nAcme Inc.\n", modified=NOW)


def exports(scale: Fraction | float = 1) -> Iterator[Stored]:
    """The nightly exports: of each customer its usage twice and a scan, and all customers at once. About as many."""
    whole, count = business.shop(scale), size("stored_customer", scale)
    customers = [business.customer(number, whole) for number in range(1, count + 1)]
    for customer in customers:
        folder, days = (
            f"customers/{customer[0]}",
            [business.usage_day(customer[0], day) for day in range(business.DAYS)],
        )
        yield table(f"{folder}/exports/usage.csv", ("day", "api_calls", "active_users"), [day[1:4] for day in days])
        yield Stored(path=f"{folder}/exports/usage.jsonl", body=json_lines(days), modified=NOW)
        yield scanned(f"{folder}/scans/delivery-note.pdf", [f"Delivered to {customer[1]}", customer[4]], NOW)
    yield Stored(path="exports/customers.parquet", body=parquet(customers), modified=NOW)


def stored_agreement(customer: business.Customer) -> list[str]:
    number, name, _, _, country, *_ = customer
    return [f"FRAMEWORK AGREEMENT AC-{number:05d}", f"between Acme Inc. and {name} ({country})", "signed and sealed"]


def table(path: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Stored:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows((columns, *rows))
    return Stored(path=path, body=text.getvalue().encode(), modified=NOW)


def json_lines(days: Sequence[business.UsageDay]) -> bytes:
    lines = [
        {
            "customer_id": customer,
            "day": day.isoformat(),
            "api_calls": calls,
            "active_users": users,
            "storage_gb": str(gb),
        }
        for customer, day, calls, users, gb in days
    ]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def parquet(customers: Sequence[business.Customer]) -> bytes:
    """Imported here: only the server that keeps it needs so large a library."""
    import pyarrow
    from pyarrow import parquet as written

    rows = [dict(zip(business.CUSTOMER_COLUMNS, customer, strict=True)) for customer in customers]
    sink = io.BytesIO()
    written.write_table(pyarrow.Table.from_pylist(rows), sink)
    return sink.getvalue()


def scanned(path: str, lines: Sequence[str], at: datetime) -> Stored:
    """One page of PDF, with the text that a scanner recognised."""
    shown = "".join(f"({escaped(line)}) Tj T* " for line in lines).encode("latin-1", "replace")
    content = b"BT /F1 12 Tf 14 TL 72 770 Td " + shown + b"ET"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%b\nendstream" % (len(content), content),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    return Stored(path=path, body=stored_pdf(objects), modified=at)


def escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def stored_pdf(objects: Sequence[bytes]) -> bytes:
    """The objects, and where each of them begins."""
    body, places = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, start=1):
        places.append(b"%010d 00000 n \n" % len(body))
        body += b"%d 0 obj%b endobj\n" % (number, each)
    size = len(objects) + 1
    places.insert(0, b"0000000000 65535 f \n")
    return body + b"xref\n0 %d\n%btrailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (
        size, b"".join(places), size, len(body),
    )  # fmt: skip


MONTHS = 12

DIGESTS = 6

VISITS = 9

STOCKTAKES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """A file as it is written: its text, or of a table of stock, what to fill it with."""

    path: str
    text: str = ""
    table: tuple[tuple[str, int], ...] = ()
    """Of a Parquet file: skus, and how many of each there are."""
    modified: datetime


def papers(scale: Fraction | float = 1) -> Iterator[Paper]:
    """About 30, whatever the scale: those of customers are of the first ones."""
    whole = business.shop(scale)
    filed = size("filed_customer", scale)
    yield Paper(path="readme.txt", text="Price lists, stock, and what we know of customers.\n", modified=months_ago(30))
    yield from (shelf_price_list(each, whole) for each in range(MONTHS))
    yield from (stock(each, whole) for each in range(STOCKTAKES))
    yield from (digest(number, orders, whole) for number, orders in latest_orders(min(DIGESTS, filed), whole).items())
    yield from (visit(number, whole) for number in range(1, min(VISITS, filed) + 1))


def months_ago(count: int) -> datetime:
    """The first of a month, at eight in the morning."""
    month = NOW.year * 12 + NOW.month - 1 - count
    return datetime(month // 12, month % 12 + 1, 1, 8, tzinfo=NOW.tzinfo)


def shelf_price_list(age: int, whole: business.Shop) -> Paper:
    at = months_ago(age)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("sku", "product", "category", "price"))
    for number in range(1, whole.products + 1):
        _, sku, name, category, price, _ = business.product(number)
        writer.writerow((sku, name, category, price))
    return Paper(path=f"prices/{at:%Y-%m}.csv", text=text.getvalue(), modified=at)


def stock(age: int, whole: business.Shop) -> Paper:
    at = months_ago(age) + timedelta(hours=10)
    counts = tuple((business.product(number)[1], number * 37 % 240 + age) for number in range(1, whole.products + 1))
    return Paper(path=f"stock/{at:%Y-%m}.parquet", table=counts, modified=at)


def digest(customer: int, orders: list[int], whole: business.Shop) -> Paper:
    """A line for each of the latest orders."""
    found = [business.order(number, whole)[0] for number in orders]
    lines = [{"order_id": each[0], "placed_at": each[3].isoformat(), "total": str(each[4])} for each in found]
    text = "".join(f"{json.dumps(each)}\n" for each in lines)
    return Paper(path=f"customers/{customer}/orders/latest.jsonl", text=text, modified=NOW - timedelta(days=customer))


def visit(number: int, whole: business.Shop) -> Paper:
    _, name, _, _, country, *_ = business.customer(number, whole)
    day = NOW - timedelta(days=11 * number)
    text = f"Visit to {name} ({country}), {day.date()}.\nThey asked about delivery times and next year's prices.\n"
    return Paper(path=f"customers/{number}/notes/visit-{day.date()}.txt", text=text, modified=day)


SHELF = "shelf"
"""What the folder is called, below that of the demo."""

PATTERN = "customers/{customer_id:int}/{folder}/{name}"


def shelve(folder: Path, scale: Fraction | float = 1) -> Path:
    """Written once, and renamed into place when it is whole."""
    shelf, begun = folder / SHELF, folder / f"{SHELF}.new"
    if not shelf.exists():
        shutil.rmtree(begun, ignore_errors=True)
        for paper in papers(scale):
            write(begun / paper.path, paper)
        begun.rename(shelf)
    return shelf


def write(path: Path, paper: Paper) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if paper.table:
        write_table(path, paper)
    else:
        path.write_text(paper.text, encoding="utf-8")
    at = paper.modified.timestamp()
    os.utime(path, (at, at))


def write_table(path: Path, paper: Paper) -> None:
    names, pieces = zip(*paper.table, strict=True)
    parquet_.write_table(pyarrow.table({"sku": names, "pieces": pyarrow.array(pieces, pyarrow.int32())}), path)
