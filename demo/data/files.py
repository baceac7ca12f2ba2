"""Make up Acme's files: in Google Drive, S3, Azure and a local folder."""

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
from demo.data.operations import Employee, employees
from demo.data.pdf import build_text_page, build_title_page
from demo.data.random import DEPARTMENTS, NOW, SERVICES, draw, size, stream

DOMAIN = "acme.example"

GOOGLE_MEDIA_TYPE_PREFIX = "application/vnd.google-apps."

FOLDER, DOC, SHEET = (
    f"{GOOGLE_MEDIA_TYPE_PREFIX}folder",
    f"{GOOGLE_MEDIA_TYPE_PREFIX}document",
    f"{GOOGLE_MEDIA_TYPE_PREFIX}spreadsheet",
)

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"

ARCHIVE = "Legal archive"
"""The one shared drive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A permission; `to` is an e-mail address, a domain, or empty for anyone."""

    kind: str
    role: str
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file or folder of Drive, without an owner in a shared drive; a Doc's bytes are its text, a Sheet's its CSV."""

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
    """Return folders before the files in them: about 200 files at scale 1."""
    staff = employees(size("employee", scale))
    return (*build_customers_folder(staff, scale), *build_teams_folder(staff), *build_archive_files())


def get_drive_subject(scale: Fraction | float = 1) -> str:
    """Return the address of the person whose Drive it is: the head of the company."""
    return employees(size("employee", scale))[0][3]


def build_root_id(email: str) -> str:
    """Return the id of a person's own root folder."""
    return build_drive_id(f"root {email}")


def build_customers_folder(staff: tuple[Employee, ...], scale: Fraction | float) -> Iterator[Document]:
    whole, head = business.get_company_size(scale), staff[0][3]
    top = build_folder(
        "Customers", build_root_id(head), head, (Share(kind="group", role="reader", to=f"sales@{DOMAIN}"),)
    )
    yield top
    for number in range(1, size("drive_customer", scale) + 1):
        yield from build_customer_folder(business.build_customer(number, whole), top, staff)


def build_customer_folder(
    customer: business.Customer, top: Document, staff: tuple[Employee, ...]
) -> Iterator[Document]:
    """Yield a customer's folders, its contract and terms, its prices and what it bought at them."""
    number, name, *_, created, manager, _ = customer
    owner = staff[0 if manager is None else manager - 1][3]
    home = build_folder(f"{number} {name}", top.id, owner)
    contracts, prices = build_folder("Contracts", home.id, owner), build_folder("Prices", home.id, owner)
    yield from (home, contracts, prices)
    yield build_file(f"Framework agreement {created.year}", DOC, contracts, write_agreement(customer))
    yield build_file(f"Terms {number}.pdf", "application/pdf", contracts, build_title_page(f"Terms of AC-{number:05d}"))
    yield build_file("Prices 2026", SHEET, prices, write_price_list(number))
    yield build_file(f"volumes-{number}.csv", "text/csv", prices, write_volumes(number))


def build_teams_folder(staff: tuple[Employee, ...]) -> Iterator[Document]:
    head = staff[0][3]
    top = build_folder("Teams", build_root_id(head), head, (Share(kind="domain", role="reader", to=DOMAIN),))
    yield top
    for place, name in enumerate(DEPARTMENTS):
        yield from build_team_folder(name, staff[place + 1][3], top)


def build_team_folder(name: str, lead: str, top: Document) -> Iterator[Document]:
    """Yield names with a slash, with an apostrophe, and shared by many files, and a file in the trash."""
    home = build_folder(name, top.id, lead, (Share(kind="group", role="writer", to=f"{name.lower()}@{DOMAIN}"),))
    yield home
    yield build_file("Handbook", DOC, home, f"How {name} works.\nWho to ask, and when.\n")
    yield build_file(f"{name} plan 2026/27", DOC, home, f"What {name} does next.\nFirst half; second half.\n")
    yield build_file(
        "Numbers", SHEET, home, format_csv((("month", "count"), *((month, 10 + month) for month in range(1, 13))))
    )
    yield build_file(f"{name}'s notes.txt", "text/plain", home, f"Notes of {name}: café, naïve, 東京.\n")
    yield build_file(
        "on-call.csv", "text/csv", home, format_csv((("service", "week"), *((service, 44) for service in SERVICES)))
    )
    yield build_file("Old plan", DOC, home, "No longer true.\n", trashed=True)


