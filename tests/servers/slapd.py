"""Start OpenLDAP's slapd with memberOf, encrypted by a certificate of its own, and write to it as an administrator."""

import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from ldap3 import MODIFY_ADD, MODIFY_DELETE, MODIFY_REPLACE, Connection, Server

from tests.servers.ports import find_free_port
from tests.servers.serving import HOST

FOUND = shutil.which("slapd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
MISSING_MESSAGE = "LDAP as a directory: install slapd"
START_SECONDS = 20
START_ATTEMPTS = 5
SUFFIX = "dc=acme,dc=example"
PEOPLE, GROUPS = f"ou=people,{SUFFIX}", f"ou=groups,{SUFFIX}"
ADMINISTRATOR, PASSWORD = f"cn=admin,{SUFFIX}", secrets.token_hex(16)

CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
moduleload refint
pidfile {folder}/slapd.pid
TLSCACertificateFile {folder}/certificate.pem
TLSCertificateFile {folder}/certificate.pem
TLSCertificateKeyFile {folder}/key.pem
database mdb
maxsize 67108864
suffix "{suffix}"
rootdn "{administrator}"
rootpw "{password}"
directory {folder}/data
sizelimit 500
overlay memberof
overlay refint
refint_attributes member
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapServer:
    """A running directory; people and groups are named by their `cn`."""

    port: int
    tls_port: int
    certificate: Path
    connection: Connection

    def add_person(self, name: str, **attributes: str) -> str:
        values = {"sn": "Example", "givenName": name.title(), "mail": f"{name}@acme.example", **attributes}
        dn = f"cn={name},{PEOPLE}"
        assert self.connection.add(dn, "inetOrgPerson", values), self.connection.result
        return dn

    def add_group(self, name: str, *members: str) -> str:
        dn = f"cn={name},{GROUPS}"
        assert self.connection.add(dn, "groupOfNames", {"member": list(members) or [ADMINISTRATOR]})
        return dn

    def change(self, dn: str, **attributes: str | Sequence[str]) -> None:
        changes = {name: [(MODIFY_REPLACE, value)] for name, value in attributes.items()}
        assert self.connection.modify(dn, changes), self.connection.result

    def add_member(self, group: str, member: str) -> None:
        assert self.connection.modify(group, {"member": [(MODIFY_ADD, [member])]}), self.connection.result

    def remove_member(self, group: str, member: str) -> None:
        assert self.connection.modify(group, {"member": [(MODIFY_DELETE, [member])]}), self.connection.result

    def delete(self, dn: str) -> None:
        assert self.connection.delete(dn), self.connection.result

    def clear(self) -> None:
        for base in (GROUPS, PEOPLE):
            self.connection.search(base, "(!(objectClass=organizationalUnit))", attributes=[])
            for entry in list(self.connection.entries):
                self.connection.delete(entry.entry_dn)


@contextmanager
def run_slapd(folder: Path) -> Iterator[LdapServer]:
    """Run a directory with two empty branches until left."""
    (folder / "data").mkdir()
    write_certificate(folder)
    values = {"folder": folder, "suffix": SUFFIX, "administrator": ADMINISTRATOR, "password": PASSWORD}
    (folder / "slapd.conf").write_text(CONFIGURATION.format(**values))
    for _ in range(START_ATTEMPTS):
        port, tls_port = find_free_port(), find_free_port()
        addresses = f"ldap://{HOST}:{port}/ ldaps://{HOST}:{tls_port}/"
        command = [str(FOUND), "-f", str(folder / "slapd.conf"), "-h", addresses, "-d", "0"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            connection = connect(process, port)
            if connection is None:
                continue
            with closing_connection(connection):
                connection.add(SUFFIX, ["dcObject", "organization"], {"dc": "acme", "o": "Acme"})
                for branch in (PEOPLE, GROUPS):
                    connection.add(branch, "organizationalUnit")
                certificate = folder / "certificate.pem"
                yield LdapServer(port=port, tls_port=tls_port, certificate=certificate, connection=connection)
                return
        finally:
            process.terminate()
            process.wait(20)
    raise AssertionError("slapd did not start")


@contextmanager
def closing_connection(connection: Connection) -> Iterator[None]:
    try:
        yield
    finally:
        connection.unbind()


def connect(process: "subprocess.Popen[bytes]", port: int) -> Connection | None:
    """Connect once it answers; None: another took the port meanwhile, which does not know our password."""
    if not wait_for_port(process, port):
        return None
    connection = Connection(Server(HOST, port), ADMINISTRATOR, PASSWORD, check_names=False)
    if connection.bind():
        return connection
    connection.unbind()
    return None


def wait_for_port(process: "subprocess.Popen[bytes]", port: int) -> bool:
    """Return whether the process still runs when somebody answers."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        with socket.socket() as client:
            if client.connect_ex((HOST, port)) == 0:
                return process.poll() is None
        time.sleep(0.02)
    return False


def write_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(*pem))
