"""Carriers: how a pod reaches its site, and how its state comes back."""

from __future__ import annotations

from farlab_sites.carriers.base import (
    WORDS_LIMIT,
    Carrier,
    CarrierError,
    CarrierRejected,
    CarrierUnreachable,
)
from farlab_sites.carriers.direct import ANSWER_LIMIT, DirectCarrier
from farlab_sites.catalogue import Site
from farlab_sites.podstatus import PodStatus

__all__ = [
    "ANSWER_LIMIT",
    "WORDS_LIMIT",
    "Carrier",
    "CarrierError",
    "CarrierRejected",
    "CarrierUnreachable",
    "DirectCarrier",
    "PodStatus",
    "carrier_for",
]


def carrier_for(site: Site, namespace: str = "") -> Carrier:
    """Return a site's carrier; `namespace` is where its pods are, if it is in Kubernetes."""
    direct, kubernetes = site.carrier.direct, site.carrier.kubernetes
    if direct is not None:
        return DirectCarrier(direct.url, direct.token_file)
    assert kubernetes is not None  # noqa: S101 - the catalogue was validated
    # Its library is big, and part of a hub only.
    from farlab_sites.carriers.cluster import Cluster  # noqa: PLC0415
    from farlab_sites.carriers.kubernetes import KubernetesCarrier  # noqa: PLC0415

    return KubernetesCarrier(Cluster(namespace), site.name, kubernetes.node)