def build_archive_files() -> Iterator[Document]:
    drive = build_shared_drive_id()
    home = Document(
        id=build_drive_id("archive folder"),
        name="2020",
        parent=drive,
        content_type=FOLDER,
        modified=draw_change_time("archive"),
        owner=None,
        drive=drive,
    )
    yield home
    yield build_file("Articles.pdf", "application/pdf", home, build_title_page("Articles of association"))
    yield build_file("Register", SHEET, home, "entry,day\n1,2020-01-02\n")


def build_shared_drive_id() -> str:
    """Return the id of the one shared drive."""
    return build_drive_id("drive archive")


def build_archive(scale: Fraction | float = 1) -> Document:
    """Build the shared drive itself, whose members' permissions hold for all files in it."""
    members = (
        Share(kind="user", role="organizer", to=get_drive_subject(scale)),
        Share(kind="group", role="reader", to=f"legal@{DOMAIN}"),
    )
    drive = build_shared_drive_id()
    return Document(
        id=drive,
        name=ARCHIVE,
        parent="",
        content_type=FOLDER,
        modified=draw_change_time("archive"),
        owner=None,
        drive=drive,
        shares=members,
    )


def build_folder(name: str, parent: str, owner: str, shares: tuple[Share, ...] = ()) -> Document:
    return Document(
        id=build_drive_id(f"{parent}/{name}"), name=name, parent=parent, content_type=FOLDER,
        modified=draw_change_time(f"{parent}/{name}"), owner=owner, shares=shares,
    )  # fmt: skip


def build_file(name: str, content_type: str, within: Document, body: str | bytes, trashed: bool = False) -> Document:
    return Document(
        id=build_drive_id(f"{within.id}/{name}"), name=name, parent=within.id, content_type=content_type,
        modified=draw_change_time(f"{within.id}/{name}"), owner=within.owner, drive=within.drive, trashed=trashed,
        body=body if isinstance(body, bytes) else body.encode(),
    )  # fmt: skip


def build_drive_id(name: str) -> str:
    """Return an id in the form that Drive gives."""
    bits = [draw(stream(f"drive {name}"), part) for part in range(4)]
    return "1" + "".join(ALPHABET[part >> 6 * place & 63] for part in bits for place in range(8))


def draw_change_time(name: str) -> datetime:
    """Draw a time within the last two years, to the millisecond, as Drive stores it."""
    bits = draw(stream(f"drive time {name}"), 0)
    return NOW - timedelta(days=bits % 700, seconds=(bits >> 16) % 86_400, milliseconds=(bits >> 40) % 1_000)


def write_agreement(customer: business.Customer) -> str:
    number, name, _, _, country, _, created, _, _ = customer
    return (
        f"Framework agreement AC-{number:05d}\n\nBetween Acme Inc. and {name} ({country}), since {created.date()}.\n"
        f"Renewed each year; notice {30 * (1 + number % 3)} days before its end.\n"
    )


def write_price_list(customer: int) -> str:
    sold = (business.build_product(1 + (customer * 7 + turn) % 20) for turn in range(6))
    return format_csv((("sku", "name", "price"), *((sku, name, price) for _, sku, name, _, price, _ in sold)))


def write_volumes(customer: int) -> str:
    counts = ((month, draw(stream("volumes"), customer * 16 + month) % 900) for month in range(1, 13))
    return format_csv((("month", "pieces"), *counts))


