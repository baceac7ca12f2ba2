"""Run nginx and Caddy on a free port of loopback, where they are installed, as docs/operating.md configures them."""

import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.docs.pages import ROOT, blocks
from tests.servers.ports import find_free_port

HOST = "127.0.0.1"
PAGE = ROOT / "docs" / "operating.md"
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"
PROGRAMS = {name: shutil.which(name, path=PATH) for name in ("nginx", "caddy")}
READY_SECONDS = 30.0
POLL_SECONDS = 0.02
NGINX = """
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr warn;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{server}}}
"""


@contextmanager
def run_proxy(name: str, upstream: int) -> Iterator[str]:
    """The address of a proxy, over TLS, before a server on this port."""
    with tempfile.TemporaryDirectory(prefix="onedoor-proxy-") as given:
        folder, port = Path(given), find_free_port()
        write_certificate(folder)
        command = WRITE[name](folder, port, read_configuration(name).replace("127.0.0.1:8000", f"{HOST}:{upstream}"))
        environment = {"PATH": PATH, "HOME": given, "XDG_DATA_HOME": given, "XDG_CONFIG_HOME": given}
        with (folder / "log").open("wb") as output:
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            wait_ready(process, port, folder / "log")
            yield f"https://{HOST}:{port}"
        finally:
            process.kill()  # Caddy would wait for streams that are open
            process.wait()


def read_configuration(name: str) -> str:
    (block,) = blocks(PAGE, name)
    return block.text


def write_nginx(folder: Path, port: int, server: str) -> list[str]:
    """Write what the page leaves to Debian, with a port and a certificate of our own."""
    server = server.replace("listen 443 ", f"listen {HOST}:{port} ").replace("/etc/ssl", str(folder))
    path = folder / "nginx.conf"
    path.write_text(NGINX.format(folder=folder, server=server))
    return [str(PROGRAMS["nginx"]), "-p", str(folder), "-c", str(path)]


def write_caddy(folder: Path, port: int, server: str) -> list[str]:
    certificate = f"    tls {folder}/onedoor.pem {folder}/onedoor.key\n"
    address, _, rest = server.partition("\n")
    server = f"{address.replace('onedoor.example', f'https://{HOST}:{port}')}\n{certificate}{rest}"
    path = folder / "Caddyfile"
    path.write_text(f"{{\n    admin off\n    auto_https off\n    default_sni {HOST}\n}}\n{server}")
    return [str(PROGRAMS["caddy"]), "run", "--config", str(path), "--adapter", "caddyfile"]


WRITE = {"nginx": write_nginx, "caddy": write_caddy}


def write_certificate(folder: Path) -> None:
    """Write a certificate for an hour that nobody but a test trusts."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    built = x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
    built = built.serial_number(1).not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
    pem = serialization.Encoding.PEM
    (folder / "onedoor.pem").write_bytes(built.sign(key, hashes.SHA256()).public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "onedoor.key").write_bytes(private)


def wait_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            return
        except OSError:
            time.sleep(POLL_SECONDS)


def trust_any() -> ssl.SSLContext:
    """What a client needs to speak to the proxy, which has a certificate of its own making."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
