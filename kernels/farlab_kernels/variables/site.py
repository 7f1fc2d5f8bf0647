"""The site's end: serves data connections in the kernel's own process, beside its cells.

Each connection has a thread, so that a transfer goes on while a cell runs, and a cell while a
transfer does. Values are set all at once, when everything has arrived.
"""

from __future__ import annotations

import difflib
import os
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from farlab_kernels.variables import calls, codec, files
from farlab_kernels.variables.channel import Channel
from farlab_kernels.variables.errors import (
    CutError,
    MissingError,
    NoRoomError,
    RemoteFileError,
    TransferError,
)
from farlab_kernels.variables.handover import connections
from farlab_kernels.variables.versions import About, Pair, about

_LOOK = 5.0  # seconds between two looks whether somebody still waits for a result


class Shell(Protocol):
    """What is needed of IPython's shell."""

    user_ns: dict[str, Any]

    def push(self, variables: dict[str, Any]) -> None:
        """Set variables."""


class Site:
    """Serves connections to one kernel's namespace."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._channels: set[Channel] = set()
        self.calls = calls.Calls(lambda: shell.user_ns)

    def serve(self, connection: socket.socket, hello: dict[str, Any]) -> None:
        """Serve a connection until it ends."""
        channel = Channel(connection)
        self._channels.add(channel)
        here = about(str(hello.get("place", "the site")))
        client = _Client(self, channel, here, About.from_wire(hello.get("about")))
        try:
            channel.send({"about": here.to_wire()})
            while True:
                client.answer(channel.receive())
        except CutError:
            pass
        except Exception as error:  # a fault of this program: the other end shall know
            with suppress(CutError):
                channel.fail(TransferError(f"{type(error).__name__} {here.where}: {error}"))
        finally:
            self._channels.discard(channel)
            channel.close()

    def forget(self) -> None:
        """Close connections that are another process's: a fork would keep them from ending."""
        for channel in self._channels:
            channel.close()
        self._channels.clear()

    def look_up(self, names: list[str], where: str) -> list[Any]:
        """Return variables. Raises MissingError, which names those that are not there."""
        known = self._shell.user_ns
        missing = [name for name in names if name not in known]
        if missing:
            raise MissingError(_missing(missing, known, where))
        return [known[name] for name in names]

    def set(self, values: dict[str, Any]) -> None:
        """Set variables."""
        self._shell.push(values)

    def delete(self, names: list[str], where: str) -> None:
        """Delete variables. Raises MissingError, and deletes none, when one is not there."""
        self.look_up(names, where)
        for name in names:
            self._shell.user_ns.pop(name, None)


def _missing(names: list[str], known: dict[str, Any], where: str) -> str:
    public = [name for name in known if not name.startswith("_")]
    near = [match for name in names for match in difflib.get_close_matches(name, public, 1)]
    hint = f"; did you mean {' and '.join(near)}?" if near else ""
    are = "is" if len(names) == 1 else "are"
    return f"{' and '.join(names)} {are} not defined {where}{hint}"


