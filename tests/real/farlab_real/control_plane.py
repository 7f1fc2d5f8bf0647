"""A real Kubernetes control plane on loopback, without containers and without nodes.

    with ControlPlane() as cluster:
        cluster.kubectl("apply", "-f", "-", stdin=manifest)

etcd, API server, controller manager and scheduler run below a supervising process, which is this
module's script:

    python -m farlab_real.control_plane --folder DIR

It prints one line of JSON when pods can be created, and stops everything on SIGTERM, on SIGINT, or
when the process that started it ends. Several can run side by side. `cluster()` gives the cluster
of the environment's KUBECONFIG instead, when that is set.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from farlab_real import go_builds
from farlab_real.control_plane_certs import write_kubeconfig
from farlab_real.control_plane_daemons import API, Daemons
from farlab_real.go_builds import BuildError
from farlab_real.processes import wait_until


class Cluster:
    """What tests do with a cluster, whoever runs it; `folder` holds files made for them."""

    kubectl_command: Sequence[str] = ("kubectl",)

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        self.kubeconfig = kubeconfig
        self.folder = folder

    def seen_by(self, kubeconfig: Path) -> Cluster:
        """Return the same cluster with the rights of another kubeconfig."""
        other = Cluster(kubeconfig, self.folder)
        other.kubectl_command = self.kubectl_command
        return other

    @property
    def url(self) -> str:
        """The address of the API server."""
        return str(self._connection()["server"])

    def kubectl(self, *argv: str, stdin: str = "", check: bool = True, timeout: float = 120) -> str:
        """Run kubectl as the administrator and return what it printed."""
        done = subprocess.run(
            self.kubectl_argv(*argv),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(f"kubectl {' '.join(argv)}: {done.stderr.strip()}")
        return done.stdout

    def kubectl_argv(self, *argv: str) -> list[str]:
        """Return kubectl's whole command line, for calls that go on."""
        # The shared cache knows clusters by address, and ours come and go at the same ones.
        common = ["--kubeconfig", str(self.kubeconfig), "--cache-dir", str(self.folder / "cache")]
        return [*self.kubectl_command, *common, *argv]

    def get(self, *argv: str) -> Any:
        """Return what `kubectl get` finds, as JSON."""
        return json.loads(self.kubectl("get", *argv, "-o", "json"))

    def create(self, *manifests: dict[str, Any]) -> None:
        """Create or change objects."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(listed))

    @contextmanager
    def namespace(self, name: str) -> Iterator[str]:
        """Make a namespace in which pods can be created; have it deleted at the end."""
        self.kubectl("create", "namespace", name)
        try:
            wait_until(lambda: self._has_account(name), f"a service account in {name}")
            yield name
        finally:
            self.kubectl("delete", "namespace", name, "--wait=false")

    def _has_account(self, namespace: str) -> bool:
        found = self.kubectl("get", "serviceaccount", "-n", namespace, "-o", "name")
        return "serviceaccount/default" in found.split()

    def token_for(self, account: str, namespace: str = "default", seconds: int = 3600) -> str:
        """Return a new token of a service account that is valid for at least 600 seconds."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }
        answer = self.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(request))
        return str(json.loads(answer)["status"]["token"])

    def kubeconfig_for(self, account: str, namespace: str = "default") -> Path:
        """Return a new kubeconfig with the rights of a service account and no more."""
        path = self.folder / f"{namespace}.{account}.kubeconfig"
        user = {"token": self.token_for(account, namespace)}
        write_kubeconfig(path, self._connection(), user)
        return path

    def _connection(self) -> dict[str, str]:
        """Return where the API server is and who signed its certificate."""
        view = json.loads(
            self.kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json")
        )
        return dict(view["clusters"][0]["cluster"])


class ExternalCluster(Cluster):
    """A cluster of the user's own; faults of its control plane can't be tried."""


class ControlPlane(Cluster):
    """A control plane of our own; without `folder` it lives in a new one, removed at the end."""

    def __init__(self, folder: Path | None = None) -> None:
        self._own_folder = folder is None
        folder = folder or Path(tempfile.mkdtemp(prefix="farlab-control-plane-"))
        super().__init__(folder / "kubeconfig", folder)
        self._supervisor: subprocess.Popen[str] | None = None

    @property
    def ca(self) -> Path:
        """The certificate of the authority that signs what the API server shows to kubelets."""
        return self.folder / "certificates/ca.crt"

    def start(self) -> Self:
        """Start it and return when pods can be created."""
        try:
            self.kubectl_command = (str(go_builds.control_plane()), "kubectl")
            self._supervisor = self._supervise()
            self._answer("kubeconfig")
        except BaseException:
            self.stop()
            raise
        return self

    def stop_api(self) -> None:
        """Kill the API server: every client finds its port closed, and watches break."""
        self._tell("stop")

    def start_api(self) -> None:
        """Start the API server again, at its address and with all its objects."""
        self._tell("start")

    def stop(self) -> None:
        """Stop everything; leave no process and (if it is ours) no folder."""
        if self._supervisor is not None:
            self._supervisor.terminate()
            self._supervisor.communicate()
            self._supervisor = None
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _supervise(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "farlab_real.control_plane", "--folder", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            start_new_session=True,
        )

    def _tell(self, order: str) -> None:
        assert self._supervisor is not None
        assert self._supervisor.stdin is not None
        self._supervisor.stdin.write(json.dumps({"order": order}) + "\n")
        self._supervisor.stdin.flush()
        self._answer("done")

    def _answer(self, key: str) -> Any:
        assert self._supervisor is not None
        assert self._supervisor.stdout is not None
        line = self._supervisor.stdout.readline()
        answer = json.loads(line) if line else {"error": "the control plane's supervisor ended"}
        if key not in answer:
            raise RuntimeError(answer["error"])
        return answer[key]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Give the cluster of the environment's KUBECONFIG, else a control plane of our own."""
    if given := os.environ.get("KUBECONFIG"):
        yield ExternalCluster(Path(given), folder)
    else:
        with ControlPlane() as own:
            yield own


def serve(daemons: Daemons, starter: int) -> None:
    """Carry out orders from stdin until told to stop or the starting process is gone."""
    orders: dict[str, Callable[[], None]] = {
        "stop": lambda: daemons.end(API),
        "start": lambda: daemons.start(API),
    }
    inputs = [sys.stdin.fileno()]
    while not daemons.stop.is_set() and os.getppid() == starter:
        ready, _, _ = select.select(inputs, [], [], 0.2)
        if not ready:
            continue
        line = sys.stdin.readline()
        if not line:  # a script's stdin may be closed or /dev/null: then there are no orders
            inputs = []
            continue
        order = json.loads(line)["order"]
        orders[order]()
        _print({"done": order})


def _print(answer: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """Run a control plane until told to stop; prints where its kubeconfig is once it is ready."""
    parser = argparse.ArgumentParser(
        prog="farlab_real.control_plane", description="a Kubernetes control plane for tests"
    )
    parser.add_argument("--folder", type=Path, required=True)
    folder = parser.parse_args(argv).folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    starter = os.getppid()
    daemons = Daemons(folder, stop)
    try:
        daemons.start_all()
        _print({"kubeconfig": str(daemons.kubeconfig), "url": daemons.url})
        serve(daemons, starter)
    except (AssertionError, BuildError, OSError, RuntimeError) as error:
        _print({"error": str(error)})
        return 1
    finally:
        daemons.stop_all()
    return 0


if __name__ == "__main__":
    sys.exit(main())
