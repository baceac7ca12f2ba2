"""Start the demo's servers, wait for them, restart and stop them; and check calls to S3."""

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


def build_parser(name: str) -> argparse.ArgumentParser:
    """Return a parser of the options that every server has."""
    parser = argparse.ArgumentParser(prog=f"python -m demo.servers.{name}")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--scale", type=float, default=1.0, help="1: the whole company; 0.01: a hundredth of it")
    parser.add_argument("--parent", type=int, help="the process without which this one shall not live")
    return parser


def end_with_parent(parent: int | None) -> None:
    """End this process when its parent ends, or at once if the parent is gone already."""
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def serve(app: Any, port: int) -> None:
    """Serve on loopback until SIGTERM or SIGINT; a request that is running then has one second."""
    uvicorn.run(app, host=HOST, port=port, log_level="warning", timeout_graceful_shutdown=1)


NAMES = (
    "s3", "slack", "snowflake", "azure", "drive", "prometheus", "datadog", "github", "directory",
)  # fmt: skip

ROOT = Path(__file__).parents[2]

INTERPRETERS = {"snowflake": ROOT / ".venv-fakesnow" / "bin" / "python"}
"""The interpreters of servers that need other packages than Onedoor does, each in an environment of its own."""

READY_SECONDS = 30.0

STOP_SECONDS = 3.0

POLL_SECONDS = 0.02


