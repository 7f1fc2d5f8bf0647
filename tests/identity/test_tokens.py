"""Forged and unfit tokens, providers that can't be read, and groups that nobody gave."""

from __future__ import annotations

import base64
import hmac
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from farlab_hub.errors import CannotCheckError, ConflictError, ForbiddenError, HubServiceError
from farlab_hub.identity.login import HubLogins, HubPeople, LoginFacts, LoginToken
from farlab_hub.identity.tokens import TokenKeeper
from farlab_real.authority import Authority
from farlab_real.processes import Process, free_ports
from farlab_real.token_issuer import TokenIssuer
from farlab_sites.catalogue import Catalogue
from farlab_sites.loader import load_catalogue
from farlab_sites.login import Login
from farlab_spawner.memberships import groups_of
from farlab_spawner.provider import IdTokens, Provider, ProviderError, discover

ROOT = Path(__file__).parents[2]
ISSUER, CLIENT = "https://login.example.org/realms/hub", "farlab-hub"
PROVIDER = Provider(ISSUER, "https://a", "https://t", "https://u", "https://keys")
SITE = {
    "name": "cloud",
    "title": "Cloud",
    "kind": "cloud",
    "carrier": {"direct": {"url": "http://127.0.0.1:1"}},
    "profiles": [
        {
            "name": "lab",
            "title": "Lab",
            "sizes": [{"title": "1", "cpu": 1, "memory": "1Gi"}],
            "images": [{"title": "x", "image": "/x"}],
        }
    ],
}

# -- ID tokens ---------------------------------------------------------------------------------


class Signer:
    """A key that signs as a provider does."""

    def __init__(self, name: str = "one") -> None:
        self.name, self.key = name, ec.generate_private_key(ec.SECP256R1())
        self.asked = 0

    async def keys(self, url: str) -> dict[str, Any]:
        assert url == "https://keys"
        self.asked += 1
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [{**public, "kid": self.name, "alg": "ES256"}]}

    def sign(self, algorithm: str = "ES256", **changes: Any) -> str:
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": CLIENT, "sub": "1", "iat": now, "exp": now + 300}
        claims = {name: value for name, value in (claims | changes).items() if value is not None}
        if algorithm == "HS256":
            return self._sign_with_public_key(claims)
        key = None if algorithm == "none" else self.key
        return jwt.encode(claims, key, algorithm, {"kid": self.name})

    def _sign_with_public_key(self, claims: dict[str, Any]) -> str:
        """Return a token whose secret is what everybody knows."""
        public = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        parts = [{"alg": "HS256", "kid": self.name}, claims]
        text = ".".join(encoded(json.dumps(part).encode()) for part in parts)
        return f"{text}.{encoded(hmac.digest(public, text.encode(), 'sha256'))}"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@pytest.fixture
def signer() -> Signer:
    return Signer()


def checker(signer: Signer) -> IdTokens:
    return IdTokens(PROVIDER, CLIENT, signer.keys)


async def test_the_providers_token_is_taken_and_its_keys_are_kept(signer: Signer) -> None:
    tokens = checker(signer)
    assert (await tokens.claims(signer.sign()))["sub"] == "1"
    assert (await tokens.claims(signer.sign(aud=[CLIENT, "other"], azp=CLIENT)))["sub"] == "1"
    assert signer.asked == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://login.example.org/realms/other"},
        {"iss": f"{ISSUER}/"},
        {"aud": "another-hub"},
        {"aud": None},
        {"azp": "another-hub"},
        {"exp": int(time.time()) - 3600},
        {"exp": None},
        {"sub": None},
        {"algorithm": "none"},
        {"algorithm": "HS256"},
    ],
    ids=str,
)
async def test_any_other_is_refused(signer: Signer, changes: dict[str, Any]) -> None:
    with pytest.raises(ProviderError):
        await checker(signer).claims(signer.sign(**changes))


async def test_another_key_under_the_same_name_is_refused(signer: Signer) -> None:
    with pytest.raises(ProviderError):
        await checker(signer).claims(Signer("one").sign())
    with pytest.raises(ProviderError):
        await checker(signer).claims(Signer("two").sign())
    for text in ("", "a.b.c", signer.sign() + "x", signer.sign().rpartition(".")[0] + "."):
        with pytest.raises(ProviderError):
            await checker(signer).claims(text)


# -- groups ------------------------------------------------------------------------------------

