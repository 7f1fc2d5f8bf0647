"""Writes the status of pods to the API server."""

from __future__ import annotations

from farlab_sites.kubelet.api import Api, Json
from farlab_sites.kubelet.pods import Pod


class StatusWriter:
    """Patches the status subresource; remembers what it wrote last of each pod."""

    def __init__(self, api: Api, host_ip: str) -> None:
        self._api = api
        self._written: dict[str, tuple[str, bool]] = {}
        self.host_ip = host_ip

    def written(self, uid: str) -> tuple[str, bool] | None:
        """Return the phase and the readiness that were written last."""
        return self._written.get(uid)

    def forget(self, uid: str) -> None:
        """Drop what was noted of a pod that is gone."""
        self._written.pop(uid, None)

    async def write(self, pod: Pod, status: Json) -> bool:
        """Write a status; another pod of the same name is left alone (409)."""
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status["conditions"])
        self._written[pod.uid] = (status["phase"], ready)
        body = {"metadata": {"uid": pod.uid}, "status": status}
        answer = await self._api.patch(f"{pod.path}/status", body)
        # What was written counts before the watch tells: nothing is started twice meanwhile.
        pod.version = answer["metadata"]["resourceVersion"]
        pod.phase = status["phase"]
        pod.started = status.get("startTime", pod.started)
        pod.words = status.get("reason"), status.get("message")
        pod.conditions = status["conditions"]
        return True
