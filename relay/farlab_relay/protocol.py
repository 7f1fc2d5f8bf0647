"""What relay, gateway and agent say to each other: paths, headers, messages, time limits.

The agent dials `/agent/{workload}` and keeps that WebSocket as its control connection (JSON text).
When someone connects to one of the workload's ports, the relay sends `{"open": id, "port": port}`
and the agent answers by dialling `/agent/{workload}/stream/{id}`: one WebSocket for one connection.
A call from the job to an upstream of the relay dials `/agent/{workload}/call/{name}`.

On a stream, binary frames carry the bytes, and the text frame "eof" half-closes it: the sender has
no more bytes. After both sides have said so, the WebSocket is closed with code 1000. Any other end
means that the connection was cut, and the other side sees a reset.

Where nothing at a site can dial out, the hub dials the site's plugin: `/relay` is a control
WebSocket, on which the plugin sends `{"dial": id}` for each agent that dialled its gateway; the hub
answers with a connection to `/relay/{id}` that carries that agent's bytes from then on as they are,
as if the agent had dialled the relay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

INSTANCE_HEADER = "X-Farlab-Agent"
# Marks an answer as the relay's or the gateway's own: a proxy in between has other reasons.
RELAY_HEADER = "X-Farlab-Relay"
# Refused for good: the agent ends its payload instead of trying again.
FINAL_STATUSES = (401, 403, 409)

HEARTBEAT = 15.0
"""Seconds between signs of life; a peer that is silent for three of them is gone."""
CLOSE_PATIENCE = 3.0
"""Seconds for the other side to agree that a connection is closed."""
CLIENT_PATIENCE = 30.0
"""Seconds that a client waits for an agent which has not connected yet."""
OPEN_TIMEOUT = 15.0
"""Seconds for an agent to answer a request to open a stream, and for a dial to succeed."""
MAX_MESSAGE = 64 * 1024
"""Most bytes in a control message."""
FIRST_DELAY = 0.2
"""Seconds before the second try to connect; each further one takes twice as long."""
LONGEST_DELAY = 5.0
"""Seconds between two tries at most."""

TUNNEL_PATH = "/relay"
"""Where the hub dials a plugin; behind it, after a slash, the name of an agent's connection."""
TUNNEL_UPGRADE = "farlab-stream"
"""What an HTTP connection to `/relay/{id}` becomes."""

EOF = "eof"
CLOSE_NORMAL = 1000
CLOSE_PROTOCOL_ERROR = 1002
CLOSE_CUT = 4000
CLOSE_REPLACED = 4001
CLOSE_DROPPED = 4003

_PATH = re.compile(
    r"/agent/(?P<workload>[A-Za-z0-9._~-]{1,128})"
    r"(?:/stream/(?P<stream>[0-9a-f]{32})|/call/(?P<call>[a-z0-9][a-z0-9-]{0,62}))?"
)


_STREAM = re.compile(r"[0-9a-f]{32}")


def is_stream(name: str) -> bool:
    """Tell whether this can be the name of a stream or of an agent's connection."""
    return _STREAM.fullmatch(name) is not None


@dataclass(frozen=True)
class AgentPath:
    """A path that an agent dials; without stream and call it is the control connection."""

    workload: str
    stream: str | None = None
    call: str | None = None

    @classmethod
    def parse(cls, target: str) -> AgentPath | None:
        """Read a request target; any prefix before `/agent/` is accepted. None: no such path."""
        path = target.partition("?")[0]
        match = _PATH.fullmatch(path, max(path.rfind("/agent/"), 0))
        return cls(**match.groupdict()) if match else None

    def __str__(self) -> str:
        end = ""
        if self.stream:
            end = f"/stream/{self.stream}"
        elif self.call:
            end = f"/call/{self.call}"
        return f"/agent/{self.workload}{end}"


EventKind = Literal["connected", "ready", "lost", "exited"]


@dataclass(frozen=True)
class AgentEvent:
    """Something that the relay learned about a workload's agent.

    connected: the agent dialled (detail: node, job_id); ready: the payload's first port accepts
    connections (node, job_id); lost: the control connection ended, the agent will dial again
    (reason); exited: the payload ended (code, and message where it could not be started).
    """

    kind: EventKind
    detail: dict[str, Any] = field(default_factory=dict)


def bearer(headers: Mapping[str, str]) -> str:
    """Return the secret of an `Authorization: Bearer` header, or an empty string."""
    scheme, _, secret = headers.get("Authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


def agent_headers(secret: str, instance: str) -> dict[str, str]:
    """Return the headers with which an agent proves who it is."""
    return {"Authorization": f"Bearer {secret}", INSTANCE_HEADER: instance}