class NotReady(Exception):
    """A server did not start; the message names it and quotes its last line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServers:
    """The servers of one start, whose processes change as they are restarted and whose ports do not."""

    ports: Mapping[str, int]
    commands: Mapping[str, tuple[str, ...]]
    environment: Mapping[str, str]
    outputs: Mapping[str, IO[bytes]]
    processes: dict[str, subprocess.Popen[bytes]]


@contextmanager
def servers(
    names: Sequence[str] = NAMES,
    *,
    scale: Fraction | float = 1,
    environment: Mapping[str, str] | None = None,
    options: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[RunningServers]:
    """Start the servers side by side, wait until they answer, and stop them at the end. Raises NotReady.

    `environment` is added to ours; `options` are further arguments of one server by name, such as `--rate`.
    """
    with starting(names, scale=scale, environment=environment, options=options) as running:
        wait_ready(running)
        yield running


@contextmanager
def starting(
    names: Sequence[str] = NAMES,
    *,
    scale: Fraction | float = 1,
    environment: Mapping[str, str] | None = None,
    options: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[RunningServers]:
    """Start the servers without waiting; call it on a thread that outlives them, as they end with it.

    Raises NotReady where one cannot be started.
    """
    with ExitStack() as stack:
        ports = {name: reserved_port(stack) for name in names}
        running = RunningServers(
            ports=ports,
            commands={
                name: build_command(name, port, scale, (options or {}).get(name, ())) for name, port in ports.items()
            },
            environment={**os.environ, **(environment or {})},
            outputs={name: stack.enter_context(tempfile.TemporaryFile()) for name in names},
            processes={},
        )
        stack.callback(stop_all, running)
        for name in names:
            start(running, name)
        yield running


def address(running: RunningServers, name: str) -> tuple[str, int]:
    """Return host and port."""
    return HOST, running.ports[name]


def kill(running: RunningServers, name: str) -> None:
    """End a server at once; its port stays reserved and refuses connections."""
    process = running.processes[name]
    process.kill()
    process.wait()


def restart(running: RunningServers, name: str) -> None:
    """Start a new process on the same port and wait until it answers. Raises NotReady."""
    kill(running, name)
    start(running, name)
    wait_ready(running, (name,))


def wait_ready(running: RunningServers, names: Sequence[str] = (), seconds: float = READY_SECONDS) -> None:
    """Wait until each server accepts connections, which it does once it is seeded. Raises NotReady."""
    deadline = time.monotonic() + seconds
    for name in names or tuple(running.processes):
        while not accepts(running.ports[name]):
            if running.processes[name].poll() is not None:
                raise NotReady(f"the `{name}` server stopped at its start{read_last_line(running, name)}")
            if time.monotonic() > deadline:
                late = f"the `{name}` server did not answer within {seconds:.0f} seconds"
                raise NotReady(late + read_last_line(running, name))
            time.sleep(POLL_SECONDS)


def start(running: RunningServers, name: str) -> None:
    """Start a server in a process group of its own, so that Ctrl-C reaches only this process. Raises NotReady."""
    try:
        running.processes[name] = subprocess.Popen(
            running.commands[name],
            cwd=ROOT,
            env=running.environment,
            stdin=subprocess.DEVNULL,
            stdout=running.outputs[name],
            stderr=running.outputs[name],
            process_group=0,
        )
    except FileNotFoundError as reason:
        message = f"the `{name}` server needs an environment of its own: `make serve` and `make test` install it"
        raise NotReady(message) from reason


def stop_all(running: RunningServers) -> None:
    for process in running.processes.values():
        process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for process in running.processes.values():
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def build_command(name: str, port: int, scale: Fraction | float, more: Sequence[str]) -> tuple[str, ...]:
    given = ("--port", str(port), "--scale", str(float(scale)), "--parent", str(os.getpid()))
    return str(INTERPRETERS.get(name, sys.executable)), "-m", f"demo.servers.{name}", *given, *more


def reserved_port(stack: ExitStack) -> int:
    """Return a free port, reserved by a socket that never listens, so that nobody else is given it."""
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


def read_last_line(running: RunningServers, name: str) -> str:
    running.outputs[name].seek(0)
    lines = running.outputs[name].read().decode("utf-8", "replace").split("\n")
    outputs = [line.strip() for line in lines if line.strip()]
    return f": {outputs[-1]}" if outputs else ""


WSGI: TypeAlias = Callable[[dict[str, Any], Any], Iterable[bytes]]

WRITES = frozenset({"PUT", "POST", "DELETE"})

FORM = "%Y%m%dT%H%M%SZ"

LONGEST = 604_800


class S3Refusal(Exception):
    """A refusal: a status line, and S3's name for the error."""

    def __init__(self, status: str, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


def check_s3_calls(app: WSGI, secret: str) -> WSGI:
    one_by_one = threading.Lock()

    def answered(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        try:
            query = dict(parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))
            if "X-Amz-Signature" in query:
                verify_presigned(environ, query, secret, datetime.now(UTC))
            if environ["REQUEST_METHOD"] not in WRITES:
                return app(environ, start)
            with one_by_one:
                check_copy_conditions(environ)
                return list(app(environ, start))
        except S3Refusal as refusal:
            start(refusal.status, [("Content-Type", "application/xml"), ("Connection", "close")])
            return [f"<Error><Code>{refusal.code}</Code><Message>{refusal.code}</Message></Error>".encode()]

    return answered


def verify_presigned(environ: Mapping[str, Any], query: Mapping[str, str], secret: str, now: datetime) -> None:
    """Verify the signature of URL and signed headers; the body is not signed. Raises S3Refusal."""
    try:
        begins = datetime.strptime(query["X-Amz-Date"], FORM).replace(tzinfo=UTC)
        span, scope = int(query["X-Amz-Expires"]), query["X-Amz-Credential"].split("/", 1)[1]
        names = query["X-Amz-SignedHeaders"].split(";")
    except (KeyError, ValueError, IndexError):
        raise S3Refusal("400 Bad Request", "AuthorizationQueryParametersError") from None
    if not 0 < span <= LONGEST or not begins <= now + timedelta(minutes=15) or now >= begins + timedelta(seconds=span):
        raise S3Refusal("403 Forbidden", "AccessDenied")
    if set(list_own_headers(environ)) - set(names):
        raise S3Refusal("403 Forbidden", "AccessDenied")
    canonical = "\n".join([
        environ["REQUEST_METHOD"], get_raw_path(environ), format_canonical_query(query),
        *(f"{name}:{get_header(environ, name)}" for name in names), "", ";".join(names), "UNSIGNED-PAYLOAD",
    ])  # fmt: skip
    text = "\n".join(["AWS4-HMAC-SHA256", query["X-Amz-Date"], scope, sha256(canonical.encode()).hexdigest()])
    if not hmac.compare_digest(compute_signature(secret, scope, text), query["X-Amz-Signature"]):
        raise S3Refusal("403 Forbidden", "SignatureDoesNotMatch")


def list_own_headers(environ: Mapping[str, Any]) -> list[str]:
    """List S3's own headers of a call, all of which must be signed."""
    return [name[5:].lower().replace("_", "-") for name in environ if name.startswith("HTTP_X_AMZ_")]


def get_raw_path(environ: Mapping[str, Any]) -> str:
    return str(environ["RAW_URI"]).partition("?")[0]


def format_canonical_query(query: Mapping[str, str]) -> str:
    signed_query = sorted((name, value) for name, value in query.items() if name != "X-Amz-Signature")
    return "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in signed_query)


def get_header(environ: Mapping[str, Any], name: str) -> str:
    own = name.upper().replace("-", "_")
    result = environ.get(own if own in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{own}", "")
    return " ".join(str(result).split())


def compute_signature(secret: str, scope: str, text: str) -> str:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def check_copy_conditions(environ: Mapping[str, Any]) -> None:
    """Check the conditions of a copy on its target and its source. Raises S3Refusal."""
    if "HTTP_X_AMZ_COPY_SOURCE" not in environ:
        return
    stands = find_etag(unquote(get_raw_path(environ)))
    wanted, origin = get_header(environ, "if-match"), get_header(environ, "x-amz-copy-source-if-match")
    if wanted and stands is None:
        raise S3Refusal("404 Not Found", "NoSuchKey")
    differs = bool(wanted) and stands != wanted.strip('"')
    taken = get_header(environ, "if-none-match") == "*" and stands is not None
    moved = bool(origin) and find_etag("/" + unquote(environ["HTTP_X_AMZ_COPY_SOURCE"]).lstrip("/")) != origin.strip(
        '"'
    )
    if differs or taken or moved:
        raise S3Refusal("412 Precondition Failed", "PreconditionFailed")


def find_etag(path: str) -> str | None:
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    _, bucket, key = path.split("/", 2)
    value = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_object(bucket, key)
    return None if value is None else str(value.etag).strip('"')
