"""Start the demo: login, hub, hub service, sites, DataLake. Ctrl-C stops all of it.

The HPC site is a real Slurm, and users log in at a real Keycloak and have local accounts that they
link with ALISE, where this user may do so (root, on Debian); without it the demo has its cloud and
its quantum site, and a login with any name. The DataLake is a real Rucio, where PostgreSQL and
memcached are installed, or this user may install them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import string
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPException
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
sys.path.insert(0, str(REPOSITORY / "tests/real"))

import accounts  # noqa: E402
import lake  # noqa: E402
from farlab_real.processes import Process, free_ports, kill_all_below  # noqa: E402
from farlab_real.slurm import SlurmCluster, SlurmUnavailableError  # noqa: E402
from identity import ADMIN, Identity, start_identity  # noqa: E402

SLURM_PACKAGES = ("munge", "slurm-client", "slurm-wlm-basic-plugins", "slurmctld", "slurmd")


class DemoError(Exception):
    """The demo cannot start; the message says what to do."""


def install_packages() -> None:
    """Install what is missing, as root; what could not be is told by the part that needs it.

    Before there are copies of the files of accounts: some packages bring an account of their own.
    """
    if os.geteuid() == 0:
        install = [str(REPOSITORY / "tests/real/install-packages")]
        for packages in (SLURM_PACKAGES, lake.PACKAGES):
            subprocess.run([*install, *packages], stdout=subprocess.DEVNULL, check=False)


def start_slurm(stack: ExitStack) -> SlurmCluster | None:
    """Start the HPC site's Slurm; None, after saying why, where that cannot be."""
    if os.geteuid() != 0:
        print("HPC site: left out, a Slurm of its own needs root")
        return None
    try:
        print("HPC site: starting Slurm ...", flush=True)
        return stack.enter_context(SlurmCluster(nodes=4, gpus=8))
    except (OSError, RuntimeError, SlurmUnavailableError) as error:
        print(f"HPC site: left out, Slurm could not be installed or started: {error}")
        return None


def begin_identity(stack: ExitStack, folder: Path, *, alone: bool) -> Identity | None:
    """Start the login, for users with local accounts; `alone`: in a namespace of the demo's own."""
    if not alone:
        print("Login: any name will do; local accounts for users need root and mount namespaces")
        return None
    if reason := accounts.add_accounts(folder / "accounts", folder / "homes"):
        print(f"Login: any name will do; {reason}")
        return None
    return start_identity(stack, folder / "identity")


def start_process(
    stack: ExitStack,
    command: list[str],
    log: Path,
    ready: Callable[[], bool],
    env: dict[str, str] | None = None,
) -> Process:
    """Start a program that ends with the demo, and wait until it is ready."""
    process = Process(command, log, env)
    process.start()
    stack.callback(process.stop)
    try:
        process.wait_until(ready, log.stem)
    except AssertionError as error:
        raise DemoError(f"{error}\nThe whole log is {log}") from None
    return process


def start_plugin(
    stack: ExitStack, folder: Path, name: str, driver: str, allowed: Sequence[str]
) -> None:
    """Start one site's plugin on a socket of its own; it runs jobs as the allowed accounts."""
    config = folder / f"{name}.yaml"
    config.write_text(
        f"listen: unix://{folder}/sockets/{name}.sock\n"
        f"folder: {folder}/{name}\n"
        f"python: {sys.executable}\n"
        f"driver: {driver}\n"
        f"accounts: {{allow: {json.dumps(allowed)}}}\n"
    )
    (folder / name).mkdir(exist_ok=True)
    (folder / name).chmod(0o711)  # the accounts pass through to their jobs
    command = [str(Path(sys.executable).with_name("farlab")), "plugin", "--config", str(config)]
    socket_file = folder / f"sockets/{name}.sock"
    start_process(stack, command, folder / f"{name}.log", socket_file.exists)


def write_catalogue(
    folder: Path, addresses: Mapping[str, str], identity: Identity | None, *, with_hpc: bool
) -> None:
    """Fill in sites.yaml, without what there is not: the HPC site, lakes, the login."""
    told = {"prefix": sys.prefix, "sockets": str(folder / "sockets"), **addresses}
    if identity:
        told |= identity.words
    filled = string.Template((HERE / "sites.yaml").read_text()).safe_substitute(told)
    catalogue = yaml.safe_load(filled)
    sites = [site for site in catalogue["sites"] if with_hpc or site["name"] != "hpc"]
    for site in sites:
        if not addresses:
            del site["datalake"]
        if not identity:
            del site["accounts"]
    if not identity:
        del catalogue["login"]
    lakes = [one for one in catalogue["lakes"] if "$" not in str(one)]
    text = yaml.safe_dump({**catalogue, "sites": sites, "lakes": lakes}, sort_keys=False)
    (folder / "sites.yaml").write_text(text)


