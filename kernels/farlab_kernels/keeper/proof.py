"""How both ends of a connection prove that they have the kernel's key, without sending it.

The keeper's port is on loopback, where other users of the node reach it too, and could have taken
it before the keeper did. So each side answers the other's random challenge with an HMAC, over what
it says: the client over its hello, the keeper over its answer. Three lines of JSON, then whatever
the kind of connection is.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
from typing import Any

from farlab_kernels.keeper.keys import keyed
from farlab_kernels.keeper.wire import Writer

PATIENCE = 30.0
"""Seconds for the whole of it."""
VERSION = 1
_MOST = 60_000  # bytes of one line: less than what an asyncio.StreamReader takes by default


class RefusedError(Exception):
    """The other side will not talk to this one; says why. Trying again does not help."""


class NoAnswerError(ConnectionError):
    """The connection ended, or broke, before both sides were proven. Trying again may help."""


async def introduce(
    reader: asyncio.StreamReader, writer: Writer, key: str, hello: dict[str, Any]
) -> dict[str, Any]:
    """Do a client's part; return the keeper's answer. Raises RefusedError, NoAnswerError."""
    async with asyncio.timeout(PATIENCE):
        challenge = await _receive(reader)
        if challenge.get("keeper") != VERSION:
            raise RefusedError("what answers is no keeper of this version of Farlab")
        nonce, text = secrets.token_hex(16), json.dumps(hello)
        proof = _prove(key, "client", str(challenge.get("nonce")), nonce, text)
        _send(writer, nonce=nonce, hello=text, proof=proof)
        answer = await _receive(reader)
    if "error" in answer:
        raise RefusedError(str(answer["error"]))
    expected = _prove(key, "keeper", nonce, proof, str(answer.get("answer")))
    if not hmac.compare_digest(expected.encode(), str(answer.get("proof")).encode()):
        raise RefusedError("what answers at the keeper's port does not have this kernel's key")
    return _object(answer["answer"])


class Visitor:
    """A proven client, as the keeper sees it: what it said, and its connection."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hello: dict[str, Any]
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.hello = hello
        self._key = ""
        self._nonces = ("", "")

    @classmethod
    async def receive(
        cls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str
    ) -> Visitor:
        """Let a client prove itself. Raises RefusedError, NoAnswerError, TimeoutError."""
        nonce = secrets.token_hex(16)
        async with asyncio.timeout(PATIENCE):
            _send(writer, keeper=VERSION, nonce=nonce)
            said = await _receive(reader)
        theirs, text, proof = (str(said.get(name)) for name in ("nonce", "hello", "proof"))
        if not hmac.compare_digest(
            _prove(key, "client", nonce, theirs, text).encode(), proof.encode()
        ):
            raise RefusedError("the key is not this kernel's")
        visitor = cls(reader, writer, _object(text))
        visitor._key, visitor._nonces = key, (theirs, proof)
        return visitor

    def accept(self, **answer: Any) -> None:
        """Answer, proving that this is the keeper."""
        text = json.dumps(answer)
        _send(self.writer, answer=text, proof=_prove(self._key, "keeper", *self._nonces, text))


def refuse(writer: Writer, reason: str) -> None:
    """Answer that there will be no connection."""
    _send(writer, error=reason)


def _prove(key: str, *said: str) -> str:
    return keyed(key, json.dumps(["farlab keeper", *said]))


def _send(writer: Writer, **line: Any) -> None:
    writer.write(json.dumps(line).encode() + b"\n")


async def _receive(reader: asyncio.StreamReader) -> dict[str, Any]:
    try:
        line = await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError:
        raise NoAnswerError("the connection was closed by the other side") from None
    except asyncio.LimitOverrunError:
        raise NoAnswerError("the other side speaks another language") from None
    if len(line) > _MOST:
        raise NoAnswerError("the other side said too much")
    return _object(line.decode(errors="replace"))


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise NoAnswerError("the other side speaks another language")
    return value
