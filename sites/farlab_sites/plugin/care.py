"""How a container is looked after: probes and hooks, as the pod runner's file describes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from farlab_sites.plugin.errors import Refusal
from farlab_sites.plugin.podspec import Action, Container, HttpGet, Pod, Probe, TcpSocket

POD_ADDRESS = "127.0.0.1"  # where a container listens, as seen from beside it
RESTARTS = "farlab/restarts"
"""The annotation of a kubelet that can tell of restarts. interLink's can't: its pods run once."""

Exec = Callable[[tuple[str, ...]], dict[str, Any]]
"""Returns the part of an action that runs a command in the container."""


def restart_policy(pod: Pod) -> str:
    """Return `Always`, `OnFailure` or `Never`; without a kubelet that shows restarts, `Never`."""
    shown = pod.annotation(RESTARTS) == "true"
    return pod.spec.restart if shown and pod.spec.restart else "Never"


def is_watched(pod: Pod) -> bool:
    """Tell whether only the pod runner knows how the containers are while the job runs."""
    every = (*pod.spec.init, *pod.spec.containers)
    return restart_policy(pod) != "Never" or any(c.probes() or c.lifecycle for c in every)


def care(container: Container, run: Exec) -> dict[str, Any]:
    """Return a container's probes and hooks for pod.json.

    Raises:
        Refusal: 400, one of them can't be carried out here.

    """
    _refuse_uncarried(container)
    where = f"container {container.name}"
    probes = {
        kind: _probe(probe, container, run, f"{where}: {kind}Probe")
        for kind, probe in container.probes().items()
    }
    hooks = {}
    if container.lifecycle is not None:
        parts = {"post_start": container.lifecycle.start, "pre_stop": container.lifecycle.stop}
        for name, action in parts.items():
            if action is not None:
                hooks[name] = _action(action, container, run, f"{where}: lifecycle")
    return {"sidecar": container.restart == "Always", "probes": probes, "hooks": hooks}


def _refuse_uncarried(container: Container) -> None:
    """Check for what would silently be something else at a site.

    Raises:
        Refusal: 400, the container asks for it.

    """
    if container.security and container.security.privileged:
        raise Refusal(
            400,
            f"container {container.name}: a privileged container can't run at a site: remove"
            " securityContext.privileged",
        )
    if any(mount.sub_path_expr for mount in container.mounts):
        raise Refusal(
            400,
            f"container {container.name}: subPathExpr can't be carried to a site: use subPath",
        )


def _probe(probe: Probe, container: Container, run: Exec, where: str) -> dict[str, Any]:
    return {
        "action": _action(probe, container, run, where),
        "delay": probe.delay or 0,
        "period": probe.period or 10,
        "timeout": probe.timeout or 1,
        "successes": probe.successes or 1,
        "failures": probe.failures or 3,
        "grace": probe.grace,
    }


def _action(action: Action, container: Container, run: Exec, where: str) -> dict[str, Any]:
    if action.run is not None:
        if not action.run.command:
            raise Refusal(400, f"{where}: exec names no command")
        return run(action.run.command)
    if action.http is not None:
        return {"http": _http(action.http, container, where)}
    if action.tcp is not None:
        return {"tcp": _place(action.tcp, container, where)}
    if action.sleep is not None:
        return {"sleep": action.sleep.seconds}
    raise Refusal(400, f"{where}: this site knows exec, httpGet, tcpSocket and sleep: use one")


def _http(http: HttpGet, container: Container, where: str) -> dict[str, Any]:
    headers = [[header.name, header.value] for header in http.headers]
    path = http.path or "/"
    return {
        **_place(http, container, where),
        "scheme": http.scheme or "HTTP",
        "path": path if path.startswith("/") else f"/{path}",
        "headers": headers,
    }


def _place(action: HttpGet | TcpSocket, container: Container, where: str) -> dict[str, Any]:
    return {"host": action.host or POD_ADDRESS, "port": _port(action.port, container, where)}


def _port(port: int | str, container: Container, where: str) -> int:
    """Return a port's number, which may be given by its name among the container's ports."""
    named = {entry.name: entry.number for entry in container.ports if entry.name}
    if isinstance(port, str) and port in named:
        return named[port]
    if str(port).isdigit() and 0 < int(port) < 65536:
        return int(port)
    raise Refusal(400, f"{where}: port {port!r} is neither a number nor named in `ports`")
