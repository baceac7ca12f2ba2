"""Start, wait for, stop the servers."""

import argparse
import ctypes
import hmac
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, TypeAlias
from urllib.parse import parse_qsl, quote, unquote

import uvicorn

HOST = "127.0.0.1"

PR_SET_PDEATHSIG = 1


def options(name: str) -> argparse.ArgumentParser:
    """`--port`, `--scale` and `--parent`, which every server has."""
    parser = argparse.ArgumentParser(prog=f"python -m demo.{name}")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--scale", type=float, default=1.0, help="1: the whole company; 0.01: a hundredth of it")
    parser.add_argument("--parent", type=int, help="the process without which this one shall not live")
    return parser


def follow(parent: int | None) -> None:
    """Ends this process when its parent ends, however that comes; a parent that is gone already counts."""
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def serve(app: Any, port: int) -> None:
    """Serves on loopback until SIGTERM or SIGINT; a request still running then has one second."""
    uvicorn.run(app, host=HOST, port=port, log_level="warning", timeout_graceful_shutdown=1)


NAMES = (
    "s3", "slack", "snowflake", "azure", "drive", "prometheus", "datadog", "github", "directory",
)  # fmt: skip

ROOT = Path(__file__).parents[2]

READY_SECONDS = 30.0

STOP_SECONDS = 3.0

POLL_SECONDS = 0.02


class NotReady(Exception):
    """A server did not come up; the message names it and says what it said last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The servers of one start: `processes` changes as they are killed and restarted, their ports never do."""

    ports: Mapping[str, int]
    commands: Mapping[str, tuple[str, ...]]
    environment: Mapping[str, str]
    said: Mapping[str, IO[bytes]]
    processes: dict[str, subprocess.Popen[bytes]]


