"""The gateway: passes agents' connections from inside a site to a relay that they can't reach.

It runs on an edge node, inside the site's plugin. A compute node that can reach only the edge node
gives its agent the gateway's address. The gateway reads the head of each request, lets only agents
of the site's own workloads pass, dials the relay (or has the hub dial, where the edge has no way
out either), and from the relay's "101 Switching Protocols" on passes bytes as they are. Nothing but
an agent's WebSocket gets through: no other path, no other header, and no second request on the same
connection.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus

from farlab_relay import protocol
from farlab_relay.heads import HEAD_END, Head, HeadError, read_body, read_head
from farlab_relay.outlets import DialOut, Outlet, RelayAwayError
from farlab_relay.protocol import AgentPath
from farlab_relay.streams import Door, Socket, join

# What an agent has to say to a relay.
_PASSED_ON = {
    *("upgrade", "connection", "sec-websocket-key", "sec-websocket-version", "user-agent"),
    *("authorization", protocol.INSTANCE_HEADER.lower()),
}

log = logging.getLogger(__name__)


class _RefusedError(Exception):
    """What an agent is answered instead of being passed on; `final`: it need not try again."""

    def __init__(self, status: int, text: str, *, final: bool = False) -> None:
        super().__init__(text)
        self.status = status
        self.final = final

    def answer(self) -> bytes:
        """Return the HTTP answer."""
        reason = HTTPStatus(self.status).phrase if self.status in set(HTTPStatus) else "Refused"
        body = f"{self}\n".encode()
        lines = [f"HTTP/1.1 {self.status} {reason}", "Connection: close"]
        lines += ["Content-Type: text/plain; charset=utf-8", f"Content-Length: {len(body)}"]
        if self.final:
            lines.append(f"{protocol.RELAY_HEADER}: 1")
        return "\r\n".join(lines).encode() + HEAD_END + body


class Gateway:
    """Lets the agents of `allowed` workloads reach a relay, by its address or another outlet.

    Raises ValueError for an address that is neither ws:// nor wss://.
    """

    def __init__(self, relay: str | Outlet, allowed: Callable[[str], bool]) -> None:
        self._outlet = DialOut(relay) if isinstance(relay, str) else relay
        self._allowed = allowed
        self._doors: list[Door] = []

    async def listen(self, host: str, port: int) -> int:
        """Accept agents on an address (port 0: any free one); return the port. Raises OSError."""
        door = Door(self._serve)
        self._doors.append(door)
        return await door.listen(host, port)

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        for door in self._doors:
            await door.close()
        self._doors.clear()

    async def _serve(self, agent: Socket) -> None:
        """Pass one agent's connection on, or say why not."""
        try:
            head, early = await read_head(agent)
            request = self._request(head)
            relay = await self._outlet.dial()
        except HeadError as error:
            _refuse(agent, _RefusedError(HTTPStatus.BAD_REQUEST, str(error)))
        except RelayAwayError as error:
            _refuse(agent, _RefusedError(HTTPStatus.BAD_GATEWAY, str(error)))
        except _RefusedError as refused:
            _refuse(agent, refused)
        else:
            relay.take(request)
            await _pass_on(agent, early, relay)

    def _request(self, head: Head) -> bytes:
        """Return the request for the relay, if this is one that may pass. Raises _RefusedError."""
        path = AgentPath.parse(head.words[1])
        if path is None or head.words[0] != "GET":
            raise _RefusedError(HTTPStatus.NOT_FOUND, "Only agents' requests are passed on.")
        if head.headers.get("upgrade", "").lower() != "websocket":
            raise _RefusedError(HTTPStatus.UPGRADE_REQUIRED, "An agent opens a WebSocket.")
        if not self._allowed(path.workload):
            text = f"Workload {path.workload} does not run at this site."
            raise _RefusedError(HTTPStatus.FORBIDDEN, text, final=True)
        lines = [f"GET {self._outlet.prefix}{path} HTTP/1.1", f"Host: {self._outlet.netloc}"]
        lines += [f"{name}: {text}" for name, text in head.headers.items() if name in _PASSED_ON]
        return "\r\n".join(lines).encode() + HEAD_END


async def _pass_on(agent: Socket, early: bytes, relay: Socket) -> None:
    """Join an agent with the relay once the relay has accepted it, or hand on the refusal."""
    accepted = False
    try:
        head, rest = await read_head(relay)
        accepted = head.words[1] == str(HTTPStatus.SWITCHING_PROTOCOLS.value)
        if accepted:
            agent.take(head.raw + HEAD_END + rest)
            relay.take(early)
            join(agent, relay)
        else:
            _refuse(agent, await _refusal(relay, head, rest))
    except (HeadError, ValueError):
        _refuse(agent, _RefusedError(HTTPStatus.BAD_GATEWAY, "The relay did not answer."))
    finally:
        if not accepted:
            relay.cut("the agent was not accepted")


async def _refusal(relay: Socket, head: Head, rest: bytes) -> _RefusedError:
    text = await read_body(relay, head, rest)
    final = protocol.RELAY_HEADER.lower() in head.headers
    return _RefusedError(int(head.words[1]), text, final=final)


def _refuse(agent: Socket, refused: _RefusedError) -> None:
    log.info("an agent was refused: %s", refused)
    agent.take(refused.answer())
    agent.close()
