"""Changes of rows held in memory, made as a database makes them: all or none, marked, at a version each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.change.words import Change, Made, Unmade, Values, Verb, Writes
from engine.errors import Code
from engine.words import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Writable:
    """How a collection may be changed: its key, of which one whole number may be given by us, and its version."""

    columns: Mapping[str, Kind]
    key: tuple[str, ...] = ("id",)
    version: str | None = "version"
    unique: tuple[tuple[str, ...], ...] = ()
    needed: frozenset[str] = frozenset()
    """Columns that always have a value."""

    def writes(self) -> Writes:
        settable = frozenset(self.columns) - {self.version}
        verbs = {
            Verb.CREATE: settable,
            Verb.UPDATE: settable - set(self.key),
            Verb.PUT: settable - set(self.key),
            Verb.DELETE: frozenset[str](),
        }
        return Writes(verbs=verbs, version=self.version, together=True, fenced=True)


Rows = dict[tuple[Any, ...], Values]


@dataclass(slots=True)
class Changing:
    """Rows by collection and key, and what came of each change that was told; None: it is not to be made any more."""

    writable: Mapping[str, Writable]
    rows: dict[str, Rows]
    markers: dict[str, Made | None] = field(default_factory=dict)
    highest: dict[str, int] = field(default_factory=dict)

    def write(self, changes: Sequence[Change], *, dry: bool) -> Sequence[Made]:
        rows, markers, highest = {name: dict(each) for name, each in self.rows.items()}, self.markers, self.highest
        tried = Changing(self.writable, rows, dict(markers), dict(highest))
        made = [tried.one(each) for each in changes]
        if not dry:
            self.rows, self.markers, self.highest = tried.rows, tried.markers, tried.highest
        return made

    def made(self, change: Change) -> Made | None:
        return self.markers.setdefault(change.id, None)

    def one(self, change: Change) -> Made:
        if change.id in self.markers:
            found = self.markers[change.id]
            if found is None:
                raise Unmade("the change was given up before it was made: tell it anew", Code.CANNOT_ANSWER)
            return found
        if change.collection not in self.writable:
            raise Unmade(f"`{change.collection}` is not to be changed", Code.CANNOT_ANSWER)
        made = self._act(change, self.writable[change.collection])
        self.markers[change.id] = made
        return made

    def _act(self, change: Change, of: Writable) -> Made:
        _allowed(change, of)
        rows = self.rows[change.collection]
        given = {**change.key, **change.values}
        if change.verb is Verb.CREATE and change.version is None:
            return self._inserted(change.collection, self._keyed(change.collection, of, given), of)
        if change.verb is Verb.CREATE:
            raise Unmade("a row that is created has no version yet")
        if set(change.key) != set(of.key):
            raise _misnamed(change.collection, of)
        key = tuple(change.key[each] for each in of.key)
        before = rows.get(key)
        if before is None and change.verb is Verb.PUT and change.version is None:
            return self._inserted(change.collection, given, of)
        if before is None:
            raise Unmade(f"there is no such row of `{change.collection}`", Code.NOT_FOUND)
        _expected(change, of, before)
        if change.verb is Verb.DELETE:
            del rows[key]
            return Made(before=before, after=None)
        return Made(before=before, after=self._stored(change.collection, {**before, **given}, of, before))

    def _keyed(self, name: str, of: Writable, given: Values) -> Values:
        missing = [each for each in of.key if each not in given]
        if not missing:
            return given
        if len(missing) > 1 or of.columns[missing[0]] is not Kind.INTEGER:
            raise Unmade(", ".join(f"`{each}`" for each in missing) + " must have a value")
        at = of.key.index(missing[0])
        highest = max((self.highest.get(name, 0), *(key[at] for key in self.rows[name])))
        return {**given, missing[0]: highest + 1}

    def _inserted(self, name: str, given: Values, of: Writable) -> Made:
        if tuple(given[each] for each in of.key) in self.rows[name]:
            raise _there_already(name, of.key)
        whole = {each: given.get(each) for each in of.columns}
        return Made(before=None, after=self._stored(name, whole, of, None))

    def _stored(self, name: str, row: Values, of: Writable, before: Values | None) -> Values:
        if of.version is not None:
            row = {**row, of.version: (before[of.version] or 0) + 1 if before else 1}
        for each in of.needed:
            if row[each] is None:
                raise Unmade(f"`{each}` must have a value")
        key = tuple(row[each] for each in of.key)
        others = [other for place, other in self.rows[name].items() if place != key]
        for unique in of.unique:
            if any(all(row[each] == other[each] is not None for each in unique) for other in others):
                raise _there_already(name, unique)
        self.rows[name][key] = row
        if len(key) == 1 and isinstance(key[0], int):
            self.highest[name] = max(key[0], self.highest.get(name, 0))
        return row


def _allowed(change: Change, of: Writable) -> None:
    settable = of.writes().verbs[change.verb]
    if not set(change.key) <= set(of.key):
        raise _misnamed(change.collection, of)
    for name, value in change.values.items():
        if name not in settable:
            raise Unmade(f"`{name}` of `{change.collection}` is not to be set by a change")
        if isinstance(value, str) and any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in value):
            raise Unmade(f"`{name}` cannot hold the value given")


def _expected(change: Change, of: Writable, before: Values) -> None:
    if change.version is None:
        return
    if of.version is None:
        raise Unmade(f"rows of `{change.collection}` have no version that a change could name")
    at = before[of.version] or 0
    if str(at) != change.version:
        told = f"the row of `{change.collection}` has been changed since: it is at version {at}"
        raise Unmade(told, Code.VERSION_CONFLICT)


def _misnamed(name: str, of: Writable) -> Unmade:
    return Unmade(f"a row of `{name}` is named by " + ", ".join(f"`{each}`" for each in of.key))


def _there_already(name: str, columns: Sequence[str]) -> Unmade:
    named = ", ".join(f"`{each}`" for each in columns)
    return Unmade(f"there already is a row of `{name}` with this {named}", Code.ALREADY_EXISTS)
