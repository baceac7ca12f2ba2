"""Invoices: a customer's, made anew from what they ordered."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from onedoor.jobs import Job, JobContext, JobFailed, Retries, described

ORDERS = """query RebuildInvoices($customer: ID!, $after: String) { customer(id: $customer) { name
  orders(where: {status: {in: [PAID, SHIPPED]}}, first: 100, after: $after) {
    nodes { id placedAt total items(first: 100) { nodes { line quantity unitPrice product { sku } } } }
    pageInfo { endCursor hasNextPage } } } }"""
COLUMNS = ("order", "placed", "line", "sku", "quantity", "unit price", "total")


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildInvoicesInput:
    """Whose."""

    customer: int = described("The customer's number.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuiltInvoices:
    """What they come to."""

    invoices: int = described("How many orders were invoiced.")
    total: Decimal = described("What they come to, in euros.")
    file: str = described("The file that has them, line by line.")


async def rebuild(context: JobContext, given: RebuildInvoicesInput) -> RebuiltInvoices:
    """Read each page in a step of its own, so that none is read twice."""
    orders: list[Mapping[str, Any]] = []
    page: Mapping[str, Any] = {"endCursor": None, "hasNextPage": True}
    while page["hasNextPage"]:
        found = await context.step(
            f"orders after {len(orders)}", _load_page, context, given.customer, page["endCursor"]
        )
        orders += found["nodes"]
        page = found["pageInfo"]
        context.report_progress(len(orders))
    name = f"invoices-{given.customer}.csv"
    await context.save_csv(name, COLUMNS, _list_invoice_lines(orders))
    context.log(f"{len(orders)} orders are in {name}")
    return RebuiltInvoices(
        invoices=len(orders), total=sum((Decimal(each["total"]) for each in orders), Decimal()), file=name
    )


async def _load_page(context: JobContext, customer: int, after: str | None) -> Mapping[str, Any]:
    data = await context.query(ORDERS, {"customer": str(customer), "after": after})
    if data["customer"] is None:
        raise JobFailed(f"there is no customer {customer}", retryable=False)
    orders: Mapping[str, Any] = data["customer"]["orders"]
    return orders


def _list_invoice_lines(orders: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[Any]]:
    for order in orders:
        for item in order["items"]["nodes"]:
            price = Decimal(item["unitPrice"])
            sku = (item["product"] or {}).get("sku", "")
            yield order["id"], order["placedAt"], item["line"], sku, item["quantity"], price, price * item["quantity"]


JOBS = (
    Job(
        name="RebuildInvoices",
        description="Makes a customer's invoices anew from what they ordered, as one file.",
        owner="finance",
        may_start=frozenset({"finance"}),
        may_see=frozenset({"finance", "audit"}),
        input=RebuildInvoicesInput,
        result=RebuiltInvoices,
        run=rebuild,
        exclusive_key=lambda given: f"customer {given.customer}",
        retries=Retries(times=2),
    ),
)
