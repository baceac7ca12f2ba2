"""A call with a shared access signature in, nothing out if that opens what is called; a Refusal if not."""

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime

from demo.azure.signed import failed, sign
from demo.azure.words import Account, Call, Refusal

SERVICE = ("sp", "st", "se", "resource", "si", "sip", "spr", "sv")
ANSWER = ("rscc", "rscd", "rsce", "rscl", "rsct")
FORM = {"file": (*SERVICE, *ANSWER), "blob": (*SERVICE, "sr", "snapshot", "ses", *ANSWER)}
"""What the signature of one resource is of, line by line, by service."""
WHOLE = ("account", "sp", "ss", "srt", "st", "se", "sip", "spr", "sv", "ses", "end")
"""What the signature of a whole account is of."""
OLDEST = "2020-12-06"
"""From this version on a signature has the form above."""
ROOTS = {"file": "s", "blob": "c"}


def check(call: Call, account: Account, needs: tuple[str, str], now: datetime) -> None:
    """`needs`: the permissions of which one will do, and what is called: a (s)ervice, a (c)ontainer or an (o)bject."""
    given = call.query
    if given.get("sv", "") < OLDEST or "si" in given or "sip" in given:
        raise failed("This version, a stored policy or a range of addresses is not known here.")
    lines = of_account(given, account) if "ss" in given else of_resource(call, account)
    if not hmac.compare_digest(given["sig"].encode(), sign(account.key, "\n".join(lines)).encode()):
        raise failed("Signature did not match.")
    if not instant(given.get("st")) <= now < instant(given.get("se")):
        raise failed("Signature not valid in the specified time frame.")
    covers(given, account, needs)
    if call.scheme not in given.get("spr", "https,http").split(","):
        raise Refusal(403, "AuthorizationProtocolMismatch", "This request is not authorized using this protocol.")


def of_account(given: Mapping[str, str], account: Account) -> list[str]:
    return [{**given, "account": account.name}.get(name, "") for name in WHOLE]


def of_resource(call: Call, account: Account) -> list[str]:
    """The resource is the one called, or its whole share or container, as `sr` says."""
    whole = call.query.get("sr") == ROOTS[account.service]
    name = "/".join(call.parts[:1] if whole else call.parts)
    said = {**call.query, "resource": f"/{account.service}/{account.name}/{name}"}
    return [said.get(each, "") for each in FORM[account.service]]


def covers(given: Mapping[str, str], account: Account, needs: tuple[str, str]) -> None:
    permissions, level = needs
    if "ss" in given and account.service[0] not in given["ss"]:
        raise refused("AuthorizationServiceMismatch", "service")
    opened = given.get("srt", "") if "ss" in given else "co" if given.get("sr") == ROOTS[account.service] else "o"
    if level not in opened:
        raise refused("AuthorizationResourceTypeMismatch", "resource type")
    if not set(permissions) & set(given.get("sp", "")):
        raise refused("AuthorizationPermissionMismatch", "permission")


def refused(code: str, what: str) -> Refusal:
    return Refusal(403, code, f"This request is not authorized to perform this operation using this {what}.")


def instant(text: str | None) -> datetime:
    """The beginning of all times, where none is said."""
    try:
        found = datetime.fromisoformat(text) if text else datetime.min
    except ValueError:
        raise failed("A time of the signature cannot be read.") from None
    return found.replace(tzinfo=found.tzinfo or UTC)
