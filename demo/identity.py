"""The demo's login and account linking: a real Keycloak and a real ALISE, on this machine alone."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from accounts import USERS
from farlab_real.alise import VENV, RunningAlise
from farlab_real.go_builds import BuildError
from farlab_real.keycloak import RunningKeycloak
from farlab_real.keycloak_realms import SECRET

REPOSITORY = Path(__file__).resolve().parent.parent
SITE = "hpc"
GROUPS = {"bob": ("urn:mace:example.org:group:physics#demo.example.org",)}
ADMIN = "carol"
DAY_S = 24 * 3600
NAMES = {"hub": "Farlab demo", "site": "HPC machine"}
"""What the two login pages call themselves."""


class DemoKeycloak(RunningKeycloak):
    """A Keycloak with the demo's users, at the hub and at the HPC machine."""

    def add_users(self) -> None:
        """Add the demo's users; each one's password is the name."""
        for name in USERS:
            self.hub.add_user(name, password=name, entitlements=GROUPS.get(name, ()))
            self.site.add_user(name, password=name)
        for realm in (self.hub, self.site):
            realm.set_lifetimes(access=300, idle=DAY_S, session=DAY_S)
            self.admin("PUT", f"/{realm.name}", {"displayName": NAMES[realm.name]})
            for name in USERS:
                realm.change_user(name, lastName="Example")


@dataclass(frozen=True)
class Identity:
    """Where users log in and link accounts, in the words of demo/sites.yaml."""

    issuer: str
    secret: Path
    alise: str
    alise_key: Path

    @property
    def words(self) -> dict[str, str]:
        """Return what fills in sites.yaml."""
        return {name: str(value) for name, value in vars(self).items()}


def start_identity(stack: ExitStack, folder: Path) -> Identity | None:
    """Start Keycloak and ALISE; None, after saying why, where that cannot be."""
    if not (VENV / "bin/uvicorn").exists():
        print("Login: left out, ALISE is not installed; run: make .venv-alise/.stamp")
        return None
    print("Login: starting Keycloak and ALISE ...", flush=True)
    try:
        if not (shutil.which("java") and shutil.which("mvn")):
            install = [str(REPOSITORY / "tests/real/install-packages"), "maven"]
            subprocess.run(install, check=True, stdout=subprocess.DEVNULL)
        # Who is who begins anew: Keycloak's users are others each time.
        shutil.rmtree(folder, ignore_errors=True)
        keycloak = stack.enter_context(DemoKeycloak(folder / "keycloak", plain=True))
        alise = stack.enter_context(RunningAlise(folder / "alise", keycloak, site=SITE))
        return Identity(
            keycloak.hub.issuer,
            _private(folder / "client.secret", SECRET),
            alise.url,
            _private(folder / "alise.key", alise.give_key()),
        )
    except (subprocess.CalledProcessError, BuildError, OSError, AssertionError) as error:
        print(f"Login: left out, it could not be installed or started: {error}")
        return None


def _private(file: Path, text: str) -> Path:
    file.touch(mode=0o600)
    file.write_text(text)
    return file