def answers(url: str) -> bool:
    """Tell whether something answers at the address."""
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except (OSError, HTTPException):
        return False


def start_hub(stack: ExitStack, folder: Path, port: int, addresses: Mapping[str, str]) -> Process:
    """Start JupyterHub and wait until its login page answers."""
    command = [sys.executable, "-m", "jupyterhub", "-f", str(HERE / "jupyterhub_config.py")]
    environ = {
        **os.environ,
        "FARLAB_DEMO_FOLDER": str(folder),
        "FARLAB_DEMO_LAKES": json.dumps(addresses),
        "FARLAB_DEMO_ADMIN": ADMIN,
        # The first is for browsers; the others are between the demo's own programs.
        "FARLAB_DEMO_PORTS": " ".join(map(str, (port, *free_ports(4)))),
        "PATH": os.pathsep.join([str(REPOSITORY / "node_modules/.bin"), os.environ["PATH"]]),
    }
    url = f"http://127.0.0.1:{port}/hub/login"
    return start_process(stack, command, folder / "hub.log", lambda: answers(url), environ)


def hold_port(port: int) -> socket.socket:
    """Hold the hub's port until the hub takes it: what starts before takes any port that is free.

    Raises DemoError when something else has it: most often another demo.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind(("127.0.0.1", port))
        holder.listen()
    except OSError:
        holder.close()
        raise DemoError(
            f"Port {port} is in use, perhaps by another demo. Stop that, or take another port:"
            f" .venv/bin/python demo/start.py --port {port + 1} --folder .demo-{port + 1}"
        ) from None
    return holder


def prepare(folder: Path) -> None:
    """Make the folder; of an earlier demo it keeps users' files and what they used."""
    shutil.rmtree(folder / "sockets", ignore_errors=True)
    (folder / "sockets").mkdir(parents=True, mode=0o700)
    for file in folder.glob("jupyterhub*"):
        file.unlink()  # who was logged in there is not any more


def run(folder: Path, port: int, *, alone: bool) -> None:
    """Start everything, say where it is, and wait for Ctrl-C."""
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        holder = stack.enter_context(hold_port(port))
        prepare(folder)
        install_packages()
        if alone:
            accounts.let_through(Path(sys.prefix), folder / "homes")
        # Jobs of a real site outlive its plugin; those of the demo do not outlive the demo.
        stack.callback(kill_all_below, folder)
        # Side by side, each with the part of the stack that ends it.
        parts = stack.enter_context(ExitStack()), stack.enter_context(ExitStack())
        login = pool.submit(begin_identity, parts[0], folder, alone=alone)
        data = pool.submit(lake.start_lake, parts[1], folder / "lake")
        slurm = start_slurm(stack)
        identity, found = login.result(), data.result()
        addresses = found.addresses if found else {}
        write_catalogue(folder, addresses, identity, with_hpc=slurm is not None)
        allowed = accounts.USERS if identity else ()
        drivers = {"cloud": "{local: {}}", "quantum": "{local: {}}"}
        if slurm:
            drivers["hpc"] = f"{{slurm: {{conf: {slurm.conf}}}}}"
        for name, driver in drivers.items():
            start_plugin(stack, folder, name, driver, allowed)
        holder.close()
        hub = start_hub(stack, folder, port, addresses)
        print(f"\nFarlab is at  http://127.0.0.1:{port}\n\n{how_to_log_in(identity)}")
        print(
            "It listens on this machine only.\n"
            f"Logs and users' files are in {folder}. Ctrl-C stops everything.",
            flush=True,
        )
        hub.wait()
        raise DemoError(f"The hub ended; the end of its log:\n{hub.read_log()[-2000:]}")


def how_to_log_in(identity: Identity | None) -> str:
    """Return what the newcomer reads about names and passwords."""
    if not identity:
        return "Log in with any name and no password."
    return (
        "Log in with one of these names, which is its own password, at the hub and at the HPC\n"
        f"machine: alice; bob, who is in the group physics; {ADMIN}, who is an administrator.\n"
        f"Accounts at the HPC machine are linked at  {identity.alise}/hpc"
    )


def main() -> int:
    """Run the demo until it is stopped."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--folder", type=Path, default=REPOSITORY / ".demo")
    args = parser.parse_args()
    alone = accounts.enter_namespace()
    # Also where a shell started the demo in the background, with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        run(args.folder.resolve(), args.port, alone=alone)
    except DemoError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
