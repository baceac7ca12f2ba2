"""Draw repeatable random values, names and sizes."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from hashlib import sha256
from typing import TypeVar

SEED = 1

WORD = (1 << 64) - 1

T = TypeVar("T")


@cache
def stream(name: str) -> int:
    """Return the start of the draws with this name; streams of different names share nothing."""
    return int.from_bytes(sha256(f"{SEED}:{name}".encode()).digest()[:8])


def draw(start: int, number: int) -> int:
    """Return the 64 bits at `number` of a stream (splitmix64)."""
    bits = (number * 0x9E3779B97F4A7C15 + start) & WORD
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & WORD
    return bits ^ (bits >> 31)


def pick(choices: Sequence[T], bits: int) -> T:
    """Pick one of the choices by the low bits; a choice listed twice is twice as likely."""
    return choices[bits % len(choices)]


def money(cents: int) -> Decimal:
    """Return an amount with two places."""
    return Decimal(cents).scaleb(-2)


# fmt: off
FIRST_NAMES = (
    "Amélie", "Bruno", "Chiara", "Dmitri", "Elif", "Farid", "Grace", "Hana", "Ibrahim", "Jana", "Kofi", "Léa",
    "Mateus", "Noor", "Olga", "Paolo", "Quentin", "Rania", "Søren", "Tomás", "Uma", "Viktor", "Wanjiru", "Ximena",
    "Yuki", "Zoë", "Ada", "Björn", "Clara", "Daniel", "Emma", "Felix", "Greta", "Hugo", "Iris", "Jonas", "Łucja",
    "Maria", "Nils", "Priya",
)

LAST_NAMES = (
    "Almeida", "Bergström", "Cohen", "Dvořák", "Eriksen", "Fontaine", "García", "Haddad", "Ivanova", "Jansen",
    "Kowalski", "Lefèvre", "Müller", "Nakamura", "O’Brien", "Park", "Quispe", "Rossi", "Schäfer", "Tanaka", "Usman",
    "van Dijk", "Weiß", "Xu", "Yılmaz", "Zieliński", "Abebe", "Brown", "Costa", "Diallo", "Smith", "Johnson",
    "Martin", "Nguyen",
)

COMPANY_ROOTS = (
    "Alder", "Boréal", "Cobalt", "Dünen", "Ember", "Falcon", "Granit", "Harbour", "Ibex", "Juniper", "Kestrel",
    "Lumière", "Meridian", "Nordlys", "Øresund", "Pinnacle", "Quarry", "Rívera", "Summit", "Tramontana", "Umbra",
    "Vega", "Willow", "Żubr", "Aurora", "Bluestone", "Cedar", "Delta", "Étoile", "Foxglove", "Golden Gate",
    "Hollow Oak", "São Bento", "東和", "Kyoto", "Lakeside", "Mistral", "Northwind", "Old Mill", "Ångström",
)

COMPANY_TRADES = (
    "Logistics", "Foods", "Textiles", "Optics", "Robotics", "Energy", "Paper", "Marine", "Clinics", "Media", "Tools",
    "Motors", "Ceramics", "Software", "Bakeries", "Airways", "Interiors", "Instruments", "Farms", "Books",
)

COUNTRIES = {
    "FR": ("SARL", "+33 1"), "DE": ("GmbH", "+49 30"), "US": ("Inc.", "+1 415"), "GB": ("Ltd", "+44 20"),
    "NL": ("B.V.", "+31 20"), "ES": ("S.L.", "+34 91"), "IT": ("S.r.l.", "+39 02"), "SE": ("AB", "+46 8"),
    "PL": ("Sp. z o.o.", "+48 22"), "JP": ("K.K.", "+81 3"), "BR": ("Ltda.", "+55 11"), "CA": ("Corp.", "+1 416"),
}

COUNTRY_ODDS = (
    "FR", "FR", "FR", "DE", "DE", "DE", "US", "US", "US", "US", "GB", "GB", "NL", "ES", "IT", "SE", "PL", "JP", "BR",
    "CA",
)

MAILBOXES = ("office", "billing", "hello", "purchasing")

PRODUCT_KINDS = {
    "HARDWARE": ("Gateway", "Sensor", "Scanner", "Rack", "Terminal"),
    "SOFTWARE": ("Planner", "Ledger", "Insight", "Studio", "Sync"),
    "SERVICE": ("Onboarding", "Audit", "Support Plan", "Training"),
    "ACCESSORY": ("Cable", "Mount", "Battery", "Case", "Café Set"),
}

PRODUCT_LINES = ("Atlas", "Brio", "Corsa", "Domo", "Élan", "Fuse", "Gamma", "Halo", "Ion", "Jet")

DEPARTMENTS = ("Sales", "Marketing", "Finance", "People", "Engineering", "Support", "Legal", "Operations")

TITLES = {
    "Sales": "Account Manager", "Marketing": "Campaign Planner", "Finance": "Controller", "People": "People Partner",
    "Engineering": "Software Engineer", "Support": "Support Agent",
    "Legal": "Internal Auditor", "Operations": "Coordinator",
}

SERVICES = (
    "accounts", "billing", "catalogue", "checkout", "gateway", "inventory", "ledger", "mailer", "payments", "reports",
    "search", "shipping",
)

ORDER_NOTES = (
    "Leave at the back door", "Gift wrap, please", "Call before delivery", "Livrer après 14 h, merci",
    "Bitte am Empfang abgeben", "Second attempt", "50 % deposit paid", "PO number to follow",
)

# fmt: on
UNFOLDED = str.maketrans({"ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "ß": "ss", "ı": "i", "æ": "ae", "’": ""})


def fold_to_ascii(text: str) -> str:
    """Return the text in ASCII, without characters that have no likeness there."""
    parts = unicodedata.normalize("NFKD", text.translate(UNFOLDED))
    return parts.encode("ascii", "ignore").decode()


def slug(text: str) -> str:
    """Return lower-case ASCII words joined by hyphens, for names of channels and hosts."""
    return re.sub(r"[^a-z0-9]+", "-", fold_to_ascii(text).lower()).strip("-")


NOW = datetime(2026, 11, 1, tzinfo=UTC)

STEP = timedelta(minutes=5)

STEPS_A_DAY = 288

FULL_SIZES: Mapping[str, int] = {
    "customer": 10_000,
    "product": 200,
    "orders": 200_000,
    "order_item": 600_000,
    "employee": 300,
    "deployment": 2_000,
    "filed_customer": 400,
    "stored_customer": 35,
    "channel_customer": 100,
    "drive_customer": 40,
    "message": 10_000,
    "thread": 1_500,
}

LEAST_SIZES: Mapping[str, int] = {"message": 200, "thread": 30}

LEAST_SIZE = 20


def size(name: str, scale: Fraction | float = 1) -> int:
    """Return the number of rows of `name` at a scale: a multiple of five, and enough for every question."""
    if name == "order_item":
        return 3 * size("orders", scale)
    wanted = round(FULL_SIZES[name] * scale)
    return max(LEAST_SIZES.get(name, LEAST_SIZE), wanted - wanted % 5)
