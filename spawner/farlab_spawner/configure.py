"""Turn Farlab on: one call in `jupyterhub_config.py`."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from farlab_sites.carriers.cluster import own_namespace
from farlab_sites.loader import load_catalogue
from kubernetes_asyncio.config import kube_config

from .login import configure_login
from .pages import PAGES
from .spawner import FarlabSpawner

SERVICE = "farlab"
CALLER = "farlab-spawner"
SPAWN_SCOPE = "custom:farlab:spawn"
ADMIN_SCOPE = "custom:farlab:admin"
METRICS_SCOPE = "custom:farlab:metrics"
ACCESS_SCOPE = f"access:services!service={SERVICE}"

CLUSTER = ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "HOME")
"""Variables that lead to the Kubernetes API."""

INERT_KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "none",
    "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:9"}}],
    "users": [{"name": "none", "user": {}}],
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
}
"""KubeSpawner does not start without one; with direct sites alone nothing ever calls it."""


def configure(
    c: Any,
    catalogue: str | os.PathLike[str] = "sites.yaml",
    *,
    state_dir: str | os.PathLike[str] = ".",
    service_port: int = 8092,
    relay_port: int = 8091,
    relay_url: str = "",
    db_url: str = "",
    start_timeout: int = 3600,
    service_url: str = "",
    namespace: str = "",
) -> None:
    """Set everything that a hub with Farlab needs on JupyterHub's configuration object `c`.

    `catalogue` is the file with the sites; `state_dir` a private folder for the service's database
    and the tokens; the ports are on loopback; `relay_url` is what jobs dial where they are on other
    machines; `db_url` another database than SQLite in `state_dir` (its password is in the file
    that PGPASSFILE names); `start_timeout` is how long, in seconds, a server may wait in a queue;
    `namespace` is where the pods of sites in Kubernetes are, by default the hub's own.
    `service_url` is where the service runs by itself, as in Kubernetes: JupyterHub does not start
    it then, `state_dir` holds nothing but the two tokens, and `relay_url` has to be given.
    Everything can be changed afterwards on `c`. Raises `CatalogueError` when the catalogue has
    mistakes, ValueError when a token or `relay_url` is missing, `ProviderError` when the provider
    at which the catalogue lets users log in cannot be read.
    """
    if service_url and not relay_url:
        msg = "relay_url is missing: beside service_url, say what jobs dial (wss://HUB/relay)"
        raise ValueError(msg)
    file, state = Path(catalogue).absolute(), Path(state_dir).absolute()
    known = load_catalogue(file)
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    _set_spawner(c)
    c.FarlabSpawner.catalogue_file = str(file)
    c.FarlabSpawner.service_url = service_url or f"http://127.0.0.1:{service_port}"
    c.FarlabSpawner.service_token_file = str(_token_file(state, CALLER))
    c.FarlabSpawner.relay_url = relay_url or f"ws://127.0.0.1:{relay_port}"
    c.FarlabSpawner.start_timeout = start_timeout
    c.FarlabSpawner.namespace = namespace = namespace or own_namespace()
    if known.login:
        configure_login(c, known.login, state)
        c.FarlabLogin.named = [group for site in known.sites for group in site.groups or ()]
        _let_service_know_logins(c)
    if service_url:
        tokens = {name: _given_token(state, name) for name in (SERVICE, CALLER)}
        _add_service(c, {"url": service_url}, tokens)
        return
    options = {"relay-port": str(relay_port), "relay-url": relay_url, "db-url": db_url}
    options["namespace"] = namespace
    tokens = {name: _token(state, name) for name in (SERVICE, CALLER)}
    _add_service(c, _managed(file, state, service_port, options), tokens)
    if all(site.carrier.direct for site in known.sites):
        _without_kubernetes(state)


def _set_spawner(c: Any) -> None:
    """Choose the spawner and what JupyterHub must know about its servers."""
    c.JupyterHub.spawner_class = FarlabSpawner
    c.JupyterHub.cleanup_servers = False  # servers go on while the hub is restarted
    # After a restart they can be reached once the Farlab service runs, which is started last.
    c.JupyterHub.init_spawners_timeout = 1
    c.JupyterHub.template_paths = [*_set_before(c.JupyterHub, "template_paths", []), *PAGES]
    c.FarlabSpawner.http_timeout = 60
    c.FarlabSpawner.poll_interval = 5  # one request to the service, however many servers
    # What happens to a pod is told by the Farlab service.
    c.FarlabSpawner.events_enabled = False
    # A batch system's refusal is not a sign of a broken hub: JupyterHub 5 would exit after some.
    c.FarlabSpawner.consecutive_failure_limit = 0


def _managed(catalogue: Path, state: Path, port: int, options: Mapping[str, str]) -> dict[str, Any]:
    """Return what JupyterHub needs to run the service itself."""
    command = [str(Path(sys.executable).with_name("farlab")), "hub", f"--catalogue={catalogue}"]
    command += [f"--state-dir={state}"]
    command += [f"--{name}={value}" for name, value in options.items() if value]
    # It looks for the cluster where the hub does.
    environment = {name: os.environ[name] for name in CLUSTER if name in os.environ}
    return {
        "url": f"http://127.0.0.1:{port}",
        "command": command,
        "environment": environment,
    }


def _add_service(c: Any, service: Mapping[str, Any], tokens: Mapping[str, str]) -> None:
    """Make the service known to JupyterHub, and give spawner and users the right to use it."""
    c.JupyterHub.services = [
        *_set_before(c.JupyterHub, "services", []),
        {"name": SERVICE, **service, "api_token": tokens[SERVICE], "display": False},
        {"name": CALLER, "api_token": tokens[CALLER], "display": False},
    ]
    c.JupyterHub.custom_scopes = {
        **_set_before(c.JupyterHub, "custom_scopes", {}),
        SPAWN_SCOPE: {"description": "Start and stop workloads of any user at any site."},
        ADMIN_SCOPE: {"description": "See and cancel workloads of all users, and their usage."},
        METRICS_SCOPE: {"description": "Read figures about all workloads together."},
    }
    roles = [*_set_before(c.JupyterHub, "load_roles", [])]
    # Users, and the servers that they start, may use the service for themselves.
    roles = _extended(roles, "user", ["self"])
    roles = _extended(roles, "server", ["users:activity!user", "access:servers!server"])
    roles.append({"name": CALLER, "scopes": [SPAWN_SCOPE], "services": [CALLER]})
    c.JupyterHub.load_roles = roles


def _let_service_know_logins(c: Any) -> None:
    """Let the service ask the hub who a user is to the provider, and for fresh tokens."""
    role = {"name": f"{SERVICE}-logins", "scopes": ["admin:auth_state"], "services": [SERVICE]}
    c.JupyterHub.load_roles = [*_set_before(c.JupyterHub, "load_roles", []), role]


def _extended(roles: list[dict[str, Any]], name: str, otherwise: list[str]) -> list[dict[str, Any]]:
    """Return the roles, one of JupyterHub's own among them with access to the service.

    JupyterHub takes a role only once, and `otherwise` is what it has without any configuration.
    """
    known = next((role for role in roles if role.get("name") == name), {"name": name})
    extended = {**known, "scopes": [*known.get("scopes", otherwise), ACCESS_SCOPE]}
    return [*(role for role in roles if role is not known), extended]


def _set_before(section: Any, name: str, otherwise: Any) -> Any:
    """Return what the configuration file has set so far."""
    return section.get(name, otherwise)


def _token(state: Path, name: str) -> str:
    """Return a service's API token, made at the first start and kept."""
    file = _token_file(state, name)
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        file.chmod(0o600)
        return file.read_text().strip()
    with os.fdopen(handle, "w") as out:
        out.write(secrets.token_hex(32))
    return file.read_text()


def _given_token(state: Path, name: str) -> str:
    """Return a token that the operator has made for hub and service; raise ValueError if none."""
    file = _token_file(state, name)
    try:
        token = file.read_text().strip()
    except OSError as error:
        token, words = "", error.strerror
    else:
        words = "it is empty"
    if not token:
        msg = f"{file}: {words}; the service that runs by itself needs it too: docs/deploy.md"
        raise ValueError(msg)
    return token


def _token_file(state: Path, name: str) -> Path:
    return state / f"{name}.token"


def _without_kubernetes(state: Path) -> None:
    """Give KubeSpawner's client a configuration that leads nowhere."""
    file = state / "no-kubernetes.yaml"
    file.write_text(yaml.safe_dump(INERT_KUBECONFIG))
    # The client has read KUBECONFIG when it was imported; this is where it keeps the answer.
    kube_config.KUBE_CONFIG_DEFAULT_LOCATION = str(file)
