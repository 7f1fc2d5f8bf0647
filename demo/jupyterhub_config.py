"""The demo's hub: everything on loopback; where there is no login, any name and no password."""

import asyncio
import json
import os
import re
import shutil
import sys
from pathlib import Path
from urllib.parse import quote

import farlab_spawner
import yaml

c = get_config()  # noqa: F821  # JupyterHub puts it there

here = Path(__file__).parent
sys.path[:0] = [str(here), str(here.parent / "tests/real")]
import accounts  # noqa: E402
import lake  # noqa: E402
from farlab_real.tutorial_lake import add_user  # noqa: E402

state = Path(os.environ["FARLAB_DEMO_FOLDER"])
catalogue = yaml.safe_load((state / "sites.yaml").read_text())
login = catalogue.get("login")
lakes = json.loads(os.environ["FARLAB_DEMO_LAKES"])
port, hub_port, proxy_port, service_port, relay_port = map(
    int, os.environ["FARLAB_DEMO_PORTS"].split()
)

farlab_spawner.configure(
    c,
    state / "sites.yaml",
    state_dir=state,
    service_port=service_port,
    relay_port=relay_port,
)

c.JupyterHub.bind_url = f"http://127.0.0.1:{port}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{hub_port}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{proxy_port}"
c.JupyterHub.allow_named_servers = True
# A demo leaves nothing behind; a real hub keeps servers running through its own restart.
c.JupyterHub.cleanup_servers = True

if login:
    admin = os.environ["FARLAB_DEMO_ADMIN"]
    words = "Names: alice, bob, carol. Each is its own password."
    c.Authenticator.admin_users = {admin}
    role = {"name": "farlab-admin", "scopes": ["custom:farlab:admin"], "users": [admin]}
    c.JupyterHub.load_roles = [*c.JupyterHub.load_roles, role]
    # Out of both, so that the next one may be somebody else.
    back = quote(f"http://127.0.0.1:{port}/hub/login", safe="")
    c.OAuthenticator.logout_redirect_url = (
        f"{login['issuer']}/protocol/openid-connect/logout"
        f"?client_id={login['client_id']}&post_logout_redirect_uri={back}"
    )
else:
    words = "Log in with any name, no password."
    c.JupyterHub.authenticator_class = "dummy"
    c.Authenticator.allow_all = True
c.JupyterHub.template_vars = {"announcement_login": f"This is a demo on your own machine. {words}"}


def name_of(spawner):
    """Each user's name in letters, digits and dashes."""
    return spawner._expand_user_properties("{username}")


def home(spawner):
    """Each user's own folder, whichever site the server runs at."""
    return str(state / "homes" / name_of(spawner))


def prepare(spawner):
    """Give a new user the demo's notebooks, and each user an account in the DataLake."""
    return asyncio.to_thread(fill_home, Path(home(spawner)), name_of(spawner))


def fill_home(folder, name):
    """Make what is missing in a user's folder, which is then the user's."""
    account = lake.account_of(name)
    if not folder.exists():
        shutil.copytree(here / "home", folder)
        for topic, file in NOTEBOOKS.items():
            text = tutorial(topic).replace("user.alice", f"user.{account}")
            (folder / file).write_text(text)
    if lakes:
        add_user(lakes, account, folder)
    if login:
        accounts.hand_over(folder, name)


NOTEBOOKS = {"offload": "Offload.ipynb", "datalake": "DataLake.ipynb"}


def tutorial(name):
    """Return a notebook of the docs, for one of the demo's sites instead of their `vega`."""
    names = [site["name"] for site in catalogue["sites"]]
    text = (here.parent / f"docs/examples/{name}.ipynb").read_text()
    # The pages that it links to are not in the user's folder.
    text = re.sub(r"\[([^\[\]\n]*)\]\(\.\./[^)\n]*\)", r"\1", text)
    return re.sub(r"\b[Vv]ega\b", "hpc" if "hpc" in names else "cloud", text)


c.FarlabSpawner.environment = {"HOME": home}
c.FarlabSpawner.working_dir = ""
# The sites' jobs run as whoever started the demo; JupyterLab wants to be told that root is meant.
c.FarlabSpawner.args = ["--allow-root"] if os.geteuid() == 0 else []
c.FarlabSpawner.pre_spawn_hook = prepare
