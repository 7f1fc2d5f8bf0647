"""A server's pod in Kubernetes: KubeSpawner makes it, with what Farlab adds on its way there."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
from farlab_sites.carriers.kubernetes import owner_of
from farlab_sites.manifest import SITE, WORKLOAD, seal
from kubernetes_asyncio.client import ApiException, V1EnvVar
from kubespawner import KubeSpawner

from .request import Job
from .service import ServiceError, Workload

ACCOUNT = "farlab/account"
POD_GONE_S = 30.0
"""How long a stop waits for the pod's end. It need not: the hub service sees to it."""


class PodSpawner(KubeSpawner):  # type: ignore[misc]
    """KubeSpawner, whose pods are workloads of the hub service."""

    _job: Job | None = None  # while a server starts
    _account: str | None = None  # the site's local one that runs it

    async def get_pod_manifest(self) -> Any:
        """Return KubeSpawner's V1Pod, as the workload's where Kubernetes takes it."""
        pod = await super().get_pod_manifest()
        if self._job:
            dress(pod, self._job, self._account)
        return pod

    async def _make_pod(self, workload: Workload) -> str:
        """Let KubeSpawner make the pod; return the pod's own address."""
        self._account = workload.get("account")
        try:
            await self._revive_watch()
            address: str = await KubeSpawner.start(self)
        except ApiException as error:
            raise _refusal(error) from error
        except (TimeoutError, aiohttp.ClientError) as error:
            fix = "Try again in a minute."
            message = f"Kubernetes does not answer ({error})."
            raise ServiceError(503, "Unreachable", message, fix) from error
        return address

    async def _make_create_pod_request(self, pod: Any, request_timeout: float) -> bool:
        """Create the pod; False to be called again by KubeSpawner."""
        if self._job is None:
            return False  # the start has ended meanwhile
        try:
            maker = PodMaker(self.api, self.namespace, self._job)
            if await maker.create(pod, request_timeout):
                return True
        except TimeoutError:
            return False
        self.log.info("Pod %s of an earlier server is in the way", self.pod_name)
        await KubeSpawner.stop(self, now=True)
        return False

    async def _revive_watch(self) -> None:
        """Watch pods anew where KubeSpawner has given that up: the API was away for a minute."""
        watch = self.pod_reflector and self.pod_reflector.watch_task
        if watch and watch.done():
            await self._start_watching_pods(replace=True)

    async def _pod_address(self) -> str:
        """Return where a pod on an ordinary node is reached; empty when it is gone."""
        await self._start_watching_pods()
        pod = self.pod_reflector.pods.get(f"{self.namespace}/{self.pod_name}")
        return str(self._get_pod_url(pod)) if pod else ""

    async def _stop_pod(self, now: bool) -> None:
        """Delete the pod where the service has not yet, which goes on trying in any case."""
        try:
            async with asyncio.timeout(POD_GONE_S):
                await self._revive_watch()
                await KubeSpawner.stop(self, now)
        except Exception as error:
            self.log.warning("Pod %s is not gone yet: %s", self.pod_name, error or "no answer")


def dress(pod: Any, job: Job, account: str | None) -> None:
    """Add to KubeSpawner's V1Pod what makes it the workload's; `account` is the site's local one.

    A pod that is to be found by its label carries the workload's uid: its own is Kubernetes'.
    """
    container, meta = pod.spec.containers[0], pod.metadata
    values = job.env({entry.name: entry.value for entry in container.env if entry.value})
    container.args = job.args(container.args or [])
    container.env = [entry for entry in container.env if entry.name not in values]
    container.env += [V1EnvVar(name, value) for name, value in values.items()]
    meta.labels = {**(meta.labels or {}), WORKLOAD: job.uid, SITE: job.chosen.site.name}
    # Only the service says whose account runs the job.
    given = {WORKLOAD: job.uid} | ({ACCOUNT: account} if account else {})
    kept = {key: text for key, text in (meta.annotations or {}).items() if key != ACCOUNT}
    meta.annotations = kept | given


