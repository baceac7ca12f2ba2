"""A scale to what the company keeps in Azure: scans and tables in a share, exports in a container."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from hashlib import sha256
from typing import Any

from demo.world import shop, warehouse
from demo.world.files import latest_orders
from demo.world.sizes import NOW, size

TYPES = {
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
        return TYPES[self.path.rpartition(".")[2]]

    @property
    def version(self) -> str:
        """An ETag as Azure writes them, of the content."""
        return f"0x8{sha256(self.body).hexdigest()[:14].upper()}"


def documents(scale: Fraction | float = 1) -> Iterator[Stored]:
    """The office's share: of each customer two scans and a table of orders, and a letter. At scale 1 about 100."""
    whole = shop.shop(scale)
    for number, orders in latest_orders(size("stored_customer", scale), whole).items():
        customer = shop.customer(number, whole)
        folder, signed = f"customers/{number}", customer[6]
        yield scanned(f"{folder}/scans/agreement-{signed.year}.pdf", agreement(customer), signed)
        yield scanned(f"{folder}/scans/identity-{signed.year}.pdf", [f"Register extract of {customer[1]}"], signed)
        rows = [shop.order(order, whole)[0] for order in orders]
        yield table(
            f"{folder}/exports/orders.csv", ORDER_LINES, [(row[0], row[3].isoformat(), *row[2:5:2]) for row in rows]
        )
    yield Stored(path="templates/letter.txt", body=b"Dear customer,\n\nwith kind regards\nAcme Inc.\n", modified=NOW)


def exports(scale: Fraction | float = 1) -> Iterator[Stored]:
    """The nightly exports: of each customer its usage twice and a scan, and all customers at once. About as many."""
    whole, count = shop.shop(scale), size("stored_customer", scale)
    customers = [shop.customer(number, whole) for number in range(1, count + 1)]
    for customer in customers:
        folder, days = (
            f"customers/{customer[0]}",
            [warehouse.usage_day(customer[0], day) for day in range(warehouse.DAYS)],
        )
        yield table(f"{folder}/exports/usage.csv", ("day", "api_calls", "active_users"), [day[1:4] for day in days])
        yield Stored(path=f"{folder}/exports/usage.jsonl", body=json_lines(days), modified=NOW)
        yield scanned(f"{folder}/scans/delivery-note.pdf", [f"Delivered to {customer[1]}", customer[4]], NOW)
    yield Stored(path="exports/customers.parquet", body=parquet(customers), modified=NOW)


def agreement(customer: shop.Customer) -> list[str]:
    number, name, _, _, country, *_ = customer
    return [f"FRAMEWORK AGREEMENT AC-{number:05d}", f"between Acme Inc. and {name} ({country})", "signed and sealed"]


def table(path: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Stored:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows((columns, *rows))
    return Stored(path=path, body=text.getvalue().encode(), modified=NOW)


def json_lines(days: Sequence[warehouse.UsageDay]) -> bytes:
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


def parquet(customers: Sequence[shop.Customer]) -> bytes:
    """Imported here: only the server that keeps it needs so large a library."""
    import pyarrow
    from pyarrow import parquet as written

    rows = [dict(zip(shop.CUSTOMER_COLUMNS, customer, strict=True)) for customer in customers]
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
    return Stored(path=path, body=pdf(objects), modified=at)


def escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def pdf(objects: Sequence[bytes]) -> bytes:
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
