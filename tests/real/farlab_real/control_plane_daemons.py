"""The four programs of a test control plane, all children of one supervising process."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import httpx

from farlab_real import go_builds
from farlab_real.control_plane_certs import SERVICE_IPS, Certificates
from farlab_real.processes import Process, free_ports, wait_until

ATTEMPTS = 3
API = "kube-apiserver"
ISSUER = "https://kubernetes.default.svc"


class Daemons:
    """etcd, API server, controller manager and scheduler, with their files in `folder`."""

    def __init__(self, folder: Path, stop: threading.Event) -> None:
        self.folder = folder
        self.stop = stop
        self.certificates = Certificates(folder / "certificates")
        self.kubeconfig = folder / "kubeconfig"
        self.url = ""
        self.port = 0
        self.running: dict[str, Process] = {}

    def start_all(self) -> None:
        """Start everything and return when pods can be created."""
        self.certificates.make()
        for left in reversed(range(ATTEMPTS)):
            try:
                return self._start_once()
            except AssertionError:  # someone may have taken a port just now
                if not left or self.stop.is_set():
                    raise
                self.stop_all()

    def _start_once(self) -> None:
        client, peer, self.port = free_ports(3)
        self.url = f"https://127.0.0.1:{self.port}"
        self.certificates.write_kubeconfig(self.kubeconfig, self.url, "admin")
        program = str(go_builds.control_plane())
        self.running = {
            name: Process(
                # Should even the supervisor be killed, the system ends these.
                ["setpriv", "--pdeathsig", "TERM", "--", program, name, *flags],
                self.folder / f"{name}.log",
            )
            for name, flags in self._flags(client, peer).items()
        }
        self.running["etcd"].start()
        self.start(API)
        self.running["kube-controller-manager"].start()
        self.running["kube-scheduler"].start()
        # Made by the controller manager; no pod is taken in a namespace without it.
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self._wait_for("kube-controller-manager", account)

    def start(self, name: str) -> None:
        """Start the API server again; returns when it is ready."""
        self.running[name].start()
        self._wait_for(name, "/readyz")

    def end(self, name: str) -> None:
        """Kill the API server (told to stop, it waits a minute for its watchers); free its port."""
        self.running[name].kill()
        wait_until(self._port_free, f"the port of {name} free")

    def stop_all(self) -> None:
        """Kill everything: the folder with the state goes away too."""
        for process in reversed(self.running.values()):
            process.kill()
        self.running.clear()

    def _wait_for(self, name: str, path: str) -> None:
        context = ssl.create_default_context(cafile=str(self.certificates.ca))
        context.load_cert_chain(*self.certificates.pair("admin"))

        def ready() -> bool:
            if self.stop.is_set():
                raise RuntimeError("told to stop while starting")
            try:
                return client.get(self.url + path).status_code == 200
            except httpx.HTTPError:
                return False

        with httpx.Client(verify=context, timeout=5, trust_env=False) as client:
            self.running[name].wait_until(ready, name)

    def _port_free(self) -> bool:
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind(("127.0.0.1", self.port))
            except OSError:
                return False
        return True

    def _flags(self, client: int, peer: int) -> dict[str, list[str]]:
        etcd = f"http://127.0.0.1:{client}"
        return {
            "etcd": self._etcd_flags(etcd, f"http://127.0.0.1:{peer}"),
            API: self._api_flags(etcd),
            "kube-controller-manager": [
                *self._client_flags("controller-manager"),
                "--use-service-account-credentials=true",
                f"--service-account-private-key-file={self.certificates.accounts_key}",
                f"--root-ca-file={self.certificates.ca}",
            ],
            "kube-scheduler": self._client_flags("scheduler"),
        }

    def _etcd_flags(self, client_url: str, peer_url: str) -> list[str]:
        return [
            "--name=test",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client_url}",
            f"--advertise-client-urls={client_url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster=test={peer_url}",
            "--unsafe-no-fsync",  # its state need not outlive a crash of the machine
            "--log-level=warn",
        ]

    def _api_flags(self, etcd_url: str) -> list[str]:
        serving, serving_key = self.certificates.pair("apiserver")
        kubelet, kubelet_key = self.certificates.pair("kubelet-client")
        return [
            f"--etcd-servers={etcd_url}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--tls-cert-file={serving}",
            f"--tls-private-key-file={serving_key}",
            f"--client-ca-file={self.certificates.ca}",
            f"--kubelet-client-certificate={kubelet}",
            f"--kubelet-client-key={kubelet_key}",
            "--kubelet-preferred-address-types=InternalIP,Hostname",
            "--authorization-mode=Node,RBAC",
            "--anonymous-auth=false",
            "--allow-privileged=true",
            f"--service-account-key-file={self.certificates.accounts_public_key}",
            f"--service-account-signing-key-file={self.certificates.accounts_key}",
            f"--service-account-issuer={ISSUER}",
            f"--service-cluster-ip-range={SERVICE_IPS}",
            "--endpoint-reconciler-type=none",  # it refuses to publish a loopback address
        ]

    def _client_flags(self, name: str) -> list[str]:
        kubeconfig = self.folder / f"{name}.kubeconfig"
        self.certificates.write_kubeconfig(kubeconfig, self.url, name)
        return [
            f"--kubeconfig={kubeconfig}",
            "--leader-elect=false",
            "--secure-port=0",
            # As large clusters set it: the defaults bind 50 pods a second at most.
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
        ]