def format_csv(rows: tuple[tuple[object, ...], ...]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


ROLES = ("owner", "organizer", "fileOrganizer", "writer", "commenter", "reader")


def list_shares(document: Document, known: Mapping[str, Document]) -> tuple[Share, ...]:
    """Return the permissions of a file and its folders, the strongest for each grantee; owners of folders may write."""
    results: dict[tuple[str, str], Share] = {}
    moment: Document | None = document
    while moment is not None:
        owner = (
            ()
            if moment.owner is None
            else (Share(kind="user", role=get_owner_role(moment, document), to=moment.owner),)
        )
        for share in (*owner, *moment.shares):
            before = results.get((share.kind, share.to))
            if before is None or ROLES.index(share.role) < ROLES.index(before.role):
                results[share.kind, share.to] = share
        moment = known.get(moment.parent)
    return tuple(results.values())


def get_owner_role(folder: Document, document: Document) -> str:
    return "owner" if folder is document else "writer"


def build_share_id(share: Share) -> str:
    """Return the id of a permission, which follows from whom it is for."""
    if share.kind in ("anyone", "domain"):
        return "anyoneWithLink" if share.kind == "anyone" else f"{draw(stream('drive domain ' + share.to), 0):020d}k"
    return f"{draw(stream('drive permission ' + share.to), 0):020d}"


INVOICES_EACH = 3

BUCKET_MEDIA_TYPES = {"csv": "text/csv", "json": "application/json", "txt": "text/plain; charset=utf-8"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketFile:
    """An object of the bucket: its key, its bytes, and when it was last written."""

    key: str
    body: bytes
    modified: datetime


def get_content_type(key: str) -> str:
    return BUCKET_MEDIA_TYPES[key.rpartition(".")[2]]


def files(scale: Fraction | float = 1) -> Iterator[BucketFile]:
    """Yield the files of the first customers: about 2,000 at scale 1."""
    whole = business.get_company_size(scale)
    billed = find_latest_orders(size("filed_customer", scale), whole)
    for number, orders in billed.items():
        customer = business.build_customer(number, whole)
        yield build_profile(customer)
        yield build_contract(customer)
        yield from (build_invoice(customer, *business.build_order(order, whole)) for order in orders)


def find_latest_orders(customers: int, whole: business.CompanySize) -> dict[int, list[int]]:
    """Return each customer's most recent order numbers."""
    results: dict[int, list[int]] = {number: [] for number in range(1, customers + 1)}
    for number in business.list_order_numbers(customers, whole):
        results[business.draw_order(number, whole)[0]].append(number)
    return {customer: numbers[-INVOICES_EACH:] for customer, numbers in results.items()}


def build_profile(customer: business.Customer) -> BucketFile:
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
    return BucketFile(key=f"customers/{number}/profile/profile.json", body=body, modified=created_at)


def build_contract(customer: business.Customer) -> BucketFile:
    number, name, _, _, country, segment, created_at, _, credit_limit = customer
    text = (
        f"FRAMEWORK AGREEMENT AC-{number:05d}\n\nBetween Acme Inc. and {name} ({country}).\n"
        f"In force since {created_at.date()}, renewed each year.\nSegment: {segment}\n"
        f"Credit limit: {'none agreed' if credit_limit is None else f'{credit_limit} EUR'}\n"
        f"Payment within {60 if segment == 'ENTERPRISE' else 30} days.\n"
    )
    key = f"customers/{number}/contracts/framework-{created_at.year}.txt"
    return BucketFile(key=key, body=text.encode(), modified=created_at)


def build_invoice(customer: business.Customer, order: business.Order, lines: list[business.Item]) -> BucketFile:
    """Build a CSV invoice; every tenth is JSON, as an older system of the company wrote it."""
    format_invoice = format_invoice_json if order[0] % 10 == 0 else format_invoice_csv
    ending = "json" if order[0] % 10 == 0 else "csv"
    key = f"customers/{customer[0]}/invoices/INV-{order[0]:06d}.{ending}"
    return BucketFile(key=key, body=format_invoice(customer, order, lines).encode(), modified=min(order[3], NOW))


def format_invoice_csv(customer: business.Customer, order: business.Order, lines: list[business.Item]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("order_id", "customer_id", "line", "sku", "product", "quantity", "unit_price", "amount"))
    for _, line, product_id, quantity, price in lines:
        _, sku, name, *_ = business.build_product(product_id)
        writer.writerow((order[0], customer[0], line, sku, name, quantity, price, quantity * price))
    return text.getvalue()


def format_invoice_json(customer: business.Customer, order: business.Order, lines: list[business.Item]) -> str:
    content = {
        "order_id": order[0],
        "customer_id": customer[0],
        "customer": customer[1],
        "placed_at": order[3].isoformat(),
        "total": str(order[4]),
        "lines": [
            {"line": line, "sku": business.build_product(product_id)[1], "quantity": quantity, "unit_price": str(price)}
            for _, line, product_id, quantity, price in lines
        ],
    }
    return json.dumps(content, ensure_ascii=False, indent=2)


AZURE_MEDIA_TYPES = {
    "pdf": "application/pdf",
    "csv": "text/csv",
    "txt": "text/plain",
    "jsonl": "application/jsonl",
    "parquet": "application/vnd.apache.parquet",
}

ORDER_LINES = ("order_id", "placed_at", "status", "total")


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureFile:
    path: str
    body: bytes
    modified: datetime

    @property
    def content_type(self) -> str:
        return AZURE_MEDIA_TYPES[self.path.rpartition(".")[2]]

    @property
    def version(self) -> str:
        """An ETag of the content, in the form that Azure writes."""
        return f"0x8{sha256(self.body).hexdigest()[:14].upper()}"


def share_files(scale: Fraction | float = 1) -> Iterator[AzureFile]:
    """Yield the office's share: two scans and a table for each customer, and a letter; about 100 at scale 1."""
    whole = business.get_company_size(scale)
    for number, orders in find_latest_orders(size("stored_customer", scale), whole).items():
        customer = business.build_customer(number, whole)
        folder, signed = f"customers/{number}", customer[6]
        yield build_scan(f"{folder}/scans/agreement-{signed.year}.pdf", build_agreement_lines(customer), signed)
        yield build_scan(f"{folder}/scans/identity-{signed.year}.pdf", [f"Register extract of {customer[1]}"], signed)
        rows = [business.build_order(order, whole)[0] for order in orders]
        yield build_table_file(
            f"{folder}/exports/orders.csv", ORDER_LINES, [(row[0], row[3].isoformat(), *row[2:5:2]) for row in rows]
        )
    yield AzureFile(path="templates/letter.txt", body=b"Dear customer,\n\nwith kind regards\nAcme Inc.\n", modified=NOW)


def container_files(scale: Fraction | float = 1) -> Iterator[AzureFile]:
    """Yield the nightly exports: usage in two formats and a scan for each customer, and a table of all customers."""
    whole, count = business.get_company_size(scale), size("stored_customer", scale)
    customers = [business.build_customer(number, whole) for number in range(1, count + 1)]
    for customer in customers:
        folder, days = (
            f"customers/{customer[0]}",
            [business.usage_day(customer[0], day) for day in range(business.DAYS)],
        )
        yield build_table_file(
            f"{folder}/exports/usage.csv", ("day", "api_calls", "active_users"), [day[1:4] for day in days]
        )
        yield AzureFile(path=f"{folder}/exports/usage.jsonl", body=format_json_lines(days), modified=NOW)
        yield build_scan(f"{folder}/scans/delivery-note.pdf", [f"Delivered to {customer[1]}", customer[4]], NOW)
    yield AzureFile(path="exports/customers.parquet", body=format_parquet(customers), modified=NOW)


def build_agreement_lines(customer: business.Customer) -> list[str]:
    number, name, _, _, country, *_ = customer
    return [f"FRAMEWORK AGREEMENT AC-{number:05d}", f"between Acme Inc. and {name} ({country})", "signed and sealed"]


def build_scan(path: str, lines: Sequence[str], time: datetime) -> AzureFile:
    return AzureFile(path=path, body=build_text_page(lines), modified=time)


def build_table_file(path: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> AzureFile:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows((columns, *rows))
    return AzureFile(path=path, body=text.getvalue().encode(), modified=NOW)


def format_json_lines(days: Sequence[business.UsageDay]) -> bytes:
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


def format_parquet(customers: Sequence[business.Customer]) -> bytes:
    """Write Parquet; pyarrow is imported here as only one server needs so large a library."""
    import pyarrow
    from pyarrow import parquet as format_invoice

    rows = [dict(zip(business.CUSTOMER_COLUMNS, customer, strict=True)) for customer in customers]
    sink = io.BytesIO()
    format_invoice.write_table(pyarrow.Table.from_pylist(rows), sink)
    return sink.getvalue()


MONTHS = 12

DIGESTS = 6

VISITS = 9

STOCKTAKES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFile:
    """A file of the folder, with its text, or with the skus and counts of a table of stock."""

    path: str
    text: str = ""
    table: tuple[tuple[str, int], ...] = ()
    """Of a Parquet file: skus, and how many of each there are."""
    modified: datetime


def folder_files(scale: Fraction | float = 1) -> Iterator[FolderFile]:
    """Yield about 30 files at any scale; those of customers belong to the first ones."""
    whole = business.get_company_size(scale)
    filed = size("filed_customer", scale)
    yield FolderFile(
        path="readme.txt", text="Price lists, stock, and what we know of customers.\n", modified=get_month_start(30)
    )
    yield from (build_monthly_price_list(age, whole) for age in range(MONTHS))
    yield from (build_stock_table(age, whole) for age in range(STOCKTAKES))
    yield from (
        build_order_digest(number, orders, whole)
        for number, orders in find_latest_orders(min(DIGESTS, filed), whole).items()
    )
    yield from (build_visit_note(number, whole) for number in range(1, min(VISITS, filed) + 1))


def get_month_start(count: int) -> datetime:
    """Return the first of a month, at eight in the morning."""
    month = NOW.year * 12 + NOW.month - 1 - count
    return datetime(month // 12, month % 12 + 1, 1, 8, tzinfo=NOW.tzinfo)


def build_monthly_price_list(age: int, whole: business.CompanySize) -> FolderFile:
    month_start = get_month_start(age)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("sku", "product", "category", "price"))
    for number in range(1, whole.products + 1):
        _, sku, name, category, price, _ = business.build_product(number)
        writer.writerow((sku, name, category, price))
    return FolderFile(path=f"prices/{month_start:%Y-%m}.csv", text=text.getvalue(), modified=month_start)


def build_stock_table(age: int, whole: business.CompanySize) -> FolderFile:
    moment = get_month_start(age) + timedelta(hours=10)
    counts = tuple(
        (business.build_product(number)[1], number * 37 % 240 + age) for number in range(1, whole.products + 1)
    )
    return FolderFile(path=f"stock/{moment:%Y-%m}.parquet", table=counts, modified=moment)


def build_order_digest(customer: int, orders: list[int], whole: business.CompanySize) -> FolderFile:
    """Build a line for each of the latest orders."""
    results = [business.build_order(number, whole)[0] for number in orders]
    lines = [{"order_id": order[0], "placed_at": order[3].isoformat(), "total": str(order[4])} for order in results]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    return FolderFile(
        path=f"customers/{customer}/orders/latest.jsonl", text=text, modified=NOW - timedelta(days=customer)
    )


def build_visit_note(number: int, whole: business.CompanySize) -> FolderFile:
    _, name, _, _, country, *_ = business.build_customer(number, whole)
    day = NOW - timedelta(days=11 * number)
    text = f"Visit to {name} ({country}), {day.date()}.\nThey asked about delivery times and next year's prices.\n"
    return FolderFile(path=f"customers/{number}/notes/visit-{day.date()}.txt", text=text, modified=day)


FOLDER_NAME = "shelf"
"""What the folder is called, below that of the demo."""

FOLDER_PATTERN = "customers/{customer_id:int}/{folder}/{name}"


def write_folder(folder: Path, scale: Fraction | float = 1) -> Path:
    """Write the folder once, under another name until it is whole."""
    shelf, begun = folder / FOLDER_NAME, folder / f"{FOLDER_NAME}.new"
    if not shelf.exists():
        shutil.rmtree(begun, ignore_errors=True)
        for paper in folder_files(scale):
            write_file(begun / paper.path, paper)
        begun.rename(shelf)
    return shelf


def write_file(path: Path, paper: FolderFile) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if paper.table:
        write_table(path, paper)
    else:
        path.write_text(paper.text, encoding="utf-8")
    moment = paper.modified.timestamp()
    os.utime(path, (moment, moment))


def write_table(path: Path, paper: FolderFile) -> None:
    names, pieces = zip(*paper.table, strict=True)
    parquet_.write_table(pyarrow.table({"sku": names, "pieces": pyarrow.array(pieces, pyarrow.int32())}), path)
