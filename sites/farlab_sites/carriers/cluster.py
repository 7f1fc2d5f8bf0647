"""The API of the Kubernetes cluster that the hub runs in: requests, and errors in words.

kubernetes_asyncio finds the cluster and proves who asks. Its models stay out of it: objects are
JSON here as everywhere, and a list of thousands of pods is read in a fraction of the time.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes_asyncio.client import ApiClient, Configuration
from kubernetes_asyncio.config import ConfigException, load_incluster_config, load_kube_config

from farlab_sites.carriers.base import (
    WORDS_LIMIT,
    CarrierError,
    CarrierRejected,
    CarrierUnreachable,
    words_of,
)
from farlab_sites.interlink import Json

CALL_S = 30.0
_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_TRY_AGAIN = frozenset({408, 425, 429})


class ClusterRefusal(CarrierRejected):
    """What Kubernetes refused, with its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Cluster:
    """One namespace of a cluster: the one this process runs in, else the one kubectl would use."""

    def __init__(self, namespace: str = "", kubeconfig: Path | None = None) -> None:
        """Take where the pods are; without a namespace it is this process's own, or `default`.

        Nothing is opened or read before the first call.
        """
        self.namespace = namespace or own_namespace()
        self._kubeconfig = kubeconfig
        self._client: ApiClient | None = None
        self._opening = asyncio.Lock()

    def path(self, kind: str, name: str = "") -> str:
        """Return the address of a kind of object in the namespace, or of one of them."""
        base = f"/api/v1/namespaces/{self.namespace}/{kind}"
        return f"{base}/{name}" if name else base

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: Json | None = None,
        content: str = "application/json",
    ) -> Any:
        """Return the answer's JSON; raise CarrierError for anything but success."""
        timeout = aiohttp.ClientTimeout(total=CALL_S)
        async with self.request(
            method, path, timeout, query=query, body=body, content=content
        ) as response:
            text = await response.read()
        try:
            return json.loads(text)
        except ValueError:
            raise CarrierUnreachable("Kubernetes answered what is no JSON") from None

    async def text(self, path: str, query: Mapping[str, object]) -> str:
        """Return an answer that is plain text."""
        timeout = aiohttp.ClientTimeout(total=CALL_S)
        async with self.request("GET", path, timeout, query=query) as response:
            return (await response.read()).decode(errors="replace")

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        timeout: aiohttp.ClientTimeout,
        *,
        query: Mapping[str, object] | None = None,
        body: Json | None = None,
        content: str = "application/json",
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request; raise CarrierError when it fails on the way, or is refused."""
        client = await self._open()
        try:
            response = await client.call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                header_params={"Accept": "application/json, */*", "Content-Type": content},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=timeout,
                _return_http_data_only=True,
            )
            async with response:
                if not 200 <= response.status < 300:
                    raise _refusal(response.status, await response.text(errors="replace"))
                yield response
        except TimeoutError:
            raise CarrierUnreachable("Kubernetes did not answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            raise CarrierUnreachable(f"Kubernetes does not answer: {words_of(error)}") from error

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def _open(self) -> ApiClient:
        async with self._opening:
            if self._client is None:
                self._client = ApiClient(await self._configuration())
            return self._client

    async def _configuration(self) -> Configuration:
        """Return where the API is and who asks; looked for as KubeSpawner does."""
        found = Configuration()
        try:
            if self._kubeconfig is None and _in_cluster(found):
                return found
            await load_kube_config(_file(self._kubeconfig), client_configuration=found)
        except (ConfigException, OSError) as error:
            msg = f"no way to Kubernetes is configured ({words_of(error)}): set KUBECONFIG"
            raise CarrierUnreachable(msg) from error
        return found


def _in_cluster(found: Configuration) -> bool:
    """Fill in what a pod of the cluster is given; say whether this is one."""
    try:
        load_incluster_config(client_configuration=found)  # type: ignore[no-untyped-call]
    except ConfigException:
        return False
    return True


def _file(kubeconfig: Path | None) -> str:
    """Return the file that kubectl would read; the library looks for it but once."""
    return str(kubeconfig or os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")


def own_namespace() -> str:
    """Return the namespace of this process's own pod; `default` outside of a cluster."""
    try:
        return _OWN_NAMESPACE.read_text().strip()
    except OSError:
        return "default"


def _refusal(status: int, text: str) -> CarrierError:
    """Return the error for an answer that is no success, in the API server's own words."""
    try:
        said = json.loads(text).get("message") or text
    except (ValueError, AttributeError):
        said = text
    words = str(said).strip()[:WORDS_LIMIT] or "no reason given"
    if status == 401:
        fix = "its token has expired, or its kubeconfig is of another cluster"
        return CarrierUnreachable(f"Kubernetes does not know the hub: {fix}")
    if status in _TRY_AGAIN or status >= 500:
        return CarrierUnreachable(f"Kubernetes answered {status}: {words}")
    if status == 403 and "cannot" in words:
        words = f"{words} (the hub's service account lacks this right: docs/kubernetes.md)"
    return ClusterRefusal(status, words)