class _Client:
    """One connection's other end."""

    def __init__(self, site: Site, channel: Channel, here: About, there: About) -> None:
        self._site = site
        self._channel = channel
        self._here = here
        self._inward = Pair(there, here)
        self._outward = Pair(here, there)
        self._answers: dict[str, Callable[[dict[str, Any]], None]] = {
            "set": self._set,
            "get": self._get,
            "delete": self._delete,
            "keep": self._keep,
            "drop": self._drop,
            "call": self._call,
            "result": self._result,
            "cancel": self._cancel,
            "error": self._error,
            "put_file": self._put_file,
            "get_file": self._get_file,
        }

    def answer(self, asked: dict[str, Any]) -> None:
        """Do what is asked. Raises CutError when the connection is of no use any more."""
        answer = self._answers.get(str(asked.get("op")))
        if answer is None:
            raise CutError("the other end asks for what is not known here")
        try:
            answer(asked)
        except CutError:
            raise
        except TransferError as error:
            self._channel.fail(error)

    def _receive(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Receive the values that a header describes."""
        offered = asked.get("offered", False)
        try:
            parts = self._channel.receive_parts(codec.sizes(asked["values"]), offered=offered)
        except NoRoomError as error:
            names = " and ".join(value["name"] for value in asked["values"])
            raise NoRoomError(f"no room {self._here.where} for {names}: {error}") from None
        return codec.unpack_all(asked["values"], parts, self._inward)

    def _set(self, asked: dict[str, Any]) -> None:
        self._site.set(self._receive(asked))
        self._channel.send({})

    def _get(self, asked: dict[str, Any]) -> None:
        names = asked["names"]
        values = dict(zip(names, self._site.look_up(names, self._here.where), strict=True))
        self._channel.send(*codec.pack_all(values, self._outward))

    def _delete(self, asked: dict[str, Any]) -> None:
        self._site.delete(asked["names"], self._here.where)
        self._channel.send({})

    def _keep(self, asked: dict[str, Any]) -> None:
        (function,) = self._receive(asked).values()
        self._site.calls.keep(asked["token"], function)
        self._channel.send({})

    def _drop(self, asked: dict[str, Any]) -> None:
        self._site.calls.drop(asked["token"])
        self._channel.send({})

    def _call(self, asked: dict[str, Any]) -> None:
        (payload,) = self._receive(asked).values()
        self._site.calls.stage(asked["id"], payload, asked.get("token", ""))
        self._channel.send({})

    def _result(self, asked: dict[str, Any]) -> None:
        call = self._site.calls.get(asked["id"])
        while not call.done.wait(_LOOK):
            if self._channel.ended():
                raise CutError("nobody waits for the result any more")
        try:
            if call.failure is None:
                self._channel.send(*codec.pack_all({"the result": call.value}, self._outward))
            else:
                failure = call.failure
                self._send_error(failure.error, failure.traceback, failure.index)
            self._channel.receive()  # that it has arrived
        except CutError:
            raise  # it will be asked for once more
        except TransferError:
            self._site.calls.fetched(asked["id"])
            raise
        self._site.calls.fetched(asked["id"])

    def _cancel(self, asked: dict[str, Any]) -> None:
        self._site.calls.cancel(asked["id"])
        self._channel.send({})

    def _error(self, asked: dict[str, Any]) -> None:
        """Answer with the exception that ended the last cell, if it is the one that is meant."""
        error = getattr(sys, "last_value", None)
        if not isinstance(error, BaseException) or type(error).__name__ != asked["ename"]:
            raise MissingError("that exception is not known any more")
        self._send_error(error, "", None)

    def _send_error(self, error: BaseException, trace: str, index: int | None) -> None:
        kind = type(error)
        failed = {
            "module": kind.__module__,
            "name": kind.__qualname__,
            "message": _words(error),
            "traceback": trace,
            "index": index,
        }
        try:
            header, parts = codec.pack_all({"the exception": error}, self._outward)
        except TransferError:
            header, parts = {"values": []}, []
        self._channel.send({**header, "failed": failed}, parts)

    def _put_file(self, asked: dict[str, Any]) -> None:
        path = _path(asked)
        if path.is_dir():
            raise RemoteFileError(f"{path} {self._here.where} is a folder: name the file in it")
        if not path.parent.is_dir():
            raise RemoteFileError(f"there is no folder {path.parent} {self._here.where}")
        self._channel.send({})  # go on
        files.receive(self._channel, path, asked, self._here.where)
        self._channel.send({})

    def _get_file(self, asked: dict[str, Any]) -> None:
        path = _path(asked)
        described = files.describe(path, self._here.where)
        self._channel.send(described)
        files.send(self._channel, path, described["size"])


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # an exception's own code
        return "(no message)"


def _path(asked: dict[str, Any]) -> Path:
    try:
        return Path(asked["path"]).expanduser()
    except RuntimeError:
        raise RemoteFileError(f"there is no home folder for {asked['path']}") from None


def start(shell: Any, folder: Path) -> Site:
    """Serve the connections that the keeper hands over, in threads; return at once."""
    site = Site(shell)
    calls.current = site.calls
    os.register_at_fork(after_in_child=site.forget)
    threading.Thread(target=_listen, args=(site, folder), name="farlab-data", daemon=True).start()
    return site


def _listen(site: Site, folder: Path) -> None:
    for connection, hello in connections(folder):
        serve = (connection, hello)
        threading.Thread(target=site.serve, args=serve, name="farlab-data", daemon=True).start()
