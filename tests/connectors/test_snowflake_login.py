"""Snowflake is logged in to by password, by key pair and by OAuth, and what proves nothing is refused."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_curve_key
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from demo.run import SECRETS
from demo.servers.run import RunningServers, address
from demo.servers.snowflake.account import (
    ACCOUNT,
    DATABASE,
    SCHEMA,
    USER,
    LoginRefused,
    SnowflakeAccount,
    SnowflakeUser,
    compute_fingerprint,
)
from onedoor.connectors.snowflake.connector import connect
from onedoor.connectors.snowflake.options import SnowflakeOptions
from onedoor.connectors.sql.connector import SqlConnector
from onedoor.errors import ConfigurationError, ConnectorError
from tests.servers.snowflake import open_session

PASSPHRASE = "a passphrase"
NOW = 1_800_000_000
SUBJECT = f"{ACCOUNT}.{USER}"
REFUSED = "snowflake refused the login"

Register = Callable[..., None]


@pytest.fixture(scope="module")
def keys() -> tuple[RSAPrivateKey, RSAPrivateKey]:
    return generate_private_key(65537, 2048), generate_private_key(65537, 2048)


@pytest.fixture
def register(acme_servers: RunningServers) -> Iterator[Register]:
    """Register public keys by slot, as a user's administrator does, and no others."""

    def registered(**by_slot: RSAPrivateKey) -> None:
        with open_session(address(acme_servers, "snowflake")) as session:
            for slot in ("RSA_PUBLIC_KEY", "RSA_PUBLIC_KEY_2"):
                key = by_slot.get(slot.lower())
                action = f"UNSET {slot}" if key is None else f"SET {slot} = '{format_public(key)}'"
                session.cursor().execute(f"ALTER USER {USER} {action}")

    yield registered
    registered()


def format_public(key: RSAPrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def format_private(key: Any, passphrase: str | None = None) -> str:
    encryption = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase.encode())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


async def log_in(running: RunningServers, **credentials: Any) -> SqlConnector:
    host, port = address(running, "snowflake")
    given = {"host": host, "port": port, "protocol": "http", "account": ACCOUNT, "user": USER}
    return await connect(SnowflakeOptions(**{**given, "database": DATABASE, "schema": SCHEMA, **credentials}))


async def refusal(running: RunningServers, **credentials: Any) -> str:
    with pytest.raises(ConnectorError) as caught:
        await log_in(running, **credentials)
    return caught.value.reason


async def test_a_password_and_an_oauth_token_are_checked(acme_servers: RunningServers) -> None:
    for name, secret in (("password", "SNOWFLAKE_PASSWORD"), ("token", "SNOWFLAKE_TOKEN")):
        source = await log_in(acme_servers, **{name: SECRETS[secret]})
        await source.ping()
        await source.close()
        assert await refusal(acme_servers, **{name: f"not {SECRETS[secret]}"}) == REFUSED


