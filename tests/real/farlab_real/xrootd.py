"""Two XRootD doors with TLS, SciTokens and HTTP third-party copy, closed in a network namespace.

    with XrootdDoors() as doors:
        doors.one.url, doors.other.url, doors.authority.ca, doors.issuer.token()

XRootD binds every address of its machine, and trusts the token issuer by the system's own bundle:
both only inside the namespace, where the bundle has the tests' authority too. Outside, the same
URLs lead there through `netns_bridge`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from farlab_real.authority import Authority
from farlab_real.netns import Namespace, open_namespace
from farlab_real.processes import Process, free_ports
from farlab_real.token_issuer import AUDIENCE, TokenIssuer

USER = "xrootd"
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
# XRootD 5.5.3 may fall over where a client is slow (in libssl, when a read has timed out): it has
# much time therefore, and is started again if it does.
FOR_EVER = 'trap "exit 0" TERM; while :; do "$@" & wait $!; done'
WITH_BUNDLE = f'mount --bind "$0" {BUNDLE} && exec "$@"'

CONFIGURATION = """\
all.export /store
all.adminpath {folder}/admin
all.pidpath {folder}/admin
oss.localroot {folder}/data
xrd.port {port}
xrd.network nodnr norpipa
xrd.timeout hail 300 idle 3600 read 300
xrd.tls {folder}/door.pem {folder}/door.key
xrd.tlsca certfile {folder}/ca.pem
xrootd.chksum adler32
ofs.authorize 1
ofs.authlib libXrdAccSciTokens.so config={folder}/scitokens.cfg
if exec xrootd
xrd.protocol http:{port} libXrdHttp.so
http.cadir {folder}/no-certificates
http.cafile {bundle}
http.cert {folder}/door.pem
http.key {folder}/door.key
http.header2cgi Authorization authz
http.exthandler xrdtpc libXrdHttpTPC.so
fi
"""
SCITOKENS = """\
[Global]
audience = {audience}

[Issuer farlab]
issuer = {issuer}
base_path = /store
default_user = {user}
"""


@dataclass(frozen=True)
class Door:
    """One door; `url` is its exported folder, `data` where the bytes lie."""

    name: str
    port: int
    data: Path
    process: Process

    @property
    def url(self) -> str:
        """The folder that everything is below, with TLS."""
        return f"https://localhost:{self.port}/store"

    def file(self, path: str) -> Path:
        """Return where the bytes of a path below `url` lie."""
        return self.data / "store" / path


class XrootdDoors:
    """The doors `one` and `other`, their authority and their token issuer."""

    def __init__(self) -> None:
        if shutil.which("xrootd") is None:
            raise RuntimeError("XRootD is missing: run `make test`, or install xrootd-server")
        self.folder = Path(tempfile.mkdtemp(prefix="farlab-xrootd-"))
        self.folder.chmod(0o755)
        self.authority = Authority(self.folder / "authority")
        ports = free_ports(3)
        self.issuer = TokenIssuer(self.folder / "issuer", ports[0], self.authority)
        self._ports = ports
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            namespace = stack.enter_context(open_namespace())
            self._serve_tokens(namespace, stack)
            self.one = self._door(namespace, "one", self._ports[1], stack)
            self.other = self._door(namespace, "other", self._ports[2], stack)
            self._bridge(namespace, stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _serve_tokens(self, namespace: Namespace, stack: ExitStack) -> None:
        command = namespace.command(*self.issuer.command)
        server = Process(command, self.folder / "issuer.log", _environment())
        _run(server, stack)
        server.wait_until(
            lambda: namespace.reaches("127.0.0.1", self._ports[0]), "the token issuer"
        )

    def _door(self, namespace: Namespace, name: str, port: int, stack: ExitStack) -> Door:
        folder = self.folder / name
        for part in ("data/store", "admin", "no-certificates", "home"):
            (folder / part).mkdir(parents=True)
        certificate, key = self.authority.issue(name)
        for file, copy in ((certificate, "door.pem"), (key, "door.key")):
            shutil.copy(file, folder / copy)
        shutil.copy(self.authority.ca, folder / "ca.pem")
        bundle = self.authority.bundle
        (folder / "xrootd.cfg").write_text(
            CONFIGURATION.format(folder=folder, port=port, bundle=bundle)
        )
        words = SCITOKENS.format(audience=AUDIENCE, issuer=self.issuer.url, user=USER)
        (folder / "scitokens.cfg").write_text(words)
        subprocess.run(["chown", "-R", f"{USER}:", str(folder)], check=True)
        process = Process(self._command(namespace, name), folder / "start.log", _environment())
        _run(process, stack)
        process.wait_until(lambda: namespace.reaches("127.0.0.1", port), f"XRootD's door {name}")
        return Door(name, port, folder / "data", process)

    def _command(self, namespace: Namespace, name: str) -> list[str]:
        folder = self.folder / name
        as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
        # libscitokens keeps keys of issuers below the home folder: no older test's, please.
        home = ["env", f"HOME={folder}/home", f"XDG_CACHE_HOME={folder}/home"]
        server = ["xrootd", "-c", f"{folder}/xrootd.cfg", "-n", name, "-l", f"{folder}/xrootd.log"]
        shell = ["sh", "-c", WITH_BUNDLE, str(self.authority.bundle)]
        again = ["sh", "-c", FOR_EVER, "doors"]
        return namespace.command(*shell, *as_user, *home, *again, *server)

    def _bridge(self, namespace: Namespace, stack: ExitStack) -> None:
        ports = [str(port) for port in self._ports]
        argv = [sys.executable, "-m", "farlab_real.netns_bridge", namespace.name, *ports]
        bridge = Process(argv, self.folder / "bridge.log", _environment())
        _run(bridge, stack)
        bridge.wait_until(lambda: "ready" in bridge.read_log(), "the bridge into the namespace")


def _run(process: Process, stack: ExitStack) -> None:
    process.start()
    stack.callback(process.stop)


def _environment() -> dict[str, str]:
    """Return an environment in which Python finds this package."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