@contextmanager
def servers(
    names: Sequence[str] = NAMES,
    *,
    scale: Fraction | float = 1,
    environment: Mapping[str, str] | None = None,
    options: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[Running]:
    """Started side by side and answering; all stopped at the end. Raises NotReady.

    `environment` is added to ours; `options` are further arguments of one server by name, as `--rate`.
    """
    with started(names, scale=scale, environment=environment, options=options) as running:
        wait_ready(running)
        yield running


@contextmanager
def started(
    names: Sequence[str] = NAMES,
    *,
    scale: Fraction | float = 1,
    environment: Mapping[str, str] | None = None,
    options: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[Running]:
    """As `servers`, but not waited for. Call it on a thread that outlives them: they end when it does."""
    with ExitStack() as stack:
        ports = {name: reserved_port(stack) for name in names}
        running = Running(
            ports=ports,
            commands={name: command(name, port, scale, (options or {}).get(name, ())) for name, port in ports.items()},
            environment={**os.environ, **(environment or {})},
            said={name: stack.enter_context(tempfile.TemporaryFile()) for name in names},
            processes={},
        )
        stack.callback(stop_all, running)
        for name in names:
            start(running, name)
        yield running


def address(running: Running, name: str) -> tuple[str, int]:
    """Host and port."""
    return HOST, running.ports[name]


def kill(running: Running, name: str) -> None:
    """Ends one server at once, without a goodbye; its port stays reserved and refuses connections."""
    process = running.processes[name]
    process.kill()
    process.wait()


def restart(running: Running, name: str) -> None:
    """A new process on the same port, seeded anew and answering. Raises NotReady."""
    kill(running, name)
    start(running, name)
    wait_ready(running, (name,))


def wait_ready(running: Running, names: Sequence[str] = (), seconds: float = READY_SECONDS) -> None:
    """Until each accepts connections, which it does once it is seeded. Raises NotReady."""
    deadline = time.monotonic() + seconds
    for name in names or tuple(running.processes):
        while not accepts(running.ports[name]):
            if running.processes[name].poll() is not None:
                raise NotReady(f"the `{name}` server stopped at its start{last_words(running, name)}")
            if time.monotonic() > deadline:
                late = f"the `{name}` server did not answer within {seconds:.0f} seconds"
                raise NotReady(late + last_words(running, name))
            time.sleep(POLL_SECONDS)


def start(running: Running, name: str) -> None:
    """In a process group of its own: a Ctrl-C is for us, and we stop the servers in order."""
    running.processes[name] = subprocess.Popen(
        running.commands[name],
        cwd=ROOT,
        env=running.environment,
        stdin=subprocess.DEVNULL,
        stdout=running.said[name],
        stderr=running.said[name],
        process_group=0,
    )


def stop_all(running: Running) -> None:
    for process in running.processes.values():
        process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for process in running.processes.values():
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def command(name: str, port: int, scale: Fraction | float, more: Sequence[str]) -> tuple[str, ...]:
    given = ("--port", str(port), "--scale", str(float(scale)), "--parent", str(os.getpid()))
    return sys.executable, "-m", f"demo.servers.{name}", *given, *more


def reserved_port(stack: ExitStack) -> int:
    """A free port, held by a socket that never listens: a server may listen beside it, nobody is given its port."""
    held = stack.enter_context(socket.socket())
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind((HOST, 0))
    return int(held.getsockname()[1])


def accepts(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def last_words(running: Running, name: str) -> str:
    running.said[name].seek(0)
    lines = running.said[name].read().decode("utf-8", "replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return f": {said[-1]}" if said else ""


WSGI: TypeAlias = Callable[[dict[str, Any], Any], Iterable[bytes]]

WRITES = frozenset({"PUT", "POST", "DELETE"})

FORM = "%Y%m%dT%H%M%SZ"

LONGEST = 604_800


class Refusal(Exception):
    """A status line, and the name S3 gives the error."""

    def __init__(self, status: str, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


def strict(app: WSGI, secret: str) -> WSGI:
    one_by_one = threading.Lock()

    def answered(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        try:
            query = dict(parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))
            if "X-Amz-Signature" in query:
                verified(environ, query, secret, datetime.now(UTC))
            if environ["REQUEST_METHOD"] not in WRITES:
                return app(environ, start)
            with one_by_one:
                unchanged(environ)
                return list(app(environ, start))
        except Refusal as refusal:
            start(refusal.status, [("Content-Type", "application/xml"), ("Connection", "close")])
            return [f"<Error><Code>{refusal.code}</Code><Message>{refusal.code}</Message></Error>".encode()]

    return answered


def verified(environ: Mapping[str, Any], query: Mapping[str, str], secret: str, now: datetime) -> None:
    """By the address and the headers that it names, as they came; the octets themselves are not signed."""
    try:
        begins = datetime.strptime(query["X-Amz-Date"], FORM).replace(tzinfo=UTC)
        span, scope = int(query["X-Amz-Expires"]), query["X-Amz-Credential"].split("/", 1)[1]
        names = query["X-Amz-SignedHeaders"].split(";")
    except (KeyError, ValueError, IndexError):
        raise Refusal("400 Bad Request", "AuthorizationQueryParametersError") from None
    if not 0 < span <= LONGEST or not begins <= now + timedelta(minutes=15) or now >= begins + timedelta(seconds=span):
        raise Refusal("403 Forbidden", "AccessDenied")
    if set(said(environ)) - set(names):
        raise Refusal("403 Forbidden", "AccessDenied")
    asked = "\n".join([
        environ["REQUEST_METHOD"], path_of(environ), canonical(query),
        *(f"{name}:{header(environ, name)}" for name in names), "", ";".join(names), "UNSIGNED-PAYLOAD",
    ])  # fmt: skip
    text = "\n".join(["AWS4-HMAC-SHA256", query["X-Amz-Date"], scope, sha256(asked.encode()).hexdigest()])
    if not hmac.compare_digest(signature(secret, scope, text), query["X-Amz-Signature"]):
        raise Refusal("403 Forbidden", "SignatureDoesNotMatch")


def said(environ: Mapping[str, Any]) -> list[str]:
    """Headers of S3's own, none of which may come unsigned."""
    return [name[5:].lower().replace("_", "-") for name in environ if name.startswith("HTTP_X_AMZ_")]


def path_of(environ: Mapping[str, Any]) -> str:
    return str(environ["RAW_URI"]).partition("?")[0]


def canonical(query: Mapping[str, str]) -> str:
    kept = sorted((name, value) for name, value in query.items() if name != "X-Amz-Signature")
    return "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in kept)


def header(environ: Mapping[str, Any], name: str) -> str:
    own = name.upper().replace("-", "_")
    found = environ.get(own if own in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{own}", "")
    return " ".join(str(found).split())


def signature(secret: str, scope: str, text: str) -> str:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def unchanged(environ: Mapping[str, Any]) -> None:
    """Of a copy, what S3 asks of what stands at its end and at its beginning."""
    if "HTTP_X_AMZ_COPY_SOURCE" not in environ:
        return
    stands = etag(unquote(path_of(environ)))
    wanted, origin = header(environ, "if-match"), header(environ, "x-amz-copy-source-if-match")
    if wanted and stands is None:
        raise Refusal("404 Not Found", "NoSuchKey")
    differs = bool(wanted) and stands != wanted.strip('"')
    taken = header(environ, "if-none-match") == "*" and stands is not None
    moved = bool(origin) and etag("/" + unquote(environ["HTTP_X_AMZ_COPY_SOURCE"]).lstrip("/")) != origin.strip('"')
    if differs or taken or moved:
        raise Refusal("412 Precondition Failed", "PreconditionFailed")


def etag(path: str) -> str | None:
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    _, bucket, key = path.split("/", 2)
    found = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_object(bucket, key)
    return None if found is None else str(found.etag).strip('"')
