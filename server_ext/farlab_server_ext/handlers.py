"""The HTTP side of the APIs: each handler only translates."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from .place import read_place

AUTH_RESOURCE = "farlab"
"""The resource that an authorizer of the Jupyter server is asked about."""


class ServerHandler(APIHandler):
    """`GET farlab/api/server`: where this server runs."""

    auth_resource = AUTH_RESOURCE

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Answer with the place and with `now`, the server's clock, both in epoch seconds."""
        self.set_header("Cache-Control", "no-store")
        await self.finish(json.dumps({**asdict(read_place(os.environ)), "now": time.time()}))
