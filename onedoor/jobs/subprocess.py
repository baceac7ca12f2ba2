"""Run a script as a job: feed it its input as JSON, log its output line by line, then read its result and files."""

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
from onedoor.jobs.models import JobFailed, LineKind, Progress

SUPERVISOR_PATH = Path(__file__).with_name("supervisor.py")

STOP_SECONDS = 10.0
"""The supervisor ends a script in one or two seconds; only one that hangs itself is killed."""

LINE_BYTES = 65_536
"""A longer line is read in pieces of this size."""

PROGRESS_BYTES = 200

RESULT_FILE, FILES_FOLDER = "result.json", "files"

MAX_RESULT_BYTES = 1 << 20

MAX_FILES = 100

INTERPRETERS = {".py": (sys.executable, "-I"), ".sh": ("/bin/sh",)}

KILL_REASONS = {24: "it used more CPU time than it may", 25: "it wrote a larger file than it may"}
"""By signal, the limit for which the kernel ended a script."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptEnd:
    """How a script ended, and the last line of its output that may be a result."""

    code: int
    last_object: bytes


async def run_script(job: Job, context: JobContext, job_input: Any) -> Any:
    """Return the script's result. Raises JobFailed where its exit code is not 0 or its result does not fit."""
    assert isinstance(job.run, Script)
    folder = await asyncio.to_thread(_create_folder)
    try:
        end = await _run_process(job.run, context, folder, orjson.dumps(dump_instance(job_input)))
        if end.code != 0:
            raise JobFailed(_describe_exit(end.code))
        result = await asyncio.to_thread(_read_result, job, folder, end.last_object)
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


async def _run_process(script: Script, context: JobContext, folder: Path, script_input: bytes) -> ScriptEnd:
    """Run the script under the supervisor, which ends it when this process closes its end of the lifeline."""
    lifeline, own_end = os.pipe()
    process = None
    try:
        process = await _start_supervisor(script, folder, lifeline)
        os.close(lifeline)
        lifeline = -1
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        async with asyncio.TaskGroup() as group:
            group.create_task(_write_input(process.stdin, script_input))
            output = group.create_task(_read_lines(process.stdout, context, LineKind.OUTPUT))
            group.create_task(_read_lines(process.stderr, context, LineKind.ERROR))
        return ScriptEnd(code=await process.wait(), last_object=output.result())
    finally:
        os.close(own_end)
        if lifeline >= 0:
            os.close(lifeline)
        if process is not None:
            await asyncio.shield(_wait_or_kill(process))


async def _start_supervisor(script: Script, folder: Path, lifeline: int) -> asyncio.subprocess.Process:
    supervisor = (sys.executable, "-I", "-S", str(SUPERVISOR_PATH), str(lifeline), str(folder), _format_limits(script))
    return await asyncio.create_subprocess_exec(
        *supervisor,
        *INTERPRETERS.get(script.path.suffix, ()),
        str(script.path.absolute()),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        pass_fds=(lifeline,),
        env=_build_environment(folder),
        cwd=folder,
        limit=LINE_BYTES,
        start_new_session=True,
    )


def _format_limits(script: Script) -> str:
    limits = script.limits
    return ",".join(map(str, (limits.cpu_seconds, limits.memory_bytes, limits.file_bytes, limits.open_files)))


def _build_environment(folder: Path) -> dict[str, str]:
    """Return an environment that holds nothing of this process, whose own may hold secrets."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(folder), "TMPDIR": str(folder)}


async def _write_input(stdin: asyncio.StreamWriter, script_input: bytes) -> None:
    """Write the input; a script need not read it."""
    with suppress(BrokenPipeError, ConnectionResetError):
        stdin.write(script_input + b"\n")
        await stdin.drain()
    with suppress(BrokenPipeError, ConnectionResetError):
        stdin.close()
        await stdin.wait_closed()


async def _read_lines(stream: asyncio.StreamReader, context: JobContext, kind: LineKind) -> bytes:
    """Log each line as it comes and return the last one that may be an object; the script waits for the log."""
    last_object = b""
    while line := await _read_line(stream):
        if line.strip().startswith(b"{"):
            last_object = line
        progress = _parse_progress(line) if kind is LineKind.OUTPUT else None
        if progress is not None:
            context.report_progress(progress.done, progress.total)
        else:
            await context.log_script_line(kind, line.decode("utf-8", "replace").rstrip("\r\n"))
    return last_object


async def _read_line(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readuntil(b"\n")
    except asyncio.IncompleteReadError as last_line:
        return last_line.partial
    except asyncio.LimitOverrunError as overrun:
        return await stream.read(max(overrun.consumed, 1))


def _parse_progress(line: bytes) -> Progress | None:
    """Parse a line such as `{"done": 3, "total": 10}`, which reports progress in place of a log line."""
    if not line.startswith(b'{"done"') or len(line) > PROGRESS_BYTES:
        return None
    try:
        members = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    done, total = members.get("done"), members.get("total")
    if not isinstance(done, int | float) or not isinstance(total, int | float | None):
        return None
    return Progress(done=float(done), total=total) if members.keys() <= {"done", "total"} else None


async def _wait_or_kill(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _read_result(job: Job, folder: Path, last_object: bytes) -> Any:
    if job.result is None:
        return None
    text = _read_result_file(folder / RESULT_FILE)
    try:
        return build_instance(job.result, orjson.loads(last_object if text is None else text))
    except orjson.JSONDecodeError:
        raise JobFailed("its result does not fit: it is no JSON object", retryable=False) from None
    except InvalidJobValue as reason:
        raise JobFailed(f"its result does not fit: {reason}", retryable=False) from None


def _read_result_file(path: Path) -> bytes | None:
    """Return the content of the file, if there is one; a link is not followed, as it could lead anywhere."""
    if not path.is_file() or path.is_symlink():
        return None
    if path.stat().st_size > MAX_RESULT_BYTES:
        raise JobFailed(f"its result is larger than {MAX_RESULT_BYTES} bytes", retryable=False)
    return path.read_bytes()


async def _save_files(context: JobContext, folder: Path) -> None:
    for name, content in await asyncio.to_thread(_read_files, folder):
        await context.save_file(name, content, guess_type(name)[0] or "application/octet-stream")


def _read_files(folder: Path) -> list[tuple[str, bytes]]:
    """Return the names and contents of the files that the script left; links are not followed."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    paths = [path for path in sorted(folder.iterdir())[:MAX_FILES] if path.is_file() and not path.is_symlink()]
    for path in paths:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise JobFailed(f"its file `{path.name[:100]}` is larger than {MAX_FILE_BYTES} bytes", retryable=False)
    return [(path.name, path.read_bytes()) for path in paths]
