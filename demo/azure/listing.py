"""What is kept to a page of a listing, as Azure writes it."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import format_datetime
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, tostring

from demo.azure.words import Account, Call, Kept, Refusal, Reply

MOST = 5000
ASKED = {"prefix": "Prefix", "marker": "Marker", "maxresults": "MaxResults"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """`within`: the element that holds the entries. `entry`: an entry's own, and its properties."""

    within: str
    entry: Callable[[Kept], tuple[str, Mapping[str, str]]]
    said: Mapping[str, str] = field(default_factory=dict)


def page(account: Account, call: Call, found: Mapping[str, Kept], form: Form) -> Reply:
    """Of what is found, by the name it is listed under, sorted by that: as many as are wanted from the marker on."""
    start, most = opened(call.query.get("marker", "")), limit(account, call)
    names = [name for name in sorted(found) if name >= start]
    root = Element("EnumerationResults", {"ServiceEndpoint": f"{call.scheme}://{call.headers['host']}/", **form.said})
    for each in ASKED.keys() & call.query.keys():
        SubElement(root, ASKED[each]).text = call.query[each]
    entries = SubElement(root, form.within)
    for name in names[:most]:
        write(entries, name, *form.entry(found[name]))
    SubElement(root, "NextMarker").text = closed(names[most]) if len(names) > most else None
    body = b'<?xml version="1.0" encoding="utf-8"?>' + tostring(root)
    return Reply(headers={"content-type": "application/xml"}, body=body)


def write(entries: Element, name: str, kind: str, properties: Mapping[str, str]) -> None:
    """A name that XML cannot hold is percent-encoded, and says so."""
    one = SubElement(entries, kind)
    plain = name.isprintable()
    SubElement(one, "Name", {} if plain else {"Encoded": "true"}).text = name if plain else quote(name)
    told = SubElement(one, "Properties")
    for key, value in properties.items():
        SubElement(told, key).text = value


def limit(account: Account, call: Call) -> int:
    text = call.query.get("maxresults", str(MOST))
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise Refusal(
            400, "OutOfRangeQueryParameterValue", "A query parameter's value is outside the permissible range."
        )
    return min(int(text), account.page)


def opened(marker: str) -> str:
    try:
        return urlsafe_b64decode(marker).decode()
    except ValueError:
        raise Refusal(400, "InvalidQueryParameterValue", "Value for a query parameter is invalid.") from None


def closed(name: str) -> str:
    return urlsafe_b64encode(name.encode()).decode()


def dated(kept: Kept) -> dict[str, str]:
    return {"Last-Modified": format_datetime(kept.modified, usegmt=True), "Etag": kept.etag}