class PodMaker:
    """Creates one server's pod, with its secrets apart from it."""

    def __init__(self, api: Any, namespace: str, job: Job) -> None:
        self._api = api
        self._namespace = namespace
        self._job = job

    async def create(self, pod: Any, timeout: float) -> bool:
        """Create the pod and the Secret that it names; False when another pod is in the way.

        Raises ServiceError when Kubernetes refuses it, TimeoutError when it does not answer.
        """
        sealed, secrets = self._sealed(pod)
        try:
            async with asyncio.timeout(timeout):
                # Before the pod, which could not start without them.
                for secret in secrets:
                    await self._put(secret)
                made = await self._make(sealed)
                if made is None:
                    return False
                for secret in secrets:
                    await self._own(secret, made)
        except ApiException as error:
            if error.status == 429 or (error.status or 0) >= 500:
                raise TimeoutError(_said(error)) from error
            raise _refusal(error) from error
        except aiohttp.ClientError as error:
            raise TimeoutError(str(error)) from error
        return True

    def _sealed(self, pod: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return the pod as JSON without its secrets, and the Secret with them."""
        manifest: dict[str, Any] = self._api.api_client.sanitize_for_serialization(pod)
        try:
            sealed, secrets = seal(manifest)
        except ValueError as error:
            fix = "The hub's operator must change what puts it there."
            raise ServiceError(500, "leak", f"{error}.", fix) from error
        for secret in secrets:
            labels = {WORKLOAD: self._job.uid, SITE: self._job.chosen.site.name}
            secret["metadata"]["labels"] = labels
        return sealed, secrets

    async def _make(self, pod: dict[str, Any]) -> dict[str, Any] | None:
        """Create the pod; return it, also if an earlier try has; None when it is another one."""
        name = pod["metadata"]["name"]
        try:
            made = await self._api.create_namespaced_pod(self._namespace, pod)
        except ApiException as error:
            if error.status != 409:
                raise
            made = await self._api.read_namespaced_pod(name, self._namespace)
        found: dict[str, Any] = self._api.api_client.sanitize_for_serialization(made)
        labels = found["metadata"].get("labels") or {}
        return found if labels.get(WORKLOAD) == self._job.uid else None

    async def _put(self, secret: dict[str, Any]) -> None:
        """Create a Secret, over one that an earlier server has left."""
        try:
            await self._api.create_namespaced_secret(self._namespace, secret)
        except ApiException as error:
            if error.status != 409:
                raise
            await self._replace(secret)

    async def _own(self, secret: dict[str, Any], pod: dict[str, Any]) -> None:
        """Let Kubernetes remove a Secret together with the pod."""
        owned = {"metadata": {"ownerReferences": [owner_of(pod)]}}
        name = secret["metadata"]["name"]
        try:
            await self._api.patch_namespaced_secret(name, self._namespace, owned)
        except ApiException as error:
            if error.status != 403:
                raise
            # A hub of zero-to-jupyterhub may create and delete Secrets, and change none.
            await self._replace({**secret, "metadata": {**secret["metadata"], **owned["metadata"]}})

    async def _replace(self, secret: dict[str, Any]) -> None:
        await self._api.delete_namespaced_secret(secret["metadata"]["name"], self._namespace)
        await self._api.create_namespaced_secret(self._namespace, secret)


def _refusal(error: ApiException) -> ServiceError:
    """Return what Kubernetes said, as what the user reads."""
    fix = "Try a smaller choice; if that does not help, tell the hub's operator."
    return ServiceError(502, "Rejected", f"Kubernetes refused the pod: {_said(error)}.", fix)


def _said(error: ApiException) -> str:
    """Return the API server's own words."""
    try:
        return str(json.loads(error.body or "")["message"])[:1000]
    except (TypeError, ValueError, KeyError):
        return str(error.reason or "no reason given")