VO = "urn:mace:egi.eu:group:vo.example.org"


@pytest.mark.parametrize(
    ("entitlement", "groups"),
    [
        (f"{VO}:role=member#aai.egi.eu", ["vo.example.org"]),
        (f"{VO}#aai.egi.eu", ["vo.example.org"]),
        (f"{VO}:role=admin#aai.egi.eu", ["vo.example.org:role=admin"]),
        (f"{VO}:sub:role=member#aai.egi.eu", ["vo.example.org:sub"]),
        (f"{VO}:role=member#evil.example.org", []),
        (f"{VO}:role=member", []),
        ("urn:mace:egi.eu:res:vo.example.org#aai.egi.eu", []),
        ("vo.example.org", []),
        ("urn:mace:egi.eu:group:a%3Ab#aai.egi.eu", ["a%3Ab"]),
    ],
)
def test_an_entitlement_is_one_group_or_none(entitlement: str, groups: list[str]) -> None:
    login = Login(issuer=ISSUER, client_id=CLIENT, authorities=("aai.egi.eu",))
    assert groups_of(login, {"eduperson_entitlement": [entitlement]}) == groups


def test_plain_groups_count_only_where_the_catalogue_says_so() -> None:
    claims = {"groups": ["/staff", "users", 7, "", "bad\nname"]}
    assert groups_of(Login(issuer=ISSUER, client_id=CLIENT), claims) == []
    login = Login(issuer=ISSUER, client_id=CLIENT, groups_claim="groups")
    assert groups_of(login, claims) == ["staff", "users"]


# -- access tokens -----------------------------------------------------------------------------


class FakeLogins(HubLogins):
    """A hub whose login gives one token."""

    def __init__(self, token: str, ends: float | None = None) -> None:
        super().__init__("http://127.0.0.1:1/hub/api", "none")
        self.given, self.ends, self.asked = token, ends, 0

    async def token(self, user: str, life: float, refused: str = "") -> LoginToken:
        self.asked += 1
        return LoginToken(self.given, self.ends, ISSUER)


def catalogue(**login: Any) -> Catalogue:
    known = {"issuer": ISSUER, "client_id": CLIENT, **login}
    known["tokens"] = [{"name": "lake", "audience": "rucio", "scope": "openid rucio"}]
    return Catalogue.model_validate({"sites": [SITE], "login": known})


def keeper(logins: HubLogins | None, **login: Any) -> TokenKeeper:
    async def read() -> Catalogue:
        return catalogue(**login)

    return TokenKeeper(read, logins)


async def test_the_logins_own_token_is_given_where_it_fits(signer: Signer) -> None:
    ends = time.time() + 3600
    logins = FakeLogins(signer.sign(aud=["rucio", "hub"], scope="openid rucio"), ends)
    tokens = keeper(logins)
    given = await tokens.token("marie", "rucio", "openid rucio")
    assert (given.value, given.ends) == (logins.given, ends)
    assert given.value not in repr(given)
    assert await tokens.token("marie", "rucio", "openid rucio") is given
    await tokens.token("carl", "rucio", "openid rucio")
    assert logins.asked == 2  # never one user's for another


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"aud": "account"}, "is for account, not for rucio"),
        ({"aud": None}, "is for nobody, not for rucio"),
        ({"aud": "rucio", "scope": "openid email"}, "lacks the scope rucio"),
        ({"aud": "rucio", "iss": "https://evil.example.org"}, "evil.example.org"),
    ],
    ids=str,
)
async def test_a_token_for_somebody_else_is_not_handed_on(
    signer: Signer, changes: dict[str, Any], words: str
) -> None:
    tokens = keeper(FakeLogins(signer.sign(**changes), time.time() + 3600))
    with pytest.raises(HubServiceError) as refused:
        await tokens.token("marie", "rucio", "openid rucio")
    assert (refused.value.status, refused.value.code) == (502, "wrong-token")
    assert words in refused.value.message
    (wanted,) = await tokens.wanted()
    assert tokens.outcome("marie", wanted).state == "refused"
    assert tokens.outcome("carl", wanted).state == "none"


