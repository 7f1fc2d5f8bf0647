"""A real JupyterHub with its real proxy and the Farlab service, on free ports of loopback.

    with RunningHub(tmp_path, catalogue) as hub:
        with hub.login("ada") as ada:
            ada.spawn({"profile": "cloud--small"})
            ada.wait_until_ready()
            ada.get("api/contents").json()

The hub can be killed and restarted; `python` may be another environment's with another JupyterHub.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from farlab_real.processes import Process, free_ports
from farlab_real.running import Running
from farlab_real.user import ADMIN_TOKEN, HubUser

REPOSITORY = Path(__file__).resolve().parents[3]

CONFIG = """\
from pathlib import Path

import farlab_spawner

c = get_config()  # noqa: F821
farlab_spawner.configure(
    c,
    {catalogue!r},
    state_dir={state!r},
    service_port={service_port},
    relay_port={relay_port},
    **{settings!r},
)
c.JupyterHub.bind_url = "http://127.0.0.1:{port}{base_url}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub_port}"
c.JupyterHub.db_url = "sqlite:///{folder}/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = "{folder}/cookie_secret"
c.ConfigurableHTTPProxy.command = [{proxy!r}]
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.pid_file = "{folder}/proxy.pid"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {{"admin"}}
c.JupyterHub.allow_named_servers = True
c.JupyterHub.load_groups = {groups!r}
if {is_root}:
    c.FarlabSpawner.args = ["--allow-root"]


def give_a_home(spawner):
    # Users apart, and away from the tester's own settings; mapped accounts have their homes.
    if spawner.choice.site.accounts is None:
        home = Path({folder!r}, "homes", spawner.pod_name)
        home.mkdir(parents=True, exist_ok=True)
        spawner.environment = {{**spawner.environment, "HOME": str(home)}}


c.FarlabSpawner.pre_spawn_hook = give_a_home
c.JupyterHub.services.append(
    {{"name": "test", "api_token": {admin_token!r}, "admin": True, "display": False}}
)
{more}
"""


class RunningHub(Running):
    """A hub in `folder`; `catalogue` is the content of sites.yaml, or the path of one.

    `groups` maps hub groups to their members; `settings` are further ones of
    `farlab_spawner.configure`, and `more` is appended to jupyterhub_config.py.
    """

    def __init__(
        self,
        folder: Path,
        catalogue: Mapping[str, Any] | Path,
        *,
        groups: Mapping[str, Sequence[str]] | None = None,
        python: Path | str = sys.executable,
        settings: Mapping[str, Any] | None = None,
        more: str = "",
        base_url: str = "/",
        env: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.state = folder / "state"
        self.python = Path(python)
        ports = free_ports(5)
        self.port, self.hub_port, self.proxy_port, self.service_port, self.relay_port = ports
        self.url = f"http://127.0.0.1:{self.port}{base_url}"
        self.catalogue = folder / "sites.yaml"
        self.write_catalogue(catalogue)
        self.config = folder / "jupyterhub_config.py"
        self.config.write_text(self._config(groups or {}, settings or {}, more, base_url))
        # The payload of a local site is found through PATH, as on any machine.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        command = [str(self.python), "-m", "jupyterhub", "-f", str(self.config)]
        self.process = Process(
            command, folder / "hub.log", {**os.environ, "PATH": path, **(env or {})}
        )

    def write_catalogue(self, catalogue: Mapping[str, Any] | Path) -> None:
        """Put a catalogue in place; a running hub reads it again."""
        if isinstance(catalogue, Path):
            shutil.copyfile(catalogue, self.catalogue)
        else:
            self.catalogue.write_text(yaml.safe_dump(dict(catalogue), sort_keys=False))

    def _config(
        self,
        groups: Mapping[str, Sequence[str]],
        settings: Mapping[str, Any],
        more: str,
        base_url: str,
    ) -> str:
        return CONFIG.format(
            settings=dict(settings),
            catalogue=str(self.catalogue),
            state=str(self.state),
            folder=str(self.folder),
            port=self.port,
            hub_port=self.hub_port,
            proxy_port=self.proxy_port,
            service_port=self.service_port,
            relay_port=self.relay_port,
            base_url=base_url,
            proxy=find_proxy(),
            groups={name: {"users": list(users)} for name, users in groups.items()},
            admin_token=ADMIN_TOKEN,
            more=more,
            is_root=os.geteuid() == 0,
        )

    # -- its life ---------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start the hub and return when hub, proxy and the Farlab service answer."""
        self.process.start()
        self.process.wait_until(self._answers, "the hub")
        return self

    def kill(self) -> None:
        """Kill the hub's process alone, as a crash would; the proxy and the servers go on."""
        self.process.kill()

    def restart(self) -> None:
        """Start the hub again after `kill` or `stop`."""
        self.start()

    def stop(self) -> None:
        """Stop the hub, its proxy and the Farlab service, and wait until they are gone."""
        self.process.stop()

    def _answers(self) -> bool:
        try:
            return (
                httpx.get(f"{self.url}hub/health", timeout=5).status_code == 200
                and self.service("GET", "sites?user=admin").status_code == 200
            )
        except httpx.HTTPError:
            return False

    def read_log(self) -> str:
        """Return what hub, proxy and service have printed."""
        return self.process.read_log()

    # -- its users --------------------------------------------------------------------------------

    def login(self, name: str) -> HubUser:
        """Log a user in, as a browser does; the dummy authenticator takes any password."""
        return HubUser(self.url, name).login()

    def api(self, method: str, path: str, **json_body: Any) -> httpx.Response:
        """Call JupyterHub's API as an administrator; `path` such as `users/ada/server`."""
        return httpx.request(
            method,
            f"{self.url}hub/api/{path}",
            headers={"Authorization": f"token {ADMIN_TOKEN}"},
            content=json.dumps(json_body) if json_body else None,
            timeout=60,
        )

    def service(self, method: str, path: str) -> httpx.Response:
        """Call the Farlab service's API with the spawner's token; `path` such as `workloads`."""
        token = (self.state / "farlab-spawner.token").read_text()
        base = self.url.removeprefix(f"http://127.0.0.1:{self.port}")
        return httpx.request(
            method,
            f"http://127.0.0.1:{self.service_port}{base}services/farlab/api/{path}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        )

    def workloads(self) -> list[dict[str, Any]]:
        """Return the live workloads."""
        answer = self.service("GET", "workloads?state=live")
        answer.raise_for_status()
        live: list[dict[str, Any]] = answer.json()
        return live


def find_proxy() -> str:
    """Return configurable-http-proxy of the PATH or of the repository's node_modules."""
    places = [os.environ["PATH"], str(REPOSITORY / "node_modules/.bin")]
    found = shutil.which("configurable-http-proxy", path=os.pathsep.join(places))
    if not found:
        raise RuntimeError("configurable-http-proxy is missing: run `make test`, or `jlpm install`")
    return found
