"""Supervise a script in a process of its own: the script and all that it started end when the worker does.

`python -I -S supervisor.py LIFELINE FOLDER LIMITS PROGRAM...`: LIFELINE is a pipe whose other end only the worker
holds. Whatever ends the worker closes it: then the script's process group gets SIGTERM, and all that is left SIGKILL.
It imports the standard library alone, so that it starts at once.
"""

import contextlib
import ctypes
import os
import resource
import select
import shutil
import signal
import sys
import time

TERM_SECONDS = 1.0

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

RESOURCE_LIMITS = (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)


def main(lifeline: int, folder: str, limits: str, program: list[str]) -> int:
    """Return the script's own exit code, or 128 plus the signal that ended it."""
    os.set_inheritable(lifeline, False)
    libc = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    if libc is not None:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphans of the script become our children
    child = os.fork()
    if child == 0:
        exec_script(libc, folder, [int(limit) for limit in limits.split(",")], program)
    code = wait_for_child(child, lifeline)
    for descriptor in (0, 1, 2):
        with contextlib.suppress(OSError):
            os.close(descriptor)
    if code is None:
        code = terminate_child(child)
    kill_descendants(child)
    if select.select([lifeline], [], [], 0)[0]:
        shutil.rmtree(folder, ignore_errors=True)  # nobody is left to read it
    return code


def exec_script(libc: "ctypes.CDLL | None", folder: str, limits: list[int], program: list[str]) -> None:
    """Become the script, in a process group of its own, in its folder and within its limits."""
    try:
        os.setsid()
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        for kind, limit in zip(RESOURCE_LIMITS, limits, strict=True):
            resource.setrlimit(kind, (limit, limit + (kind == resource.RLIMIT_CPU)))  # SIGXCPU first, then SIGKILL
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.chdir(folder)
        os.execv(program[0], program)
    except BaseException as reason:
        os.write(2, f"the script cannot be run: {type(reason).__name__}\n".encode())
    finally:
        os._exit(127)


def wait_for_child(child: int, lifeline: int) -> "int | None":
    """Return the child's exit code; None: the worker closed the lifeline first."""
    ready, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        if (code := collect_exit_code(child)) is not None:
            return code
        if lifeline in select.select([lifeline, ready], [], [])[0]:
            return None
        os.read(ready, 4096)


def collect_exit_code(child: int) -> "int | None":
    try:
        done, status = os.waitpid(child, os.WNOHANG)
    except ChildProcessError:
        return 0
    return to_exit_code(status) if done else None


def to_exit_code(status: int) -> int:
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def terminate_child(child: int) -> int:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGTERM)
    until = time.monotonic() + TERM_SECONDS
    while time.monotonic() < until:
        if (code := collect_exit_code(child)) is not None:
            return code
        time.sleep(0.01)
    return 128 + signal.SIGKILL


def kill_descendants(child: int) -> None:
    """Kill the script's process group and every descendant that left it."""
    while True:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        for descendant in list_children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(descendant, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def list_children() -> "list[int]":
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as listed:
            return [int(pid) for pid in listed.read().split()]
    except OSError:
        return []


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]))
