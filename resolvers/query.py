"""Who is asking: rows made of the caller, anew for each request."""

from auth.caller import Caller
from engine.binding import Binding, Link
from engine.words import Can, Column, Kind
from sources.memory import Collection, Memory

PERSON = Can(
    columns={
        "id": Column(Kind.TEXT),
        "first_name": Column(Kind.TEXT),
        "last_name": Column(Kind.TEXT),
        "email": Column(Kind.TEXT),
        "groups": Column(Kind.LIST),
        "grants": Column(Kind.LIST),
        "key_id": Column(Kind.TEXT),
    }
)
KEY = Can(columns={"id": Column(Kind.TEXT), "created_at": Column(Kind.TIME), "expires_at": Column(Kind.TIME)})

BINDINGS = (
    Binding(type="Me", source="caller", collection="person", links={"key": Link(to="Key", here="key_id", there="id")}),
    Binding(type="Key", source="caller", collection="key"),
)


def nobody() -> Memory:
    """What the caller's source promises, before anyone asks."""
    return Memory({"person": Collection(can=PERSON, rows=()), "key": Collection(can=KEY, rows=())})


def asking(caller: Caller) -> Memory:
    """The caller's own source, for one request."""
    person = (
        caller.person_id,
        caller.first_name,
        caller.last_name,
        caller.email,
        tuple(sorted(caller.groups)),
        caller.grants,
        caller.key_id,
    )
    key = (caller.key_id, caller.key_created, caller.key_expires)
    return Memory({"person": Collection(can=PERSON, rows=(person,)), "key": Collection(can=KEY, rows=(key,))})
