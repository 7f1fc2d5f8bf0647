"""Set the hub's login as the catalogue's `login:` says."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from farlab_sites.login import Login

from .provider import Provider, ProviderError, discover

KEY_VARIABLE = "JUPYTERHUB_CRYPT_KEY"
KEY_FILE = "auth-state.key"


def configure_login(c: Any, login: Login, state: Path) -> None:
    """Set authenticator and encryption on JupyterHub's configuration object `c`.

    Raises `ProviderError` when the provider can't be read, ValueError without secret or key.
    """
    from .authenticator import FarlabLogin  # noqa: PLC0415 - hubs without it need no oauthenticator

    provider = discover(login)
    secret = _secret(login)
    c.JupyterHub.authenticator_class = FarlabLogin
    c.FarlabLogin.login_of_catalogue = login
    c.FarlabLogin.provider = provider
    # On the base classes, so that a later line for any of the classes changes it.
    c.Authenticator.enable_auth_state = True
    c.Authenticator.manage_groups = True
    _set_client(c.OAuthenticator, login, provider, secret)
    _set_key(c, state)


def _set_client(section: Any, login: Login, provider: Provider, secret: str) -> None:
    section.login_service = login.title
    section.client_id = login.client_id
    section.client_secret = secret
    section.authorize_url = provider.authorize_url
    section.token_url = provider.token_url
    section.userdata_url = provider.userinfo_url
    section.basic_auth = provider.basic_auth
    section.enable_pkce = True
    section.scope = provider.scopes_for(login)
    section.username_claim = login.username_claim
    if login.ca:
        section.http_request_kwargs = {"ca_certs": str(login.ca)}
    if login.members:
        section.allowed_groups = {*login.members}
    else:
        section.allow_all = True


def _secret(login: Login) -> str:
    if login.client_secret_file is None:
        return ""
    try:
        secret = login.client_secret_file.read_text().strip()
    except OSError as error:
        msg = f"the login's client_secret_file can't be read: {error}"
        raise ProviderError(msg) from error
    if not secret:
        msg = f"{login.client_secret_file} is empty: put the secret of {login.client_id} into it"
        raise ProviderError(msg)
    return secret


def _set_key(c: Any, state: Path) -> None:
    """Let JupyterHub encrypt what it keeps of logins, with a key of its own unless given one."""
    if os.environ.get(KEY_VARIABLE) or c.CryptKeeper.get("keys"):
        return
    file = state / KEY_FILE
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        file.chmod(0o600)
    except OSError as error:
        msg = f"{file} can't be made ({error.strerror}): set {KEY_VARIABLE} to 64 hex digits"
        raise ProviderError(msg) from error
    else:
        with os.fdopen(handle, "w") as out:
            out.write(secrets.token_hex(32))
    c.CryptKeeper.keys = [file.read_text().strip()]
