"""The addresses at which a kubelet is asked what its pods use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aiohttp import web

from farlab_sites.kubelet import metrics
from farlab_sites.kubelet.metering import Meters
from farlab_sites.kubelet.pods import Pod


class Gauges:
    """Answers Prometheus, metrics-server and `kubectl get --raw .../stats/summary`."""

    def __init__(self, node: str, meters: Meters, pods: Mapping[str, Pod]) -> None:
        self._node = node
        self._meters = meters
        self._pods = pods

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Return the routes for the kubelet's endpoint."""
        return [
            web.get("/metrics", self._states),
            web.get("/metrics/cadvisor", self._usage),
            web.get("/metrics/resource", self._resource),
            web.get("/stats/summary", self._summary),
        ]

    async def _states(self, _: web.Request) -> web.Response:
        """GET /metrics: kube-state-metrics' series, and cAdvisor's."""
        meters = list(self._meters.all(self._pods))
        states = metrics.state_samples(meters, self._node)
        return _text([*states, *metrics.usage_samples(meters)])

    async def _usage(self, _: web.Request) -> web.Response:
        """GET /metrics/cadvisor: what the pods use."""
        return _text(metrics.usage_samples(self._meters.all(self._pods)))

    async def _resource(self, _: web.Request) -> web.Response:
        """GET /metrics/resource: what the pods that run use now."""
        return _text(metrics.resource_samples(self._meters.all(self._pods)))

    async def _summary(self, _: web.Request) -> web.Response:
        """GET /stats/summary: the same as JSON."""
        return web.json_response(metrics.summary(self._meters.all(self._pods), self._node))


def _text(samples: Iterable[metrics.Sample]) -> web.Response:
    body = metrics.exposition(samples).encode()
    return web.Response(body=body, headers={"Content-Type": metrics.TEXT})
