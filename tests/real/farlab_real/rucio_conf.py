"""The configuration files of a Rucio server of the tests' own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
VENV = ROOT / ".venv-rucio"
PACKAGE = VENV / "lib"

ENDPOINTS = (
    "accounts, archives, auth, config, credentials, dids, export, heartbeats, identities, import, "
    "locks, meta_conventions, ping, redirect, replicas, requests, rses, rules, scopes"
)
"""All but those that need a message broker."""

ROOT_PASSWORD = "the-root-password-of-the-tests"

BEHIND_TLS = '''
"""What Apache does for a Rucio behind it: tells it whose certificate the client has."""
from rucio.web.rest.main import application as rucio


def application(environ, start_response):
    certificate = environ["gunicorn.socket"].getpeercert()
    if certificate:
        names = [f"/{key}={value}" for part in certificate["subject"] for key, value in part]
        environ["SSL_CLIENT_S_DN"] = "".join(names).replace("commonName", "CN")
    return rucio(environ, start_response)
'''


@dataclass(frozen=True)
class Settings:
    """What differs between two servers."""

    folder: Path
    database: str
    port: int
    cache_port: int
    any_name: bool
    """Whether DIDs may have any name, as some experiments' own policies allow."""
    issuer: str = ""
    """The OpenID Connect provider whose tokens for the audience `rucio` it takes; may be empty."""
    secret: str = ""
    """Of its client `rucio` there."""


def write(settings: Settings) -> Path:
    """Write the files into the folder; return the one that RUCIO_CONFIG names."""
    folder = settings.folder
    for name in ("log", "trace"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "alembic.ini").write_text(_alembic(settings))
    (folder / "rucio.cfg").write_text(_rucio(settings) + _oidc(settings))
    (folder / "policy").mkdir(exist_ok=True)
    (folder / "policy" / "rucio_behind_tls.py").write_text(BEHIND_TLS)
    if settings.any_name:
        package = folder / "policy" / "farlab_test_policy"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text("")
        allowed = {
            "description": "any name",
            "type": "string",
            "maxLength": 250,
            "pattern": "(?s)^.+$",
        }
        (package / "schema.py").write_text(f"NAME = {allowed!r}\n")
    return folder / "rucio.cfg"


def _rucio(settings: Settings) -> str:
    address = f"http://127.0.0.1:{settings.port}"
    policy = "package = farlab_test_policy\n" if settings.any_name else ""
    return f"""
[common]
logdir = {settings.folder}/log
loglevel = WARNING
mailtemplatedir = {VENV}/rucio/etc/mail_templates

[client]
rucio_host = {address}
auth_host = {address}
auth_type = userpass
username = root
password = {ROOT_PASSWORD}
account = root
request_retries = 3

[database]
default = {settings.database}
schema = rucio
pool_size = 10
max_overflow = 30

[bootstrap]
userpass_identity = root
userpass_pwd = {ROOT_PASSWORD}
userpass_email = root@example.org

[cache]
url = 127.0.0.1:{settings.cache_port}

[policy]
{policy}permission = generic
schema = generic
lfn2pfn_algorithm_default = hash
support = https://github.com/rucio/rucio/issues/

[alembic]
cfg = {settings.folder}/alembic.ini

[trace]
tracedir = {settings.folder}/trace

[nongrid_trace]
tracedir = {settings.folder}/trace

[conveyor]
scheme = file,https,davs
transfertool = fts3

[api]
endpoints = {ENDPOINTS}
"""


def _oidc(settings: Settings) -> str:
    """Return what it takes for tokens of a provider; they bring their user with them."""
    if not settings.issuer:
        return ""
    client = {
        "client_id": "rucio",
        "client_secret": settings.secret,
        "redirect_uris": ["https://no"],
    }
    known = {"issuer": settings.issuer, **client, "SCIM": client}
    file = settings.folder / "idpsecrets.json"
    file.write_text(json.dumps({"login": known}))
    return f"""
[oidc]
idpsecrets = {file}
admin_issuer = login
expected_audience = rucio
expected_scope = openid
"""


def _alembic(settings: Settings) -> str:
    repository = next(PACKAGE.glob("python*/site-packages/rucio/db/sqla/migrate_repo"), None)
    if repository is None:
        raise RuntimeError("Rucio is missing: run `make test`, which installs it in .venv-rucio")
    return f"""
[alembic]
sqlalchemy.url = {settings.database}
script_location = {repository}

[loggers]
keys = root

[handlers]
keys = console

[formatters]
keys = plain

[logger_root]
level = WARN
handlers = console

[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = plain

[formatter_plain]
format = %(message)s
"""