async def test_a_token_is_read_from_its_file_at_each_login(acme_servers: RunningServers, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(SECRETS["SNOWFLAKE_TOKEN"])
    await (await log_in(acme_servers, token_file=path)).close()
    path.write_text("revoked")
    assert await refusal(acme_servers, token_file=path) == REFUSED


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
async def test_a_key_logs_in_whose_public_half_is_registered(
    acme_servers: RunningServers, register: Register, keys: Any, passphrase: str | None
) -> None:
    register(rsa_public_key=keys[0])
    opener = {} if passphrase is None else {"private_key_passphrase": passphrase}
    source = await log_in(acme_servers, private_key=format_private(keys[0], passphrase), **opener)
    await source.ping()
    await source.close()


async def test_another_key_or_another_user_is_refused(
    acme_servers: RunningServers, register: Register, keys: Any
) -> None:
    register(rsa_public_key=keys[0])
    assert await refusal(acme_servers, private_key=format_private(keys[1])) == REFUSED
    assert await refusal(acme_servers, private_key=format_private(keys[0]), user="OTHER") == REFUSED


async def test_a_key_is_rotated_while_both_are_registered(
    acme_servers: RunningServers, register: Register, keys: Any
) -> None:
    old, new = keys
    register(rsa_public_key=old)
    source = await log_in(acme_servers, private_key=format_private(old))
    register(rsa_public_key=old, rsa_public_key_2=new)
    for key in keys:
        await (await log_in(acme_servers, private_key=format_private(key))).close()
    register(rsa_public_key_2=new)
    await source.ping()  # its session goes on
    assert await refusal(acme_servers, private_key=format_private(old)) == REFUSED
    await (await log_in(acme_servers, private_key=format_private(new))).close()
    await source.close()


@pytest.mark.parametrize(
    "credentials",
    [
        pytest.param({}, id="none"),
        pytest.param({"password": "p", "token": "t"}, id="two"),
        pytest.param({"private_key": "no key"}, id="no key"),
        pytest.param({"private_key": "encrypted"}, id="a key without its passphrase"),
        pytest.param({"private_key": "encrypted", "private_key_passphrase": "wrong"}, id="a wrong passphrase"),
        pytest.param({"private_key": "curve"}, id="a key of another kind"),
    ],
)
async def test_credentials_that_cannot_be_used_are_named_before_any_call(
    keys: Any, closed_port: int, credentials: dict[str, str]
) -> None:
    pem = {
        "encrypted": format_private(keys[0], PASSPHRASE),
        "curve": format_private(generate_curve_key(SECP256R1())),
    }
    given = {name: pem.get(value, value) for name, value in credentials.items()}
    place = {"host": "127.0.0.1", "port": closed_port, "protocol": "http", "account": ACCOUNT, "user": USER}
    with pytest.raises(ConfigurationError, match="Snowflake source"):
        await connect(SnowflakeOptions(**place, database=DATABASE, schema=SCHEMA, **given))


def sign(key: RSAPrivateKey, claims: dict[str, Any], algorithm: str = "RS256") -> str:
    parts = ({"alg": algorithm, "typ": "JWT"}, claims)
    head, body = (urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    signature = key.sign(f"{head}.{body}".encode(), PKCS1v15(), SHA256())
    return f"{head}.{body}.{urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def build_claims(key: RSAPrivateKey, **other: Any) -> dict[str, Any]:
    issuer = f"{SUBJECT}.{compute_fingerprint(key.public_key())}"
    return {"sub": SUBJECT, "iss": issuer, "iat": NOW - 10, "exp": NOW + 60, **other}


@pytest.mark.parametrize(
    ("other", "signed_by", "algorithm", "accepted"),
    [
        pytest.param({}, 0, "RS256", True, id="right"),
        pytest.param({}, 1, "RS256", False, id="signed by another key"),
        pytest.param({}, 0, "none", False, id="another algorithm"),
        pytest.param({"exp": NOW - 1}, 0, "RS256", False, id="expired"),
        pytest.param({"exp": NOW}, 0, "RS256", False, id="just expired"),
        pytest.param({"exp": NOW + 7200}, 0, "RS256", False, id="good for longer than an hour"),
        pytest.param({"iat": NOW + 3600, "exp": NOW + 3700}, 0, "RS256", False, id="of the future"),
        pytest.param({"exp": None}, 0, "RS256", False, id="without an end"),
        pytest.param({"sub": f"{ACCOUNT}.OTHER"}, 0, "RS256", False, id="of another user"),
        pytest.param({"iss": SUBJECT}, 0, "RS256", False, id="without the fingerprint"),
        pytest.param({"iss": f"{SUBJECT}.SHA256:AAAA"}, 0, "RS256", False, id="of another fingerprint"),
    ],
)
def test_the_demo_checks_each_claim_of_a_token(
    keys: Any, other: dict[str, Any], signed_by: int, algorithm: str, accepted: bool
) -> None:
    user = SnowflakeUser(name=USER, password="p", public_keys={"RSA_PUBLIC_KEY": keys[0].public_key()})
    account = SnowflakeAccount(name=ACCOUNT, users={USER: user}, clock=lambda: NOW)
    token = sign(keys[signed_by], build_claims(keys[0], **other), algorithm)
    login = {"ACCOUNT_NAME": ACCOUNT, "LOGIN_NAME": USER, "AUTHENTICATOR": "SNOWFLAKE_JWT", "TOKEN": token}
    assert is_accepted(account, login) == accepted


def is_accepted(account: SnowflakeAccount, login: dict[str, Any]) -> bool:
    try:
        account.check_login(login)
    except LoginRefused:
        return False
    return True
