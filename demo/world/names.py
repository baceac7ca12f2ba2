"""The word lists the company's names are made of, and names as plain ASCII."""

import re
import unicodedata

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


def folded(text: str) -> str:
    """The text in ASCII; what has no likeness there is dropped."""
    parts = unicodedata.normalize("NFKD", text.translate(UNFOLDED))
    return parts.encode("ascii", "ignore").decode()


def slug(text: str) -> str:
    """Lower-case ASCII words joined by hyphens, as channel names and host names want them."""
    return re.sub(r"[^a-z0-9]+", "-", folded(text).lower()).strip("-")
