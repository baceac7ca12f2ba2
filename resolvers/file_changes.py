"""The binding of a store's files in, how one is put, copied and deleted out. Pure, as all that is declared."""

from functools import partial

from engine.binding import Binding
from engine.change.declared import Before, Changes, Declared, From, Input, Saga, Step, Undo
from engine.change.words import Values, Verb
from engine.errors import Code, SourceFailed
from engine.names import ID, NoSuchId, id_reader, written
from engine.words import Can, Column, Kind

STORED = id_reader(Can(columns={"store": Column(Kind.TEXT), "id": Column(Kind.TEXT)}), ("store", "id"))
CONTENT = {"text": "text", "base64": "content"}
"""What is to be in a file, as its input has it and as its store is told."""


def changes(binding: Binding) -> tuple[Declared, ...]:
    return (
        _saga(binding, "put", Verb.PUT, (partial(_place, binding), _content)),
        _saga(binding, "copy", Verb.CREATE, (partial(_place, binding), partial(_origin, binding))),
        Changes(field=f"delete{binding.type}", type=binding.type, verb=Verb.DELETE),
    )


def file_id(store: str, id: str | None) -> str | None:
    """As clients know it."""
    return None if id is None else written((store, id))


def _saga(binding: Binding, word: str, verb: Verb, told: tuple[From, From]) -> Saga:
    key, values = told
    name = f"{word}{binding.type}"
    step = Step(
        name=name,
        source=binding.source,
        collection=binding.collection,
        verb=verb,
        key=key,
        values=values,
        undo=Undo.NONE,
    )
    return Saga(field=name, type=binding.type, steps=(step,))


def _place(binding: Binding, given: Input, _: Before) -> Values:
    """By its path; what is there already may be named by its id, where the input has one."""
    named = [each for each in (ID, "path") if given.get(each) is not None]
    if len(named) != 1:
        raise SourceFailed("give one of `id` and `path`", Code.BAD_USER_INPUT)
    return {"path": given["path"]} if named == ["path"] else {"id": _stored(binding, ID, given[ID])}


def _content(given: Input, _: Before) -> Values:
    filled = [each for each in CONTENT if given.get(each) is not None]
    if len(filled) != 1:
        raise SourceFailed('give one of `text` and `base64`; of an empty file, `text: ""`', Code.BAD_USER_INPUT)
    return {CONTENT[filled[0]]: given[filled[0]], **_kind(given)}


def _kind(given: Input) -> Values:
    return {} if given.get("contentType") is None else {"content_type": given["contentType"]}


def _origin(binding: Binding, given: Input, _: Before) -> Values:
    return {"copy_of": _stored(binding, "copyOf", given["copyOf"])}


def _stored(binding: Binding, field: str, id: str) -> str:
    """What the store itself knows a file by."""
    try:
        store, own = STORED(id)
    except NoSuchId:
        store, own = None, ""
    if store != binding.constants["store"]:
        raise SourceFailed(f"`{field}` is not of any `{binding.type}`", Code.NOT_FOUND)
    return str(own)
