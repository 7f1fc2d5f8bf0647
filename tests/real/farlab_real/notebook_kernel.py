"""A notebook's own kernel (a real ipykernel) and a frontend of it, for tests of the magics."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

from farlab_real.kernel_parts import Result

PATIENCE = 60.0
Message = dict[str, Any]


class Frontend:
    """What a notebook's page does: runs cells, sees all that is published, moves widgets."""

    def __init__(self, manager: AsyncKernelManager, client: AsyncKernelClient) -> None:
        self.manager = manager
        self.client = client
        self.seen: list[Message] = []
        self.replies: dict[str, Message] = {}
        self.asked: list[Message] = []
        self._more = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._read(client.get_iopub_msg, self.seen.append)),
            asyncio.create_task(self._read(client.get_shell_msg, self._reply)),
            asyncio.create_task(self._read(client.get_stdin_msg, self.asked.append)),
        ]

    async def _read(self, get: Any, take: Callable[[Message], None]) -> None:
        while True:
            take(await get(timeout=None))
            self._more.set()

    def _reply(self, message: Message) -> None:
        self.replies[message["parent_header"]["msg_id"]] = message

    async def until(self, condition: Callable[[], Any], what: str = "something") -> Any:
        """Wait until something was received; return it."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not (found := condition()):
                    self._more.clear()
                    await self._more.wait()
                return found
        except TimeoutError:
            tail = [(m["msg_type"], m["content"]) for m in self.seen[-12:]]
            raise AssertionError(f"waited too long for {what}; last seen: {tail}") from None

    def begin(self, code: str, **options: Any) -> str:
        """Send a cell."""
        return str(self.client.execute(code, **options))

    async def end(self, id_: str) -> Result:
        """Wait for a cell's reply and idle."""

        def over() -> bool:
            idle = any(m["content"].get("execution_state") == "idle" for m in self.of(id_))
            return idle and id_ in self.replies

        await self.until(over, "the end of a cell")
        return Result(self.replies[id_], self.of(id_))

    async def run(self, code: str, **options: Any) -> Result:
        """Run a cell to its end."""
        return await self.end(self.begin(code, **options))

    def of(self, id_: str) -> list[Message]:
        """Return what was published for a cell, or for another message."""
        return [m for m in self.seen if m["parent_header"].get("msg_id") == id_]

    async def until_printed(self, text: str, id_: str = "") -> None:
        """Wait until a text was printed."""

        def printed() -> bool:
            messages = self.of(id_) if id_ else self.seen
            return text in "".join(
                m["content"]["text"] for m in messages if m["msg_type"] == "stream"
            )

        await self.until(printed, f"{text!r} to be printed")

    def send(
        self, kind: str, content: dict[str, Any], buffers: list[bytes] | None = None, **header: Any
    ) -> str:
        """Send a message to the shell channel, such as a widget's."""
        message = self.client.session.msg(kind, content)
        message["header"].update(header)
        self.client.session.send(self.client.shell_channel.socket, message, buffers=buffers)
        return str(message["header"]["msg_id"])

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def shown(result: Result) -> str:
    """Return all that a cell shows as text: what it prints, displays, and its error."""
    text = ""
    for message in result.messages:
        content = message["content"]
        text += content.get("text", "") + "\n".join(content.get("traceback", ()))
        text += str(content.get("data", {}).get("text/plain", ""))
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@asynccontextmanager
async def notebook(kernel: str = "python3", **environment: str) -> AsyncIterator[Frontend]:
    """Run a kernel as a notebook has it, with the magics loaded."""
    manager = AsyncKernelManager(kernel_name=kernel)
    await manager.start_kernel(env={**os.environ, **environment})
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=PATIENCE)
        frontend = Frontend(manager, client)
        try:
            if kernel == "python3":
                await frontend.run("%load_ext farlab_kernels")
            yield frontend
        finally:
            await frontend.close()
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)
