"""A hub with the sites of one machine, which most of the spawner's tests need."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from farlab_real.hub import RunningHub
from farlab_real.plugin import RunningPlugin
from farlab_real.user import HubUser


@dataclass
class World:
    """A hub, and the plugin of its sites."""

    hub: RunningHub
    plugin: RunningPlugin

    def user(self, name: str) -> HubUser:
        return self.hub.login(name)

    def live(self) -> dict[str, str]:
        """Return the state of every live workload, by owner and server name."""
        found = self.hub.workloads()
        return {f"{w['owner']}/{w['server_name']}": w["state"] for w in found}


def machine_sites(plugin: RunningPlugin) -> dict[str, Any]:
    """Return one site for all, one for members, one that is down."""
    lab = {
        "name": "lab",
        "title": "JupyterLab",
        "sizes": [
            {"title": "1 CPU", "cpu": 1, "memory": "1Gi"},
            {"title": "Whole machine", "cpu": 4, "memory": "1Gi"},
        ],
        "images": [
            {"title": "Python 3", "image": sys.prefix},
            {"title": "Broken", "image": "/nowhere/env"},
        ],
        "other_image": {"allow": "/opt/.*"},
    }
    here = {"kind": "cloud", "carrier": plugin.carrier, "profiles": [lab]}
    nowhere = {"direct": {"url": "http://127.0.0.1:1"}}
    return {
        "sites": [
            {"name": "cloud", "title": "UKRI Cloud", "walltime": "8:00:00", **here},
            {"name": "members", "title": "Members", "groups": ["members"], **here},
            {"name": "down", "title": "Down", **here, "carrier": nowhere},
        ]
    }
