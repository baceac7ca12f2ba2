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

from onedoor.jobs.codecs import InvalidJobValue, build_instance, dump_instance
from onedoor.jobs.context import MAX_FILE_BYTES, JobContext
from onedoor.jobs.declarations import Job, Script
from onedoor.jobs.models import JobFailed, LineKind

SUPERVISOR_PATH = Path(__file__).with_name("supervisor.py")

STOP_SECONDS = 10.0
"""The supervisor ends all of a script in one or two; only where it hangs itself, it is killed."""

LINE_BYTES = 65_536
"""Of a line that does not end, so much at a time."""

RESULT_FILE, FILES_FOLDER = "result.json", "files"

MAX_RESULT_BYTES = 1 << 20

MAX_FILES = 100

KILL_REASONS = {24: "it used more CPU time than it may", 25: "it wrote a larger file than it may"}
"""By signal, what the kernel ended it for."""


@dataclass(slots=True)
class ScriptOutput:
    """The last line of its output that may be a result."""

    last_object: bytes = b""


async def run_script(job: Job, context: JobContext, input_value: Any) -> Any:
    """Raises Failure where it ends with anything but 0, or where its result does not fit."""
    assert isinstance(job.run, Script)
    folder = await asyncio.to_thread(_create_folder)
    try:
        code, said = await _run_process(job.run, context, folder, orjson.dumps(dump_instance(input_value)))
        if code != 0:
            raise JobFailed(_describe_exit(code))
        result = await asyncio.to_thread(_read_result, job, folder, said)
        await _save_files(context, folder / FILES_FOLDER)
        return result
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _create_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="onedoor-job-"))
    (folder / FILES_FOLDER).mkdir()
    return folder


def _describe_exit(code: int) -> str:
    signal = code - 128
    return KILL_REASONS.get(signal) or (f"it was ended by signal {signal}" if signal > 0 else f"it ended with {code}")


async def _run_process(script: Script, context: JobContext, folder: Path, given: bytes) -> tuple[int, ScriptOutput]:
    lifeline, held = os.pipe()
    process = None
    said = ScriptOutput()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", str(SUPERVISOR_PATH), str(lifeline), str(folder), _format_limits(script), *_build_command(script),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            pass_fds=(lifeline,), env=_build_environment(folder), cwd=folder, limit=LINE_BYTES, start_new_session=True,
        )  # fmt: skip
        os.close(lifeline)
        lifeline = -1
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        async with asyncio.TaskGroup() as group:
            group.create_task(_write_input(process.stdin, given))
            group.create_task(_read_lines(process.stdout, context, LineKind.OUTPUT, said))
            group.create_task(_read_lines(process.stderr, context, LineKind.ERROR, ScriptOutput()))
        return await process.wait(), said
    finally:
        os.close(held)
        if lifeline >= 0:
            os.close(lifeline)
        if process is not None:
            await asyncio.shield(_wait_or_kill(process))


def _format_limits(script: Script) -> str:
    bounds = script.limits
    return ",".join(map(str, (bounds.cpu_seconds, bounds.memory_bytes, bounds.file_bytes, bounds.open_files)))


def _build_command(script: Script) -> tuple[str, ...]:
    before = {".py": (sys.executable, "-I"), ".sh": ("/bin/sh",)}
    return (*before.get(script.path.suffix, ()), str(script.path.absolute()))


def _build_environment(folder: Path) -> dict[str, str]:
    """Nothing of ours: no secret is in it."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(folder), "TMPDIR": str(folder)}


async def _write_input(into: asyncio.StreamWriter, given: bytes) -> None:
    """A script need not read its input."""
    with suppress(BrokenPipeError, ConnectionResetError):
        into.write(given + b"\n")
        await into.drain()
    with suppress(BrokenPipeError, ConnectionResetError):
        into.close()
        await into.wait_closed()


async def _read_lines(out: asyncio.StreamReader, context: JobContext, kind: LineKind, said: ScriptOutput) -> None:
    """Each line as it comes; who writes faster than we keep waits."""
    while line := await _read_line(out):
        if line.strip().startswith(b"{"):
            said.last_object = line
        if kind is LineKind.OUTPUT and (progress := _parse_progress(line)) is not None:
            context.report_progress(*progress)
        else:
            await context.log_script_line(kind, line.decode("utf-8", "replace").rstrip("\r\n"))


async def _read_line(out: asyncio.StreamReader) -> bytes:
    try:
        return await out.readuntil(b"\n")
    except asyncio.IncompleteReadError as rest:
        return rest.partial
    except asyncio.LimitOverrunError as over:
        return await out.read(max(over.consumed, 1))


def _parse_progress(line: bytes) -> tuple[float, float | None] | None:
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


async def _wait_or_kill(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _read_result(job: Job, folder: Path, said: ScriptOutput) -> Any:
    if job.result is None:
        return None
    file = folder / RESULT_FILE
    if file.is_file() and not file.is_symlink():
        if file.stat().st_size > MAX_RESULT_BYTES:
            raise JobFailed(f"its result is larger than {MAX_RESULT_BYTES} bytes", retryable=False)
        text = file.read_bytes()
    else:
        text = said.last_object
    try:
        return build_instance(job.result, orjson.loads(text))
    except (orjson.JSONDecodeError, InvalidJobValue) as reason:
        why = str(reason) if isinstance(reason, InvalidJobValue) else "it is no JSON object"
        raise JobFailed(f"its result does not fit: {why}", retryable=False) from None


async def _save_files(context: JobContext, folder: Path) -> None:
    for name, content in await asyncio.to_thread(_read_left_files, folder):
        await context.save_file(name, content, guess_type(name)[0] or "application/octet-stream")


def _read_left_files(folder: Path) -> list[tuple[str, bytes]]:
    """What the script left; a link is not followed: it could lead anywhere."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    found = [each for each in sorted(folder.iterdir())[:MAX_FILES] if each.is_file() and not each.is_symlink()]
    for file in found:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise JobFailed(f"its file `{file.name[:100]}` is larger than {MAX_FILE_BYTES} bytes", retryable=False)
    return [(each.name, each.read_bytes()) for each in found]
