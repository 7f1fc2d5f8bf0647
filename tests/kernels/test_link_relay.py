"""Kernels through the real relay and agent: cuts, restarts, ends."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from farlab_kernels.link import connection
from farlab_kernels.link.link import EndedError, KernelLink
from farlab_real.kernel_parts import (
    KEY,
    PATIENCE,
    connected,
    execute,
    finish,
    keeper,
    linked,
    site,
    until_printed,
)
from farlab_real.relay_parts import eventually

LINES = 20_000
LONG = 240.0  # seconds for them on a very busy machine


async def file_exists(path: Path) -> None:
    while not path.exists():
        await asyncio.sleep(0.05)


async def test_the_job_is_ready_when_the_kernel_is_and_ends_with_it():
    async with site() as here:
        await here.hub.wait_for("ready")
        async with linked(here) as link, connected(link) as client:
            assert (await execute(client, "print('hello')")).text == "hello\n"
            client.shutdown()
            exited = await here.hub.wait_for("exited")
            assert exited.detail["code"] == 0
            await eventually(lambda: link.kernel.state == "ended")


async def test_20000_lines_while_the_relay_is_cut_come_once_and_in_order(tmp_path: Path):
    """The cell ends while nobody can hear it; all of it arrives when the relay is back."""
    go, done = tmp_path / "go", tmp_path / "done"
    code = f"""
import pathlib, time
for i in range({LINES}):
    print(i, flush=True)
    if i == 1000:
        while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.01)
pathlib.Path({str(done)!r}).touch()
"""
    async with site() as here, linked(here) as link, connected(link) as client:
        id_ = client.execute(code)
        finishing = asyncio.create_task(finish(client, id_))
        seen = link.seen
        await eventually(lambda: link.seen > seen + 900)
        await here.cut()
        go.touch()
        await asyncio.wait_for(file_exists(done), LONG)
        assert not finishing.done()
        assert link.alive
        await here.mend()
        result = await finishing
        assert result.status == "ok"
        assert result.text == "".join(f"{i}\n" for i in range(LINES))


async def test_cells_sent_while_the_relay_is_cut_run_once():
    async with site() as here, linked(here) as link, connected(link) as client:
        await execute(client, "runs = []")
        for number in range(3):
            await here.cut()
            await eventually(lambda: not link.connected)
            id_ = client.execute(f"runs.append({number}); print(runs)")
            await here.mend()
            assert (await finish(client, id_)).text == f"{list(range(number + 1))}\n"


async def test_connections_cut_again_and_again_lose_nothing():
    """Cuts at moments that nobody chose, in both directions' traffic."""
    async with site() as here, linked(here) as link, connected(link) as client:
        cuts = 0

        async def cut_often():
            nonlocal cuts
            while True:
                seen = link.seen
                while link.seen < seen + 150:
                    await asyncio.sleep(0.01)
                await here.cut()
                await here.mend()
                cuts += 1

        cutting = asyncio.create_task(cut_often())
        ids = [client.execute(f"for i in range(50): print({n}, i, flush=True)") for n in range(60)]
        printed, ended = [], set()
        while len(ended) < len(ids):
            message = await client.get_iopub_msg(timeout=PATIENCE)
            if message["msg_type"] == "stream":
                printed.append(message["content"]["text"])
            elif message["content"].get("execution_state") == "idle":
                ended.add(message["parent_header"]["msg_id"])
        assert "".join(printed) == "".join(f"{n} {i}\n" for n in range(60) for i in range(50))
        replies = [await client.get_shell_msg(timeout=PATIENCE) for _ in ids]
        assert [reply["parent_header"]["msg_id"] for reply in replies] == ids
        cutting.cancel()
        assert cuts


async def test_an_interrupt_during_a_cut_arrives_after_it():
    async with site() as here, linked(here) as link, connected(link) as client:
        id_ = client.execute("import time; print('on', flush=True); time.sleep(600)")
        await until_printed(client, "on")
        await here.cut()
        await eventually(lambda: not link.connected)
        await link.interrupt()
        await here.mend()
        assert (await finish(client, id_)).reply["content"]["ename"] == "KeyboardInterrupt"


async def test_a_job_that_is_killed_ends_its_cells_when_the_workload_is_known_to_have_ended():
    async with site() as here:
        state = {"reason": ""}

        async def open_stream(port: int):
            if state["reason"]:
                raise EndedError(state["reason"])
            return await here.open_stream(port)

        link = KernelLink(open_stream, KEY)
        await asyncio.wait_for(link.start(), PATIENCE)
        try:
            async with connected(link) as client:
                id_ = client.execute("import time; print('on', flush=True); time.sleep(600)")
                await until_printed(client, "on")
                os.killpg(here.agent.process.pid, signal.SIGKILL)
                await eventually(lambda: not link.connected)
                assert link.alive  # nobody knows yet
                state["reason"] = "the job was killed by its node"
                result = await finish(client, id_)
                assert result.reply["content"]["evalue"] == "the job was killed by its node"
                assert result.of("error")[0]["content"]["ename"] == "DeadKernelError"
                assert not link.alive
                with pytest.raises(EndedError):
                    await link.restart()
        finally:
            await link.close()


class FreezingProxy:
    """A TCP proxy that can stop to pass anything on, as a network does that loses a cable."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.frozen = asyncio.Event()
        self._streams: list[asyncio.StreamWriter] = []

    async def open_stream(self, _: int):
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        stream = await asyncio.open_connection("127.0.0.1", port)
        server.close()
        return stream

    async def _serve(self, reader, writer):
        frozen = self.frozen
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target)
        self._streams += [writer, up_writer]

        async def pump(source, sink):
            while data := await source.read(1 << 16):
                if frozen.is_set():
                    return
                sink.write(data)

        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

    def freeze(self) -> None:
        """Freeze the connections that there are; new ones pass."""
        self.frozen.set()
        self.frozen = asyncio.Event()

    def close(self) -> None:
        for writer in self._streams:
            writer.close()


async def test_a_connection_that_goes_silent_is_given_up(monkeypatch):
    monkeypatch.setattr(connection, "SILENCE", 8.0)
    async with keeper() as kept:
        proxy = FreezingProxy(kept.port)
        async with linked(kept):  # the keeper listens
            pass
        async with linked(proxy) as link, connected(link) as client:
            proxy.freeze()
            id_ = client.execute("print('over another connection')")
            assert (await finish(client, id_)).text == "over another connection\n"
        proxy.close()
