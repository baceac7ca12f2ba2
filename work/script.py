"""A script as a job's function: its input goes in as JSON, its lines come out as they are written, then its result."""

import asyncio
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from mimetypes import guess_type
from pathlib import Path
from typing import Any

import orjson

from work.context import FILE_BYTES, Context
from work.declared import Job, Script
from work.kinds import Misfit, made, plain
from work.words import Failure, LineKind

SUPERVISOR = Path(__file__).with_name("supervisor.py")
STOP_SECONDS = 10.0
"""The supervisor ends all of a script in one or two; only where it hangs itself, it is killed."""
LINE_BYTES = 65_536
"""Of a line that does not end, so much at a time."""
RESULT, FILES = "result.json", "files"
RESULT_BYTES = 1 << 20
FILES_MOST = 100
KILLED = {24: "it used more CPU time than it may", 25: "it wrote a larger file than it may"}
"""By signal, what the kernel ended it for."""


@dataclass(slots=True)
class Said:
    """The last line of its output that may be a result."""

    last: bytes = b""


async def run(job: Job, context: Context, given: Any) -> Any:
    """Raises Failure where it ends with anything but 0, or where its result does not fit."""
    assert isinstance(job.run, Script)
    folder = await asyncio.to_thread(_folder)
    try:
        code, said = await _ran(job.run, context, folder, orjson.dumps(plain(given)))
        if code != 0:
            raise Failure(_why(code))
        result = await asyncio.to_thread(_result, job, folder, said)
        await _files(context, folder / FILES)
        return result
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="onedoor-job-"))
    (folder / FILES).mkdir()
    return folder


def _why(code: int) -> str:
    signal = code - 128
    return KILLED.get(signal) or (f"it was ended by signal {signal}" if signal > 0 else f"it ended with {code}")


async def _ran(script: Script, context: Context, folder: Path, given: bytes) -> tuple[int, Said]:
    lifeline, held = os.pipe()
    process = None
    said = Said()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", str(SUPERVISOR), str(lifeline), str(folder), _bounds(script), *_program(script),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            pass_fds=(lifeline,), env=_environment(folder), cwd=folder, limit=LINE_BYTES, start_new_session=True,
        )  # fmt: skip
        os.close(lifeline)
        lifeline = -1
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        async with asyncio.TaskGroup() as group:
            group.create_task(_fed(process.stdin, given))
            group.create_task(_lines(process.stdout, context, LineKind.OUTPUT, said))
            group.create_task(_lines(process.stderr, context, LineKind.ERROR, Said()))
        return await process.wait(), said
    finally:
        os.close(held)
        if lifeline >= 0:
            os.close(lifeline)
        if process is not None:
            await asyncio.shield(_over(process))


def _bounds(script: Script) -> str:
    bounds = script.bounds
    return ",".join(map(str, (bounds.cpu_seconds, bounds.memory_bytes, bounds.file_bytes, bounds.open_files)))


def _program(script: Script) -> tuple[str, ...]:
    before = {".py": (sys.executable, "-I"), ".sh": ("/bin/sh",)}
    return (*before.get(script.path.suffix, ()), str(script.path.absolute()))


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of ours: no secret is in it."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(folder), "TMPDIR": str(folder)}


async def _fed(into: asyncio.StreamWriter, given: bytes) -> None:
    """A script need not read its input."""
    with suppress(BrokenPipeError, ConnectionResetError):
        into.write(given + b"\n")
        await into.drain()
    with suppress(BrokenPipeError, ConnectionResetError):
        into.close()
        await into.wait_closed()


async def _lines(out: asyncio.StreamReader, context: Context, kind: LineKind, said: Said) -> None:
    """Each line as it comes; who writes faster than we keep waits."""
    while line := await _line(out):
        if line.strip().startswith(b"{"):
            said.last = line
        if kind is LineKind.OUTPUT and (progress := _progress(line)) is not None:
            context.progress(*progress)
        else:
            await context.said(kind, line.decode("utf-8", "replace").rstrip("\r\n"))


async def _line(out: asyncio.StreamReader) -> bytes:
    try:
        return await out.readuntil(b"\n")
    except asyncio.IncompleteReadError as rest:
        return rest.partial
    except asyncio.LimitOverrunError as over:
        return await out.read(max(over.consumed, 1))


def _progress(line: bytes) -> tuple[float, float | None] | None:
    """`{"done": 3, "total": 10}` is no line, but how far it came."""
    if not line.startswith(b'{"done"') or len(line) > 200:
        return None
    try:
        told = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    done, total = told.get("done"), told.get("total")
    fits = isinstance(done, int | float) and (total is None or isinstance(total, int | float))
    return (float(done), total) if fits and told.keys() <= {"done", "total"} else None


async def _over(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _result(job: Job, folder: Path, said: Said) -> Any:
    if job.result is None:
        return None
    file = folder / RESULT
    if file.is_file() and not file.is_symlink():
        if file.stat().st_size > RESULT_BYTES:
            raise Failure(f"its result is larger than {RESULT_BYTES} bytes", again=False)
        text = file.read_bytes()
    else:
        text = said.last
    try:
        return made(job.result, orjson.loads(text))
    except (orjson.JSONDecodeError, Misfit) as reason:
        why = str(reason) if isinstance(reason, Misfit) else "it is no JSON object"
        raise Failure(f"its result does not fit: {why}", again=False) from None


async def _files(context: Context, folder: Path) -> None:
    for name, content in await asyncio.to_thread(_left, folder):
        await context.file(name, content, guess_type(name)[0] or "application/octet-stream")


def _left(folder: Path) -> list[tuple[str, bytes]]:
    """What the script left; a link is not followed: it could lead anywhere."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    found = [each for each in sorted(folder.iterdir())[:FILES_MOST] if each.is_file() and not each.is_symlink()]
    for file in found:
        if file.stat().st_size > FILE_BYTES:
            raise Failure(f"its file `{file.name[:100]}` is larger than {FILE_BYTES} bytes", again=False)
    return [(each.name, each.read_bytes()) for each in found]
