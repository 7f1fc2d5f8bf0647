"""A site that is closed to the outside, made of network namespaces: hub -- edge -- node.

    with closed_site() as site:
        subprocess.run(site.node.command("python3", "-c", "..."))

Only the edge is connected to both others, and it forwards nothing: from the node no packet reaches
the hub. The host's own network stays as it is; addresses exist inside the namespaces only.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

HUB = "192.0.2.1"
EDGE_OUTSIDE = "192.0.2.2"
EDGE_INSIDE = "198.51.100.1"
NODE = "198.51.100.2"


class NamespacesUnavailableError(RuntimeError):
    """This machine can't make network namespaces; the message says why."""


@dataclass(frozen=True)
class Namespace:
    """A network namespace, in which commands can be run."""

    name: str

    def command(self, *argv: str) -> list[str]:
        """Return the arguments that run a command in it."""
        return ["ip", "netns", "exec", self.name, *argv]

    def reaches(self, address: str, port: int) -> bool:
        """Say whether a TCP connection can be made from it."""
        code = f"import socket; socket.create_connection(({address!r}, {port}), timeout=3)"
        argv = self.command("/usr/bin/python3", "-c", code)
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0


@dataclass(frozen=True)
class ClosedSite:
    """The three namespaces; the addresses are this module's constants."""

    hub: Namespace
    edge: Namespace
    node: Namespace


@contextmanager
def open_namespace() -> Iterator[Namespace]:
    """Make one namespace with nothing but its own loopback; it is emptied at the end."""
    _check()
    with _namespace(f"fl{secrets.token_hex(3)}") as namespace:
        yield namespace


@contextmanager
def closed_site() -> Iterator[ClosedSite]:
    """Make the namespaces; at the end everything that still runs in them is killed."""
    _check()
    mark = secrets.token_hex(3)
    with ExitStack() as stack:
        hub, edge, node = (
            stack.enter_context(_namespace(f"fl{mark}{part}")) for part in ("hub", "edge", "node")
        )
        _connect(hub, HUB, edge, EDGE_OUTSIDE)
        _connect(node, NODE, edge, EDGE_INSIDE)
        _run(*edge.command("sysctl", "-qw", "net.ipv4.ip_forward=0"))
        yield ClosedSite(hub, edge, node)


def _check() -> None:
    if shutil.which("ip") is None:
        raise NamespacesUnavailableError("`ip` is missing: apt-get install iproute2")
    if os.geteuid() != 0:
        raise NamespacesUnavailableError("network namespaces need root; run this as root")


@contextmanager
def _namespace(name: str) -> Iterator[Namespace]:
    _run("ip", "netns", "add", name)
    namespace = Namespace(name)
    try:
        _run(*namespace.command("ip", "link", "set", "lo", "up"))
        yield namespace
    finally:
        for pid in _run("ip", "netns", "pids", name).split():
            _kill(int(pid))
        _run("ip", "netns", "delete", name)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _connect(one: Namespace, address: str, other: Namespace, other_address: str) -> None:
    """Join two namespaces by a cable of their own."""
    device, far = f"to-{other.name[-4:]}", f"to-{one.name[-4:]}"
    _run(
        *("ip", "link", "add", device, "netns", one.name),
        *("type", "veth", "peer", "name", far, "netns", other.name),
    )
    for namespace, end, own in ((one, device, address), (other, far, other_address)):
        _run(*namespace.command("ip", "address", "add", f"{own}/24", "dev", end))
        _run(*namespace.command("ip", "link", "set", end, "up"))


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NamespacesUnavailableError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout
