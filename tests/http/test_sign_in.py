"""People sign in with a provider of OpenID Connect for a code for their key, and nothing but its word lets them in."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from httpx2 import Client, Response
from oidc_provider_mock import User, run_server_in_thread

from auth import users
from tests.http.scim.conftest import SETTINGS, DirectoryServer, run_company
from tests.servers import hostile_oidc
from tests.servers.hostile_oidc import HostileProvider, run_hostile_provider
from tests.servers.serving import HOST

CLAIM = "mutation { claimKey(input: {}) { key } }"
ME = "{ me { firstName groups } }"
ALONE = SETTINGS.partition("[directory.scim]")[0]


def describe_provider(issuer: str) -> str:
    return (
        f'\n[directory.oidc]\nissuer = "{issuer}"\nclient_id = "onedoor"\nclient_secret = {{ env = "OIDC_SECRET" }}\n'
    )


@pytest.fixture(scope="module")
def provider_started() -> Iterator[HostileProvider]:
    with run_hostile_provider() as provider:
        yield provider


@pytest.fixture
def provider(provider_started: HostileProvider) -> HostileProvider:
    provider_started.reset()
    return provider_started


@pytest.fixture(scope="module")
def server(provider_started: HostileProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DirectoryServer]:
    """A company without any other directory."""
    folder = tmp_path_factory.mktemp("signing") / "company"
    with run_company(folder, settings=ALONE + describe_provider(provider_started.issuer)) as running:
        yield running


class Browser:
    """A browser that follows nothing by itself."""

    def __init__(self, server: DirectoryServer) -> None:
        self.server = server
        self.cookies: dict[str, str] = {}

    def get(self, path: str, **parameters: str) -> Response:
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        with Client(base_url=f"http://{HOST}:{self.server.port}", timeout=60) as client:
            reply = client.get(path, params=parameters, headers={"cookie": cookies} if cookies else {})
        for header in reply.headers.get_list("set-cookie"):
            name, _, value = header.partition(";")[0].partition("=")
            self.cookies[name] = value
        return reply

    def begin(self) -> dict[str, str]:
        """Return the parameters that the provider is sent."""
        reply = self.get("/account/sign-in")
        assert reply.status_code == 303
        return {name: values[0] for name, values in parse_qs(urlsplit(reply.headers["location"]).query).items()}

    def sign_in(self, **changes: str) -> Response:
        """Come back at once; the hostile provider puts the code it is sent into the token as its nonce."""
        sent = self.begin()
        return self.get("/account/callback", **{"code": sent["nonce"], "state": sent["state"], **changes})


@pytest.fixture
def browser(server: DirectoryServer) -> Browser:
    return Browser(server)


def read_code(reply: Response) -> str:
    assert reply.status_code == 303, reply.text
    address, _, code = reply.headers["location"].partition("#code=")
    assert address == "https://onedoor.acme.example/account"
    return code


def ask(server: DirectoryServer, key: str, query: str) -> Mapping[str, Any]:
    reply = server.ask(key, query)
    assert "errors" not in reply, reply
    return reply["data"]


def test_signing_in_gives_a_code_for_a_key_and_groups_from_claims(
    server: DirectoryServer, provider: HostileProvider, browser: Browser
) -> None:
    provider.claims = {"groups": ["acme-finance", "unheard of"]}
    code = read_code(browser.sign_in())
    key = ask(server, code, CLAIM)["claimKey"]["key"]
    assert ask(server, key, ME) == {"me": {"firstName": "Ada", "groups": ["everyone", "finance"]}}
    provider.claims = {"groups": [], "email": "countess@acme.example"}
    again = ask(server, read_code(Browser(server).sign_in()), CLAIM)["claimKey"]["key"]
    assert ask(server, again, ME) == {"me": {"firstName": "Ada", "groups": ["everyone"]}}
    assert users.load_user(server.state, "ada@acme.example").email == "ada@acme.example"


def test_the_page_of_the_account_leads_to_the_sign_in(browser: Browser) -> None:
    assert 'data-sign-in="/account/sign-in"' in browser.get("/account").text


def test_an_attempt_is_told_apart_by_state_nonce_and_verifier(
    server: DirectoryServer, provider: HostileProvider, browser: Browser
) -> None:
    reply = browser.get("/account/sign-in")
    (cookie,) = reply.headers.get_list("set-cookie")
    for part in ("Max-Age=300", "Path=/account", "HttpOnly", "SameSite=Lax", "Secure"):
        assert part in cookie
    first, second = browser.begin(), browser.begin()
    for name in ("state", "nonce", "code_challenge"):
        assert first[name] != second[name]
    assert (second["code_challenge_method"], second["scope"]) == ("S256", "openid email profile")
    browser.get("/account/callback", code=second["nonce"], state=second["state"])
    assert create_s256_code_challenge(provider.forms[-1]["code_verifier"]) == second["code_challenge"]


def count_more_than(claims: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**claims, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"iss": "https://other.example"}, id="another issuer"),
        pytest.param({"iss": None}, id="no issuer"),
        pytest.param({"aud": "another client"}, id="another audience"),
        pytest.param({"aud": ["onedoor", "another"], "azp": "another"}, id="for another party"),
        pytest.param({"aud": None}, id="no audience"),
        pytest.param({"nonce": "another"}, id="another nonce"),
        pytest.param({"nonce": None}, id="no nonce"),
        pytest.param({"exp": 1_000_000_000}, id="expired"),
        pytest.param({"exp": None}, id="never expires"),
        pytest.param({"iat": 4_000_000_000}, id="from the future"),
        pytest.param({"sub": None}, id="nobody"),
        pytest.param({"sub": 7}, id="a number for a subject"),
        pytest.param({"at_hash": "AAAA"}, id="another access token"),
    ],
)
def test_a_token_that_says_anything_else_lets_nobody_in(
    provider: HostileProvider, browser: Browser, changes: dict[str, Any]
) -> None:
    provider.change = lambda claims: count_more_than(claims, **changes)
    reply = browser.sign_in()
    assert (reply.status_code, "location" in reply.headers) == (403, False)
    assert browser.cookies["onedoor-sign-in"] == ""


@pytest.mark.parametrize(
    "sign",
    [
        hostile_oidc.sign_with_nothing,
        hostile_oidc.sign_with_the_public_key,
        hostile_oidc.sign_with_unknown_key,
        hostile_oidc.sign_with_other_key_under_known_id,
        lambda provider, claims: "no token",
        lambda provider, claims: hostile_oidc.sign_rs256(provider, claims)[:-8] + "AAAAAAAA",
    ],
    ids=["alg none", "HS256 with the public key", "unknown key", "other key", "no token", "forged"],
)
def test_a_token_that_the_provider_did_not_sign_lets_nobody_in(
    provider: HostileProvider, browser: Browser, sign: Any
) -> None:
    provider.sign = sign
    assert browser.sign_in().status_code == 403


@pytest.mark.parametrize(
    "changes", [{"state": "another"}, {"code": ""}, {"error": "access_denied"}, {"iss": "https://other.example"}]
)
def test_a_callback_that_did_not_begin_here_lets_nobody_in(
    provider: HostileProvider, browser: Browser, changes: dict[str, str]
) -> None:
    assert browser.sign_in(**changes).status_code == 403
    assert provider.forms == []


@pytest.mark.parametrize("path", ["/account/callback?" + "a&" * 40, "/account/callback?a=\u00e9", "/account/callback"])
def test_an_address_that_says_nothing_is_refused(browser: Browser, path: str) -> None:
    assert browser.get(path).status_code in (400, 403)


def test_the_attempt_of_another_browser_lets_nobody_in(
    server: DirectoryServer, provider: HostileProvider, browser: Browser
) -> None:
    sent = browser.begin()
    thief = Browser(server)
    assert thief.get("/account/callback", code=sent["nonce"], state=sent["state"]).status_code == 403
    thief.begin()
    assert thief.get("/account/callback", code=sent["nonce"], state=sent["state"]).status_code == 403


def test_an_attempt_gives_one_code(server: DirectoryServer, provider: HostileProvider, browser: Browser) -> None:
    sent = browser.begin()
    cookie = browser.cookies["onedoor-sign-in"]
    callback = {"code": sent["nonce"], "state": sent["state"]}
    code = read_code(browser.get("/account/callback", **callback))
    browser.cookies["onedoor-sign-in"] = cookie
    assert browser.get("/account/callback", **callback).status_code == 403
    assert ask(server, code, "{ me { firstName } }") == {"me": {"firstName": "Ada"}}


@pytest.mark.parametrize("verified", [False, None, "false", 1])
def test_an_address_that_nobody_verified_joins_nobody(
    server: DirectoryServer, provider: HostileProvider, browser: Browser, verified: Any
) -> None:
    provider.claims = {"sub": f"thief-{verified}", "email_verified": verified}
    assert browser.sign_in().status_code == 403


@pytest.mark.parametrize("letter", ["\u212a", "\uff4b"])
def test_an_address_that_looks_like_another_joins_nobody(
    server: DirectoryServer, provider: HostileProvider, browser: Browser, letter: str
) -> None:
    if not any(user.email == "kate@acme.example" for user in users.list_users(server.state)):
        users.create_user(server.state, first_name="Kate", last_name="Example", email="kate@acme.example")
    provider.claims = {"sub": f"kate-{letter}", "email": f"{letter}ate@acme.example", "email_verified": True}
    reply = browser.sign_in()
    assert (reply.status_code, "only looks like one" in reply.text) == (403, True)


def test_an_address_that_is_given_anew_is_not_the_person_before(
    server: DirectoryServer, provider: HostileProvider, browser: Browser
) -> None:
    read_code(browser.sign_in())
    provider.claims = {"sub": "ada-2"}
    reply = Browser(server).sign_in()
    assert (reply.status_code, "belongs to somebody else" in reply.text) == (403, True)


@pytest.mark.parametrize(
    "claims",
    [{"hasgroups": True}, {"_claim_names": {"groups": "src1"}, "groups": ["acme-support"]}, {"groups": "acme-support"}],
    ids=["Entra's mark", "elsewhere", "no list"],
)
def test_too_many_groups_for_a_token_change_nothing(
    server: DirectoryServer, provider: HostileProvider, claims: dict[str, Any]
) -> None:
    provider.claims = {"groups": ["acme-finance"]}
    read_code(Browser(server).sign_in())
    provider.claims = claims
    read_code(Browser(server).sign_in())
    groups = {item.group: str(item.source) for item in users.load_user(server.state, "ada@acme.example").memberships}
    assert groups == {"everyone": "local", "finance": "oidc"}


def test_whoever_is_deactivated_stays_out(server: DirectoryServer, provider: HostileProvider) -> None:
    provider.claims = {"sub": "bob-1", "email": "bob@acme.example"}
    read_code(Browser(server).sign_in())
    users.deactivate_user(server.state, "bob@acme.example")
    assert Browser(server).sign_in().status_code == 403


def test_signing_in_is_on_record_without_what_it_was_sent(
    server: DirectoryServer, provider: HostileProvider, browser: Browser
) -> None:
    code = read_code(browser.sign_in())
    records = [record for record in server.records() if record["surface"] == "sign_in"]
    assert (records[-1]["operation"], records[-1]["status"]) == ("finish sign in", 303)
    assert [change["verb"] for change in records[-1]["changes"] if change["type"] == "User"] == ["sign-in"]
    shown = str(records)
    assert not any(
        secret in shown for secret in (code, provider.forms[-1]["code"], browser.cookies["onedoor-sign-in"] or "-" * 9)
    )


def test_with_a_directory_claims_create_nobody_and_confirm_alone(provider: HostileProvider, tmp_path: Path) -> None:
    with run_company(tmp_path / "company", settings=SETTINGS + describe_provider(provider.issuer)) as server:
        assert Browser(server).sign_in().status_code == 403
        server.create_group("acme-finance", server.create_person("ada")["id"])
        with server.state.write_transaction() as connection:
            connection.exec_driver_sql("UPDATE membership SET confirmed_at = 0")
        provider.claims = {"groups": ["acme-finance", "acme-support"]}
        read_code(Browser(server).sign_in())
        held = {
            (item.group, str(item.source), item.confirmed_at.year > 1970)
            for item in server.find_person("ada").memberships
        }
        assert held == {("everyone", "local", False), ("finance", "scim", True)}


@pytest.mark.filterwarnings("ignore")
def test_a_real_provider_signs_somebody_in(tmp_path: Path) -> None:
    claims = {"email": "grace@acme.example", "email_verified": True, "given_name": "Grace", "groups": ["acme-support"]}
    with (
        run_server_in_thread(user_claims=[User(sub="grace", claims=claims)]) as mock,
        run_company(
            tmp_path / "company", settings=ALONE + describe_provider(f"http://localhost:{mock.server_port}")
        ) as server,
    ):
        browser = Browser(server)
        address = browser.get("/account/sign-in").headers["location"]
        with Client(timeout=60) as at_provider:
            answer = at_provider.post(address, data={"sub": "grace"})
        back = parse_qs(urlsplit(answer.headers["location"]).query)
        code = read_code(browser.get("/account/callback", code=back["code"][0], state=back["state"][0]))
        key = ask(server, code, CLAIM)["claimKey"]["key"]
        assert ask(server, key, "{ me { firstName } }") == {"me": {"firstName": "Grace"}}
