"""Verify an audit log: its chains, its checkpoints, and whether all is there that its second place knows of."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from onedoor.audit import log, reader
from onedoor.audit.checkpointer import is_held
from onedoor.audit.checkpoints import Checkpoint, parse_checkpoint
from onedoor.audit.merkle import compute_root, hash_line_leaf
from onedoor.audit.statements import (
    STATEMENT_OFFSET,
    SignedStatement,
    StatementKind,
    TrustedKey,
    TrustedKeys,
    parse_statement,
)

PREVIOUS_START = b'{"prev":"'

DIGEST_START, DIGEST_END = len(PREVIOUS_START), len(PREVIOUS_START) + 64

RECORD_MEMBER = b'"id":'

STATEMENT_MEMBERS = tuple(f'"{kind}":'.encode() for kind in StatementKind)


class FindingKind(StrEnum):
    """What a finding means: something was done to the log, or something cannot be proved."""

    ALTERED = "altered"
    UNPROVED = "unproved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is wrong with a file, at which line, counted from 1 with the header; with the record there and its time."""

    file: str
    reason: str
    line: int | None = None
    record: str | None = None
    time: str | None = None
    kind: FindingKind = FindingKind.ALTERED


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationResult:
    """How many files and records are sound, how many of these are sealed by checkpoints, and what was found."""

    files: int
    records: int
    sealed: int = 0
    open_files: int = 0
    """How many of the files a process still writes."""
    deleted: int = 0
    """How many files were deleted, as a signed record says."""
    findings: Sequence[Finding] = ()

    @property
    def unsealed(self) -> int:
        return self.records - self.sealed

    @property
    def is_altered(self) -> bool:
        return any(finding.kind is FindingKind.ALTERED for finding in self.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFile:
    """A file to verify. A process that lives may still write an open one."""

    name: str
    read_lines: Callable[[], Iterable[bytes]]
    """Reads the lines that were written to their end, without their line ends."""
    is_open: bool = False


@dataclass(slots=True, kw_only=True)
class FileCheck:
    """What is known of a file so far: `digests` and `leaves` are of the lines that no checkpoint covers yet."""

    file: LogFile
    lines: int = 0
    records: int = 0
    started: str = ""
    sealed_by: str | None = None
    checkpoints: list[tuple[int, SignedStatement, Checkpoint]] = field(default_factory=list)
    """By line."""
    statements: list[tuple[int, SignedStatement]] = field(default_factory=list)
    """Those that are no checkpoints."""
    covered: int = 0
    """How many lines the checkpoints cover."""
    digests: list[str] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    heads: dict[int, str] = field(default_factory=dict)
    """The digests of the lines that a published checkpoint ends with."""
    last_time: str | None = None
    """The time of the last record."""
    findings: list[Finding] = field(default_factory=list)

    def add(self, reason: str, line: int | None = None, kind: FindingKind = FindingKind.ALTERED) -> None:
        """Note a finding about no record in particular."""
        self.findings.append(
            Finding(file=self.file.name, reason=reason, line=line, time=self.last_time or self.started, kind=kind)
        )


def verify_folder(
    folder: Path, published: Sequence[SignedStatement] = (), keys: Iterable[TrustedKey] = ()
) -> VerificationResult:
    """Verify the files of a folder, against the statements of its second place and the keys that may sign them.

    Raises ConfigurationError where there is no folder.
    """
    files = [
        LogFile(
            name=reader.get_log_name(path), read_lines=partial(reader.read_whole_lines, path), is_open=is_held(path)
        )
        for path in reader.list_log_files(folder)
    ]
    return verify_files(files, published, keys)


def verify_files(
    files: Iterable[LogFile], published: Sequence[SignedStatement] = (), keys: Iterable[TrustedKey] = ()
) -> VerificationResult:
    """Verify files as `verify_folder` does, wherever they are read from."""
    published_by_file = defaultdict[str, list[tuple[SignedStatement, Checkpoint]]](list)
    for statement in published:
        checkpoint = parse_checkpoint(statement)
        if checkpoint is not None:
            published_by_file[checkpoint.file].append((statement, checkpoint))
    checks = {
        file.name: check_file(file, [checkpoint for _, checkpoint in published_by_file.get(file.name, ())])
        for file in files
    }
    trusted = TrustedKeys(keys)
    others = [statement for statement in published if statement.kind is not StatementKind.CHECKPOINT]
    others += [statement for check in checks.values() for _, statement in check.statements]
    trusted.follow_rotations(
        {statement.text: statement for statement in others if statement.kind is StatementKind.ROTATION}.values()
    )
    deletions = _collect_deletions(others, trusted)
    sealed_since = min((check.started for check in checks.values() if check.sealed_by), default=None)
    for check in checks.values():
        _check_signatures(check, trusted)
        _check_end(check)
        if sealed_since is not None:
            _check_is_sealed(check, sealed_since)
    findings = [finding for check in checks.values() for finding in check.findings]
    findings += [
        _describe_unsigned(statement) for statement in published if trusted and _is_foreign(statement, trusted)
    ]
    for name, known in published_by_file.items():
        valid = [found for found in known if not trusted or trusted.vouch_for(found[0])]
        if len(valid) < len(known):
            reason = "a checkpoint at the second place is signed by no key that is trusted"
            findings.append(Finding(file=name, reason=reason, time=known[0][1].time))
        if valid and name in checks:
            findings += _compare(checks[name], valid)
        elif valid and not _is_deleted(name, valid, deletions):
            findings.append(_describe_missing(name, [checkpoint for _, checkpoint in valid]))
    altered = {finding.file for finding in findings if finding.kind is FindingKind.ALTERED}
    return VerificationResult(
        files=sum(name not in altered for name in checks),
        records=sum(check.records for check in checks.values()),
        sealed=sum(_count_sealed(check) for check in checks.values() if trusted),
        deleted=sum(name not in checks for name in deletions),
        open_files=sum(check.file.is_open for check in checks.values()),
        findings=tuple(sorted(findings, key=lambda finding: (finding.kind, finding.file, finding.line or 0))),
    )


def check_file(file: LogFile, published: Iterable[Checkpoint] = ()) -> FileCheck:
    """Check the chain of a file and what its checkpoints say of its lines; who signed them is another matter.

    Nothing after a line that breaks the chain is looked at.
    """
    check = FileCheck(file=file)
    try:
        _check_lines(check, {checkpoint.state.lines for checkpoint in published})
    except reader.LogFileDamaged:
        check.add("the compressed file is damaged behind this line", check.lines)
    return check


def _check_lines(check: FileCheck, known_ends: AbstractSet[int]) -> None:
    """Add to a check what the lines show, up to the first that breaks the chain."""
    lines = iter(check.file.read_lines())
    expected, before = b"", b""
    for number, line in enumerate(lines, 1):
        if number == 1:
            _check_header(check, line)
            if check.findings:
                return
        elif line[DIGEST_START:DIGEST_END] != expected or not line.startswith(PREVIOUS_START):
            check.findings.append(_describe_flaw(check, line, before, next(lines, None)))
            return
        elif line.startswith(RECORD_MEMBER, STATEMENT_OFFSET):
            check.records += 1
        elif line.startswith(STATEMENT_MEMBERS, STATEMENT_OFFSET):
            _check_statement(check, number, line)
        check.lines, before = number, line
        digest = sha256(line).hexdigest()
        expected = digest.encode()
        if check.sealed_by is not None:
            check.digests.append(digest)
            check.leaves.append(hash_line_leaf(line))
        if number in known_ends:
            check.heads[number] = digest
    if check.records:
        check.last_time = read_time(before) or check.last_time


def read_time(line: bytes) -> str | None:
    """Return the time of a record or a statement."""
    record = log.parse_line(line) or {}
    time = record.get("time") or next(
        (record[kind].get("time") for kind in StatementKind if isinstance(record.get(kind), dict)), None
    )
    return time if isinstance(time, str) else None


def _check_header(check: FileCheck, line: bytes) -> None:
    header = log.parse_line(line)
    if header is None or "journal" not in header:
        reason = "it is no record" if header is None else "it is no header"
        check.findings.append(Finding(file=check.file.name, line=1, reason=reason))
        return
    check.started = check.last_time = str(header.get("started", ""))
    check.sealed_by = header.get("sealed_by")


def _describe_flaw(check: FileCheck, line: bytes, before: bytes, after: bytes | None) -> Finding:
    """Say which line is bad: this one, or the one before where the line after vouches for this one or is missing."""
    number, bad, reason = check.lines + 1, line, "it was changed, moved or put in"
    record = log.parse_line(line)
    if record is None:
        reason = "it is no record"
    elif line != before and (after is None or log.follows(after, line)):
        number, bad, reason = check.lines, before, "it was changed, or lines after it were taken away"
        check.records -= before.startswith(RECORD_MEMBER, STATEMENT_OFFSET)
    found = log.parse_line(bad) or {}
    id = found.get("id")
    return Finding(
        file=check.file.name,
        line=number,
        reason=reason,
        record=id if isinstance(id, str) else None,
        time=read_time(bad) or check.started or None,
    )


def _check_statement(check: FileCheck, number: int, line: bytes) -> None:
    statement = parse_statement(line)
    if statement is None:
        check.add("it is no signed statement", number)
        return
    check.last_time = str(statement.content["time"])
    if statement.kind is not StatementKind.CHECKPOINT:
        check.statements.append((number, statement))
        return
    checkpoint = parse_checkpoint(statement)
    if checkpoint is None or not _covers(check, checkpoint):
        check.add("the checkpoint does not fit the lines before it", number)
        return
    state = checkpoint.state
    count = state.lines - check.covered
    del check.digests[:count], check.leaves[:count]
    check.covered = state.lines
    check.checkpoints.append((number, statement, checkpoint))


def _covers(check: FileCheck, checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint is the next of its file, and its digests are those of the lines."""
    state, count = checkpoint.state, checkpoint.state.lines - check.covered
    return (
        checkpoint.file == check.file.name
        and checkpoint.number == len(check.checkpoints) + 1
        and state.first == check.covered + 1
        and 0 < count <= len(check.leaves)
        and state.records <= check.records
        and state.head == check.digests[count - 1]
        and state.root == compute_root(check.leaves[:count]).hex()
    )


def _check_signatures(check: FileCheck, trusted: TrustedKeys) -> None:
    """Find statements that no trusted key signed; without keys nothing is proved, and nothing found."""
    if not trusted:
        return
    for number, statement, checkpoint in check.checkpoints:
        if not trusted.vouch_for(statement):
            reason = f"the checkpoint is signed by no key that is trusted at its time (key {statement.content['key']})"
            check.findings.append(Finding(file=check.file.name, line=number, reason=reason, time=checkpoint.time))
    for number, statement in check.statements:
        if not trusted.vouch_for(statement):
            reason = f"the {statement.kind} is signed by no key that is trusted at its time"
            time = statement.content["time"]
            check.findings.append(Finding(file=check.file.name, line=number, reason=reason, time=time))


def _check_end(check: FileCheck) -> None:
    """Find that a file has no end though its process has ended, or goes on behind it."""
    if check.sealed_by is None or any(finding.kind is FindingKind.ALTERED for finding in check.findings):
        return
    last = check.checkpoints[-1] if check.checkpoints else None
    ends = [number for number, _, checkpoint in check.checkpoints if checkpoint.end]
    if ends and (ends[0] != check.lines or last is None or last[2].state.lines != check.lines - 1):
        check.add("it goes on after the end that its process sealed", ends[0] + 1)
    elif not ends and not check.file.is_open:
        reason = "its end is not sealed: its process was stopped at once, or the end was cut off"
        check.add(reason, check.lines, FindingKind.UNPROVED)


def _check_is_sealed(check: FileCheck, sealed_since: str) -> None:
    """Find a file that nothing seals though the log was sealed when it was written, and one that holds nothing at all.

    What its header says of its beginning is not believed, as no key has signed it.
    """
    if check.sealed_by is not None or check.findings:
        return
    if not check.lines:
        check.add("it is empty", None, FindingKind.UNPROVED)
    elif check.started >= sealed_since:
        reason = "nothing seals it, though others were sealed already when it began"
        check.add(reason, None, FindingKind.UNPROVED)
    elif any((read_time(line) or "") >= sealed_since for line in check.file.read_lines()):
        reason = "nothing seals it, though others were sealed already when it was written"
        check.add(reason, None, FindingKind.UNPROVED)


def _compare(check: FileCheck, published: Sequence[tuple[SignedStatement, Checkpoint]]) -> Iterator[Finding]:
    """Find where a file is not what its second place says it was, if its own lines did not show that already."""
    name = check.file.name
    if any(finding.kind is FindingKind.ALTERED for finding in check.findings):
        return
    own = {checkpoint.number: statement.text for _, statement, checkpoint in check.checkpoints}
    good = 1
    for statement, checkpoint in sorted(published, key=lambda known: known[1].number):
        lines = checkpoint.state.lines
        if lines > check.lines:
            reason = f"its end was cut off: it had {lines} lines at {checkpoint.time}"
            yield Finding(file=name, line=check.lines, reason=reason, time=check.last_time)
            return
        if check.heads.get(lines) != checkpoint.state.head:
            reason = f"the lines from here to line {lines} were rewritten by {checkpoint.time}"
            yield Finding(file=name, line=good, reason=reason, time=_find_time(check, good))
            return
        if own.get(checkpoint.number) != statement.text:
            reason = f"checkpoint {checkpoint.number} is not the one of the second place, or was cut off"
            yield Finding(file=name, line=min(lines + 1, check.lines), reason=reason, time=checkpoint.time)
            return
        good = lines + 1


def _find_time(check: FileCheck, number: int) -> str | None:
    for line, content in enumerate(check.file.read_lines(), 1):
        if line == number:
            return read_time(content) or check.started
    return check.started


def _is_foreign(statement: SignedStatement, trusted: TrustedKeys) -> bool:
    """Whether nobody vouches for a statement of a second place; checkpoints are found with their file."""
    return statement.kind is not StatementKind.CHECKPOINT and not trusted.vouch_for(statement)


def _describe_unsigned(statement: SignedStatement) -> Finding:
    reason = f"a {statement.kind} at the second place is signed by no key that is trusted at its time"
    return Finding(file=str(statement.content.get("file", "")), reason=reason, time=statement.content["time"])


def _collect_deletions(statements: Iterable[SignedStatement], trusted: TrustedKeys) -> Mapping[str, Mapping[str, Any]]:
    """Return what is said of each file that was deleted by who may say so."""
    said = (statement for statement in statements if statement.kind is StatementKind.DELETION)
    contents = [statement.content for statement in said if not trusted or trusted.vouch_for(statement)]
    return {content["file"]: content for content in contents if "file" in content}


def _is_deleted(
    name: str, published: Sequence[tuple[SignedStatement, Checkpoint]], deletions: Mapping[str, Mapping[str, Any]]
) -> bool:
    """Whether a file was deleted as it was when it was last sealed."""
    last = max(published, key=lambda known: known[1].number)
    return name in deletions and deletions[name].get("checkpoint") == last[0].to_body().decode()


def _describe_missing(name: str, published: Sequence[Checkpoint]) -> Finding:
    last = max(published, key=lambda checkpoint: checkpoint.number)
    reason = f"the file is missing: it held {last.state.records} records at {last.time}"
    return Finding(file=name, reason=reason, time=min(checkpoint.time for checkpoint in published))


def _count_sealed(check: FileCheck) -> int:
    """Count the records that checkpoints cover."""
    if any(finding.kind is FindingKind.ALTERED for finding in check.findings):
        return 0
    return max((checkpoint.state.records for _, _, checkpoint in check.checkpoints), default=0)