async def test_an_ended_login_takes_its_other_tokens_with_it(signer: Signer) -> None:
    class FakeEndingLogins(FakeLogins):
        async def token(self, user: str, life: float, refused: str = "") -> LoginToken:
            if self.asked:
                raise ConflictError("the login has ended", "Log in again.", code="login-ended")
            return await super().token(user, life, refused)

    async def read() -> Catalogue:
        pairs = [("lake", "rucio", "openid rucio"), ("door", "rucio", "openid")]
        wanted = [{"name": n, "audience": a, "scope": s} for n, a, s in pairs]
        login = {"issuer": ISSUER, "client_id": CLIENT, "tokens": wanted}
        return Catalogue.model_validate({"sites": [SITE], "login": login})

    ends = time.time() + 3600
    given = signer.sign(aud="rucio", scope="openid rucio")
    tokens = TokenKeeper(read, FakeEndingLogins(given, ends))
    await tokens.token("marie", "rucio", "openid rucio")
    for scope in ("openid", "openid rucio"):
        with pytest.raises(ConflictError):
            await tokens.token("marie", "rucio", scope)


async def test_without_a_login_there_is_no_token() -> None:
    with pytest.raises(ForbiddenError) as refused:
        await keeper(None).token("marie", "rucio", "openid rucio")
    assert refused.value.code == "no-login"


async def test_a_hub_that_is_away_is_no_ended_login() -> None:
    away = HubLogins(f"http://127.0.0.1:{free_ports(1)[0]}/hub/api", "none")
    with pytest.raises(CannotCheckError) as refused:
        await keeper(away).token("marie", "rucio", "openid rucio")
    assert "need not log in again" in refused.value.fix

    async def read() -> Catalogue:
        return catalogue()

    with pytest.raises(CannotCheckError):
        await HubPeople(read, away).person("marie", ())


@pytest.mark.parametrize("ended", ["", "the provider has ended it"])
async def test_an_ended_login_says_no_more_who_somebody_is(ended: str) -> None:
    class Ended(HubLogins):
        async def facts(self, user: str) -> LoginFacts | None:
            return LoginFacts(ISSUER, "1", "Marie", claims={"sub": "1"}, ended=ended)

    async def read() -> Catalogue:
        return catalogue()

    people = HubPeople(read, Ended("http://127.0.0.1:1/hub/api", "none"))
    if not ended:
        assert (await people.person("marie", ())).subject == "1"
        return
    with pytest.raises(CannotCheckError, match="login has ended") as refused:
        await people.person("marie", ())
    assert "/hub/oauth_login" in refused.value.fix


# -- reading a provider ------------------------------------------------------------------------


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[tuple[TokenIssuer, Authority]]:
    """A provider that tells too little to log in at."""
    authority = Authority(tmp_path / "authority")
    made = TokenIssuer(tmp_path / "issuer", free_ports(1)[0], authority)
    path = {**os.environ, "PYTHONPATH": str(ROOT / "tests/real")}
    process = Process(made.command, tmp_path / "issuer.log", path)
    process.start()
    try:
        yield made, authority
    finally:
        process.stop()


def test_a_provider_that_cannot_be_used_says_why(
    issuer: tuple[TokenIssuer, Authority], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, authority = issuer

    def told(**changes: Any) -> str:
        known = {"issuer": made.url, "client_id": CLIENT, "ca": str(authority.ca), **changes}
        with pytest.raises(ProviderError) as refused:
            discover(Login.model_validate(known))
        return str(refused.value)

    assert "authorization_endpoint" in told()  # also waits until it answers
    monkeypatch.setattr("farlab_spawner.provider.PATIENCE", 0.0)
    assert "login.ca" in told(ca=None)
    assert "exactly like this" in told(issuer=f"{made.url}/")
    assert "status 404" in told(issuer=f"{made.url}/elsewhere")
    assert "does not answer" in told(issuer=f"https://127.0.0.1:{free_ports(1)[0]}")


# -- the page ----------------------------------------------------------------------------------

PAGE = (ROOT / "docs/login.md").read_text()
EXAMPLES = [part.partition("```")[0] for part in PAGE.split("```yaml\n")[1:]]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_are_catalogues(example: str, tmp_path: Path) -> None:
    said = yaml.safe_load(example)
    if "issuer" not in said["login"]:
        said["login"] = {**yaml.safe_load(EXAMPLES[0])["login"], **said["login"]}
    file = tmp_path / "sites.yaml"
    file.write_text(yaml.safe_dump({"sites": [SITE], **said}))
    known = load_catalogue(file)
    assert known.login is not None
    assert known.login.client_secret_file is not None
    assert known.login.client_secret_file.parent == tmp_path
