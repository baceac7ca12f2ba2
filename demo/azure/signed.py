"""A call in, nothing out if its account's key signed it; a Refusal if not."""

import hmac
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from demo.azure.words import Account, Call, Refusal

HEADERS = (
    "content-encoding", "content-language", "content-length", "content-md5", "content-type", "date",
    "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range",
)  # fmt: skip
SKEW = timedelta(minutes=15)


def check(call: Call, account: Account, now: datetime) -> None:
    scheme, _, credential = call.headers["authorization"].partition(" ")
    name, _, signature = credential.partition(":")
    if scheme != "SharedKey" or name != account.name:
        raise failed("The scheme or the account of the Authorization header is not known.")
    if not timely(call.headers, now):
        raise failed("Request date header too old.")
    if not hmac.compare_digest(signature.encode(), sign(account.key, signed_text(call, account)).encode()):
        raise failed("The MAC signature found in the HTTP request is not the same as any computed signature.")


def signed_text(call: Call, account: Account) -> str:
    """Azure's form: the verb, some headers, those of its own, then the resource and the query."""
    said = {name: call.headers.get(name, "") for name in HEADERS}
    if said["content-length"] == "0":
        said["content-length"] = ""
    if "x-ms-date" in call.headers:
        said["date"] = ""
    own = sorted((name for name in call.headers if name.startswith("x-ms-")), key=lambda name: name.replace("-", ""))
    lines = [call.method, *said.values(), *(f"{name}:{call.headers[name].strip()}" for name in own)]
    asked = [f"\n{name.lower()}:{value}" for name, value in sorted(call.query.items())]
    return "\n".join([*lines, f"/{account.name}{call.path}"]) + "".join(asked)


def timely(headers: Mapping[str, str], now: datetime) -> bool:
    try:
        said = parsedate_to_datetime(headers.get("x-ms-date") or headers.get("date") or "")
    except ValueError:
        return False
    return abs(now - said.astimezone(UTC)) <= SKEW


def sign(key: bytes, text: str) -> str:
    return b64encode(hmac.digest(key, text.encode(), "sha256")).decode()


def failed(detail: str) -> Refusal:
    sentence = "Server failed to authenticate the request. Make sure the value of Authorization header is formed"
    return Refusal(403, "AuthenticationFailed", f"{sentence} correctly including the signature. {detail}")
