"""Runs conformance cases against one node of a real cluster, through its API as users do."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

import httpx

from farlab_real.conformance import Case, Deletion, Manifest, Step, Text, holds
from farlab_real.control_plane import Cluster

PATIENCE = 120.0  # seconds; for a machine on which everything else runs too
LOOK = 0.3  # seconds between looks
TOLERATE = {"key": "virtual-node.interlink/no-schedule", "operator": "Exists"}


@dataclass(frozen=True)
class Place:
    """The node under test, and what plain containers have for an image there."""

    node: str
    image: str
    own_image: str  # one whose entrypoint prints "from the image:" and the arguments


class Api:
    """A cluster's API over plain HTTP, behind `kubectl proxy`."""

    def __init__(self, cluster: Cluster) -> None:
        argv = cluster.kubectl_argv("proxy", "--port=0", "--v=0")
        self._proxy = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert self._proxy.stdout is not None
        address = self._proxy.stdout.readline().rpartition(" ")[2].strip()
        limits = httpx.Limits(max_connections=64)
        self.http = httpx.Client(
            base_url=f"http://{address}", timeout=60, trust_env=False, limits=limits
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.http.close()
        self._proxy.terminate()
        self._proxy.wait()

    def get(self, path: str, **query: Any) -> Any:
        """Return an object; None when it is not there."""
        answer = self.http.get(path, params=query)
        return None if answer.status_code == 404 else answer.raise_for_status().json()

    def text(self, path: str, **query: Any) -> str:
        """Return a text, an error's too."""
        return self.http.get(path, params=query).text

    def create(self, path: str, manifest: Manifest, **query: Any) -> Manifest:
        """Create an object; fail with the API server's words."""
        answer = self.http.post(path, json=manifest, params=query)
        assert answer.is_success, answer.text
        made: Manifest = answer.json()
        return made

    def delete(self, path: str, **options: Any) -> None:
        """Delete an object."""
        answer = self.http.request("DELETE", path, json=options)
        assert answer.is_success, answer.text


def fitted(pod: Manifest, place: Place) -> Manifest:
    """Return a case's pod for a node: bound to it, and with an image where the case names none."""
    text = json.dumps({"apiVersion": "v1", "kind": "Pod", **pod})
    port = str(_free_port())
    text = text.replace('"containerPort": "PORT"', f'"containerPort": {port}')
    pod = json.loads(text.replace('"PORT"', f'"{port}"'))
    spec = pod["spec"]
    spec.setdefault("nodeSelector", {"kubernetes.io/hostname": place.node})
    spec.setdefault("tolerations", [TOLERATE])
    for container in (*spec["containers"], *spec.get("initContainers", ())):
        own = container.get("image") == "OWN"
        container["image"] = place.own_image if own else container.get("image", place.image)
    return pod


def _free_port() -> int:
    """Return a free port, and none of those that the system hands out to others meanwhile."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port


class Trial:
    """One case at one node, in a namespace of the cluster."""

    def __init__(self, api: Api, namespace: str, case: Case, place: Place) -> None:
        self.api = api
        self.case = case
        self.base = f"/api/v1/namespaces/{namespace}"
        self.pod = fitted(case.pod, place)
        self.path = f"{self.base}/pods/{self.pod['metadata']['name']}"
        self.seen: Manifest = {}
        self.never: Manifest | None = None

    def run(self) -> None:
        """Do every step; fail with the step that does not hold."""
        self._apply_all(self.case.objects)
        self.api.create(f"{self.base}/pods", self.pod)
        try:
            self._do_all()
        finally:
            self._delete_quietly()

    def _do_all(self) -> None:
        for number, step in enumerate(self.case.steps, 1):
            try:
                self._do(step)
            except AssertionError as error:
                seen = json.dumps(self.seen, indent=1)
                raise AssertionError(f"step {number}: {error}\nlast seen: {seen}") from None

    def _apply_all(self, manifests: tuple[Manifest, ...]) -> None:
        for manifest in manifests:
            self._apply(manifest)

    def _apply(self, manifest: Manifest) -> None:
        kinds = {"Secret": "secrets", "ConfigMap": "configmaps"}
        whole = {"apiVersion": "v1", **manifest}
        self.api.create(f"{self.base}/{kinds[manifest['kind']]}", whole)

    def _do(self, step: Step) -> None:
        (kind,) = step.model_fields_set
        value = getattr(step, kind)
        actions: dict[str, Callable[[Any], None]] = {
            "until": self._until,
            "never": self._never,
            "logs": self._logs,
            "previous_logs": lambda logs: self._logs(logs, previous=True),
            "events": self._events,
            "lasts": self._lasts,
            "order": self._order,
            "apply": self._apply_all,
            "delete": self._delete,
        }
        actions[kind](value)

    def _status(self) -> Manifest:
        pod = self.api.get(self.path)
        assert pod is not None, "the pod is gone"
        self.seen = pod["status"]
        if self.never is not None:
            assert not holds(self.never, self.seen), f"it was once {self.never}"
        return self.seen

    def _until(self, wanted: Manifest) -> None:
        _wait(lambda: holds(wanted, self._status()), f"not {wanted}")
        self.never = None

    def _never(self, unwanted: Manifest) -> None:
        self.never = unwanted

    def _logs(self, logs: dict[str, Text], previous: bool = False) -> None:
        for container, text in logs.items():
            query = {"container": container} | ({"previous": "true"} if previous else {})
            found = ""

            def right(text: Text = text, query: dict[str, str] = query) -> bool:
                nonlocal found
                found = self.api.text(f"{self.path}/log", **query)
                return not text.wrong(found)

            _wait(right, f"the log of {container}", lambda: f"{text.wrong(found)}")  # noqa: B023

    def _events(self, wanted: tuple[Manifest, ...]) -> None:
        selector = f"involvedObject.name={self.pod['metadata']['name']}"
        found: list[Manifest] = []

        def there() -> bool:
            nonlocal found
            found = self.api.get(f"{self.base}/events", fieldSelector=selector)["items"]
            return all(any(holds(one, event) for event in found) for one in wanted)

        _wait(there, f"no {wanted}", lambda: str([(e["reason"], e["message"]) for e in found]))

    def _lasts(self, wanted: dict[str, tuple[float, float]]) -> None:
        for name, (least, most) in wanted.items():
            ended = self._ended(name)
            took = _moment(ended["finishedAt"]) - _moment(ended["startedAt"])
            assert least <= took <= most, f"{name} lasted {took} s, and not {least} to {most}"

    def _order(self, names: tuple[str, ...]) -> None:
        for before, after in pairwise(names):
            finished = _moment(self._ended(before)["finishedAt"])
            started = _moment(self._ended(after)["startedAt"])
            assert finished <= started, f"{after} started before {before} had ended"

    def _ended(self, name: str) -> Manifest:
        status = self._status()
        every = (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))
        (state,) = (one["state"] for one in every if one["name"] == name)
        assert "terminated" in state, f"{name} has not ended"
        ended: Manifest = state["terminated"]
        return ended

    def _delete(self, wanted: Deletion) -> None:
        options = {} if wanted.grace is None else {"gracePeriodSeconds": wanted.grace}
        began = time.monotonic()
        self.api.delete(self.path, **options)
        _wait(lambda: self.api.get(self.path) is None, "it is still there")
        took = time.monotonic() - began
        least, most = wanted.seconds
        assert least <= took <= most, f"gone after {took:.1f} s, and not {least} to {most}"

    def _delete_quietly(self) -> None:
        if self.api.get(self.path) is not None:
            self._delete(Deletion.model_validate({"grace": 1}))


class Crowd:
    """A case of which there are many copies: one pod each, all at once."""

    def __init__(self, api: Api, namespace: str, case: Case, place: Place) -> None:
        self.api = api
        self.path = f"/api/v1/namespaces/{namespace}/pods"
        self.pod = fitted(case.pod, place)
        self.name = self.pod["metadata"]["name"]
        self.select = {"labelSelector": f"crowd={self.name}"}
        (step,) = case.steps
        self.wanted = step.until

    def run(self, copies: int) -> None:
        """Wait until all of them are as the case's only step says, then delete them."""
        for number in range(copies):
            metadata = {"name": f"{self.name}-{number}", "labels": {"crowd": self.name}}
            self.api.create(self.path, self.pod | {"metadata": metadata})
        _wait(
            lambda: self._right() == copies,
            f"not {copies} pods {self.wanted}",
            lambda: f"only {self._right()}",
            PATIENCE + copies,
        )
        self.api.delete(self.path + f"?labelSelector=crowd={self.name}", gracePeriodSeconds=1)
        _wait(lambda: not self._all(), "they are still there")

    def _all(self) -> list[Manifest]:
        items: list[Manifest] = self.api.get(self.path, **self.select)["items"]
        return items

    def _right(self) -> int:
        return sum(holds(self.wanted, pod["status"]) for pod in self._all())


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _wait(
    check: Callable[[], bool],
    what: str,
    more: Callable[[], str] = str,
    patience: float = PATIENCE,
) -> None:
    end = time.monotonic() + patience
    while not check():
        assert time.monotonic() < end, f"{what}, within {patience:.0f} s: {more()}"
        time.sleep(LOOK)
