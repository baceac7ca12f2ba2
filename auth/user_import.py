"""Import people and their groups from a CSV file: all of its lines or none, with a report of each."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, select

from auth.attribution import Attribution
from auth.memberships import MembershipKey, confirm_membership
from auth.separation import explain_refused_widening
from auth.users import (
    Attributes,
    User,
    fold_email,
    insert_person,
    load_attributes,
    merge_attributes,
    mint_user_id,
    rename,
    update_attributes,
)
from onedoor.errors import ConfigurationError, build_unknown_name_error
from onedoor.storage.database import MetadataDatabase
from onedoor.storage.tables import user_table

REQUIRED_COLUMNS = ("email", "first_name", "last_name")

GROUPS_COLUMN = "groups"

ATTRIBUTE_PREFIX = "attribute:"

LINES_MAX = 10_000


class LineOutcome(StrEnum):
    """What a line of an import comes to, or would come to."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    UNCHANGED = "UNCHANGED"
    REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedPerson:
    """One line of the file."""

    number: int
    """Its line in the file, of which the first is that of the headers."""
    email: str
    first_name: str
    last_name: str
    groups: tuple[str, ...]
    attributes: Attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportLine:
    """What one line came to; `message` says why it was refused, or what was updated."""

    number: int
    email: str
    outcome: LineOutcome
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import came to: applied as a whole, or not at all."""

    is_applied: bool
    lines: tuple[ImportLine, ...]

    def count_outcomes(self) -> tuple[int, ...]:
        """Count the lines by outcome, in the order of `LineOutcome`."""
        counts = Counter(line.outcome for line in self.lines)
        return tuple(counts[outcome] for outcome in LineOutcome)


def import_users(
    database: MetadataDatabase,
    text: str,
    require_group: Callable[[str], None],
    attribution: Attribution,
    *,
    dry_run: bool = False,
) -> ImportReport:
    """Create the people of a CSV file, or bring those there are up to date, and add them to the groups named.

    `require_group` raises ConfigurationError for a group to which the file adds nobody who is not in it.
    Nobody is deactivated and no group is left. If a line is refused, or in a dry run, nothing is changed and the report
    says what would be. Raises ConfigurationError where the file as a whole cannot be read.
    """
    people = parse_people(text)
    with database.write_transaction() as connection:
        whole = connection.begin_nested()
        importer = _UserImporter(
            database=database, connection=connection, require_group=require_group, attribution=attribution
        )
        lines = tuple(importer.import_person(person) for person in people)
        is_applied = not dry_run and all(line.outcome is not LineOutcome.REFUSED for line in lines)
        if is_applied:
            whole.commit()
        else:
            whole.rollback()
    return ImportReport(is_applied=is_applied, lines=lines)


def parse_people(text: str) -> tuple[ImportedPerson, ...]:
    """Parse a CSV file as RFC 4180 has it, its columns named by its first line and divided by commas or semicolons.

    Raises ConfigurationError, naming the line or the column.
    """
    text = text.removeprefix("\ufeff")
    first_line = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in first_line else ",", strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
    except csv.Error as reason:
        raise ConfigurationError(f"line {reader.line_num} is no line of a CSV file: {reason}") from None
    if not rows:
        columns = ", ".join(f"`{name}`" for name in REQUIRED_COLUMNS)
        raise ConfigurationError(f"the file is empty: its first line names the columns {columns}")
    (_, names), *lines = rows
    names = [name.strip() for name in names]
    _check_columns(names)
    if len(lines) > LINES_MAX:
        raise ConfigurationError(f"the file has more than {LINES_MAX:,} lines: divide it")
    return tuple(_parse_person(number, names, row) for number, row in lines)


def _check_columns(names: Sequence[str]) -> None:
    for name in names:
        known = (*REQUIRED_COLUMNS, GROUPS_COLUMN)
        if name not in known and not name.startswith(ATTRIBUTE_PREFIX):
            raise build_unknown_name_error("column", name, (*known, f"{ATTRIBUTE_PREFIX}NAME"))
        if names.count(name) > 1:
            raise ConfigurationError(f"the column `{name}` is there twice: keep one")
    for name in REQUIRED_COLUMNS:
        if name not in names:
            raise ConfigurationError(f"the file has no column `{name}`: name it in the first line")


def _parse_person(number: int, names: Sequence[str], row: Sequence[str]) -> ImportedPerson:
    if len(row) != len(names):
        raise ConfigurationError(f"line {number} has {len(row)} values: write {len(names)}, one for each column")
    values = {name: value.strip() for name, value in zip(names, row, strict=True)}
    return ImportedPerson(
        number=number,
        email=values["email"],
        first_name=values["first_name"],
        last_name=values["last_name"],
        groups=tuple(dict.fromkeys(values.get(GROUPS_COLUMN, "").split())),
        attributes={
            name.removeprefix(ATTRIBUTE_PREFIX): tuple(dict.fromkeys(value.split()))
            for name, value in values.items()
            if name.startswith(ATTRIBUTE_PREFIX)
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _UserImporter:
    """The import of one file, in a transaction of its own."""

    database: MetadataDatabase
    connection: Connection
    require_group: Callable[[str], None]
    attribution: Attribution
    seen: dict[str, int] = field(default_factory=dict)
    """By address, folded, the line that had it."""

    def import_person(self, person: ImportedPerson) -> ImportLine:
        """Import one line; what it changed is undone where it is refused."""
        try:
            with self.connection.begin_nested():
                outcome, message = self._apply(person)
        except ConfigurationError as reason:
            outcome, message = LineOutcome.REFUSED, str(reason)
        return ImportLine(number=person.number, email=person.email, outcome=outcome, message=message)

    def _apply(self, person: ImportedPerson) -> tuple[LineOutcome, str | None]:
        folded = fold_email(person.email)
        earlier = self.seen.setdefault(folded, person.number)
        if earlier != person.number:
            raise ConfigurationError(f"line {earlier} has this address, too: keep one")
        row = self.connection.execute(select(user_table).filter_by(email_folded=folded)).first()
        if row is None:
            self._add_to_groups(self._create(person), person.groups)
            return LineOutcome.CREATED, None
        if row.owner_group is not None:
            raise ConfigurationError("is a service: name people alone")
        if row.deactivated_at is not None:
            raise ConfigurationError("is deactivated: activate them first")
        if row.id == self.attribution.actor:
            raise ConfigurationError("is you: nobody widens what they see themselves, leave this line out")
        updated = [*self._update(row, person), *self._add_to_groups(row.id, person.groups)]
        return (LineOutcome.UPDATED, ", ".join(updated)) if updated else (LineOutcome.UNCHANGED, None)

    def _create(self, person: ImportedPerson) -> str:
        user = User(
            id=mint_user_id(), first_name=person.first_name, last_name=person.last_name, email=person.email,
            created_at=self.database.now(), deactivated_at=None,
            attributes={name: values for name, values in person.attributes.items() if values},
        )  # fmt: skip
        insert_person(self.connection, user, self.attribution)
        return user.id

    def _update(self, row: Row[Any], person: ImportedPerson) -> list[str]:
        """Bring a person up to date, and return what was not."""
        updated: list[str] = []
        if (row.first_name, row.last_name) != (person.first_name, person.last_name):
            names = {"first_name": person.first_name, "last_name": person.last_name}
            rename(self.connection, row.id, **names, attribution=self.attribution)
            updated.append("name")
        if merge_attributes(row, person.attributes) != load_attributes(row.attributes):
            self._require_another(row.id)
            update_attributes(self.connection, row.id, person.attributes, self.attribution)
            updated.append("attributes")
        return updated

    def _add_to_groups(self, person_id: str, groups: Sequence[str]) -> list[str]:
        """Add a person to groups, and return those that they were not in. Raises ConfigurationError."""
        joined = [
            group
            for group in groups
            if confirm_membership(
                self.connection,
                MembershipKey(person_id=person_id, group=group),
                now=self.database.now(),
                attribution=self.attribution,
            )
        ]
        for group in joined:
            self.require_group(group)
        if joined:
            self._require_another(person_id)
        return joined

    def _require_another(self, person_id: str) -> None:
        """Raise ConfigurationError where another administrator is to widen what this person sees."""
        now = self.database.now()
        refusal = explain_refused_widening(self.connection, self.attribution.actor, person_id, now)
        if refusal is not None:
            raise ConfigurationError(refusal)
