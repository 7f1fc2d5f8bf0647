"""Start the demo: hub, hub service, sites. Ctrl-C stops all of it.

The HPC site is a real Slurm, where this user may run one (root, on Debian); without it the demo
has its cloud and its quantum site. The DataLake is a real Rucio, where PostgreSQL and memcached
are installed, or this user may install them.
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
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
sys.path.insert(0, str(REPOSITORY / "tests/real"))

import lake  # noqa: E402
from farlab_real.processes import Process, free_ports, kill_all_below  # noqa: E402
from farlab_real.slurm import SlurmCluster, SlurmUnavailableError  # noqa: E402

SLURM_PACKAGES = ("munge", "slurm-client", "slurm-wlm-basic-plugins", "slurmctld", "slurmd")


class DemoError(Exception):
    """The demo cannot start; the message says what to do."""


def start_slurm(stack: ExitStack) -> SlurmCluster | None:
    """Start the HPC site's Slurm; None, after saying why, where that cannot be."""
    if os.geteuid() != 0:
        print("HPC site: left out, a Slurm of its own needs root")
        return None
    try:
        subprocess.run(
            [str(REPOSITORY / "tests/real/install-packages"), *SLURM_PACKAGES],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        print("HPC site: starting Slurm ...", flush=True)
        return stack.enter_context(SlurmCluster(nodes=4, gpus=8))
    except (subprocess.CalledProcessError, OSError, SlurmUnavailableError) as error:
        print(f"HPC site: left out, Slurm could not be installed or started: {error}")
        return None


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


def start_plugin(stack: ExitStack, folder: Path, name: str, driver: str) -> None:
    """Start one site's plugin on a socket of its own."""
    config = folder / f"{name}.yaml"
    config.write_text(
        f"listen: unix://{folder}/sockets/{name}.sock\n"
        f"folder: {folder}/{name}\n"
        f"python: {sys.executable}\n"
        f"driver: {driver}\n"
    )
    command = [str(Path(sys.executable).with_name("farlab")), "plugin", "--config", str(config)]
    socket_file = folder / f"sockets/{name}.sock"
    start_process(stack, command, folder / f"{name}.log", socket_file.exists)


def write_catalogue(folder: Path, addresses: Mapping[str, str], *, with_hpc: bool) -> None:
    """Fill in sites.yaml, without the HPC site and the lakes that there are not."""
    told = {"prefix": sys.prefix, "sockets": str(folder / "sockets"), **addresses}
    filled = string.Template((HERE / "sites.yaml").read_text()).safe_substitute(told)
    catalogue = yaml.safe_load(filled)
    sites = [site for site in catalogue["sites"] if with_hpc or site["name"] != "hpc"]
    for site in sites:
        if not addresses:
            del site["datalake"]
    lakes = [one for one in catalogue["lakes"] if "$" not in str(one)]
    text = yaml.safe_dump({"sites": sites, "lakes": lakes}, sort_keys=False)
    (folder / "sites.yaml").write_text(text)


def answers(url: str) -> bool:
    """Tell whether something answers at the address."""
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def start_hub(stack: ExitStack, folder: Path, port: int, addresses: Mapping[str, str]) -> Process:
    """Start JupyterHub and wait until its login page answers."""
    command = [sys.executable, "-m", "jupyterhub", "-f", str(HERE / "jupyterhub_config.py")]
    environ = {
        **os.environ,
        "FARLAB_DEMO_FOLDER": str(folder),
        "FARLAB_DEMO_LAKES": json.dumps(addresses),
        # The first is for browsers; the others are between the demo's own programs.
        "FARLAB_DEMO_PORTS": " ".join(map(str, (port, *free_ports(4)))),
        "PATH": os.pathsep.join([str(REPOSITORY / "node_modules/.bin"), os.environ["PATH"]]),
    }
    url = f"http://127.0.0.1:{port}/hub/login"
    return start_process(stack, command, folder / "hub.log", lambda: answers(url), environ)


def check_port(port: int) -> None:
    """Raise DemoError when something else has the hub's port: most often another demo."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            raise DemoError(
                f"Port {port} is in use, perhaps by another demo. Stop that, or take another port:"
                f" .venv/bin/python demo/start.py --port {port + 1} --folder .demo-{port + 1}"
            ) from None


def run(folder: Path, port: int) -> None:
    """Start everything, say where it is, and wait for Ctrl-C."""
    check_port(port)
    shutil.rmtree(folder / "sockets", ignore_errors=True)
    (folder / "sockets").mkdir(parents=True, mode=0o700)
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        # Jobs of a real site outlive its plugin; those of the demo do not outlive the demo.
        stack.callback(kill_all_below, folder)
        # Side by side, each with the part of the stack that ends it.
        begun = pool.submit(lake.start_lake, stack.enter_context(ExitStack()), folder / "lake")
        slurm = start_slurm(stack)
        addresses = found.addresses if (found := begun.result()) else {}
        write_catalogue(folder, addresses, with_hpc=slurm is not None)
        start_plugin(stack, folder, "cloud", "{local: {}}")
        start_plugin(stack, folder, "quantum", "{local: {}}")
        if slurm:
            start_plugin(stack, folder, "hpc", f"{{slurm: {{conf: {slurm.conf}}}}}")
        hub = start_hub(stack, folder, port, addresses)
        print(
            f"\nFarlab is at  http://127.0.0.1:{port}\n\n"
            "Log in with any name and no password. It listens on this machine only.\n"
            f"Logs and users' files are in {folder}. Ctrl-C stops everything.",
            flush=True,
        )
        hub.wait()
        raise DemoError(f"The hub ended; the end of its log:\n{hub.read_log()[-2000:]}")


def main() -> int:
    """Run the demo until it is stopped."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--folder", type=Path, default=REPOSITORY / ".demo")
    args = parser.parse_args()
    # Also where a shell started the demo in the background, with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        run(args.folder.resolve(), args.port)
    except DemoError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
