"""Takes a node out of service: nothing new, every pod ended, then the node itself removed."""

from __future__ import annotations

import asyncio
import logging

from farlab_sites.kubelet.api import Api, ApiError
from farlab_sites.kubelet.node import VirtualNode
from farlab_sites.kubelet.reconcile import Reconciler

log = logging.getLogger(__name__)

AGAIN = 10.0  # seconds between tries while the API server is away


async def drain(api: Api, node: VirtualNode, reconciler: Reconciler) -> None:
    """Delete every pod on the node, wait until their jobs have ended, remove the node.

    The kubelet runs meanwhile: it is what ends the jobs.
    """
    await reconciler.synced.wait()
    await node.cordon()
    leaving = set(reconciler.pods)
    log.info("draining: %d pods are ended", len(leaving))
    await asyncio.gather(*(_delete(api, reconciler, uid) for uid in leaving))
    await reconciler.finished(leaving)
    while True:
        try:
            await node.remove()
            break
        except ApiError as error:
            log.warning("the node could not be removed: %s", error)
            await asyncio.sleep(AGAIN)
    log.info("drained: the node is removed")


async def _delete(api: Api, reconciler: Reconciler, uid: str) -> None:
    """Ask for a pod's end, with the grace that it has itself."""
    while (pod := reconciler.pods.get(uid)) is not None and not pod.deleting:
        body = {"preconditions": {"uid": uid}}
        try:
            await api.call("DELETE", pod.path, body=body)
            return
        except ApiError as error:
            if error.status in (404, 409):
                return
            log.warning("pod %s/%s: %s", pod.namespace, pod.name, error)
            await asyncio.sleep(AGAIN)
