"""What goes wrong around a kernel: deaths, restarts, wrong keys, clients that come and go."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest
from farlab_kernels.keeper import app, memory
from farlab_kernels.keeper.launch import launch
from farlab_kernels.keeper.process import KernelProcess
from farlab_kernels.link.link import EndedError, KernelLink, RefusedError
from farlab_real.kernel_parts import (
    KEY,
    PATIENCE,
    Keeper,
    connected,
    execute,
    finish,
    free_port,
    keeper,
    keeper_command,
    linked,
    until_printed,
)
from farlab_real.relay_parts import eventually, tcp_server


async def kernel_pid(client) -> int:
    return int((await execute(client, "import os; print(os.getpid())")).text)


async def test_a_killed_kernel_ends_its_cells_with_the_reason_and_can_be_restarted():
    async with keeper() as kept, linked(kept) as link, connected(link) as client:
        pid = await kernel_pid(client)
        running = client.execute("import time; print('so far', flush=True); time.sleep(600)")
        waiting = client.execute("print('never')")
        await until_printed(client, "so far")
        os.kill(pid, signal.SIGKILL)
        result = await finish(client, running)
        assert result.reply["content"]["ename"] == "DeadKernelError"
        assert "killed by signal 9" in result.of("error")[0]["content"]["evalue"]
        assert (await finish(client, waiting)).status == "aborted"
        await eventually(lambda: link.kernel.state == "dead")
        assert "killed by signal 9" in link.kernel.reason
        assert not link.alive
        assert (await execute(client, "1")).reply["content"]["ename"] == "DeadKernelError"
        await link.restart()
        assert link.alive
        assert (await execute(client, "print('again')")).text == "again\n"
        assert kept.process.poll() is None


async def test_restart_keeps_the_job_and_forgets_the_variables():
    async with keeper() as kept, linked(kept) as link, connected(link) as client:
        await execute(client, "x = 1")
        pid = await kernel_pid(client)
        running = client.execute("import time; time.sleep(600)")
        await link.restart()
        assert "restarted" in (await finish(client, running)).reply["content"]["evalue"]
        assert await kernel_pid(client) != pid
        result = await execute(client, "print('x' in dir())")
        assert result.text == "False\n"
        assert link.kernel.generation == 2


async def test_restart_by_message():
    async with keeper() as kept, linked(kept) as link, connected(link) as client:
        client.shutdown(restart=True)
        reply = await client.get_control_msg(timeout=PATIENCE)
        assert reply["content"]["restart"] is True
        await asyncio.wait_for(link.wait_for(lambda kernel: kernel.generation == 2), PATIENCE)
        assert (await execute(client, "print('again')")).text == "again\n"


async def test_shutdown_ends_the_keeper_with_0():
    async with keeper() as kept, linked(kept) as link, connected(link) as client:
        client.shutdown()
        assert await kept.wait() == 0
        assert link.kernel.state == "ended"
        with pytest.raises(EndedError, match="shut down"):
            await link.restart()


async def test_end_does_not_wait_for_a_busy_kernel():
    async with keeper() as kept, linked(kept) as link, connected(link) as client:
        client.execute("import time; print('on', flush=True)\nwhile True: pass")
        await until_printed(client, "on")
        await asyncio.wait_for(link.end(), PATIENCE)
        assert await kept.wait() == 0


async def test_a_job_that_meets_its_walltime_says_so_in_the_cell():
    deadline = str(int(time.time()) + 60)
    async with (
        keeper(FARLAB_DEADLINE=deadline) as kept,
        linked(kept) as link,
        connected(link) as client,
    ):
        running = client.execute("import time; print('so far', flush=True); time.sleep(600)")
        await until_printed(client, "so far")
        kept.process.send_signal(signal.SIGTERM)
        result = await finish(client, running)
        assert result.reply["content"]["evalue"] == "the job met its walltime"
        assert await kept.wait() == 143


async def test_nothing_is_left_when_the_keeper_is_killed(tmp_path: Path):
    async with keeper(TMPDIR=str(tmp_path)) as kept, linked(kept) as link:
        async with connected(link) as client:
            pid = await kernel_pid(client)
        kept.process.kill()

        def gone() -> bool:
            try:
                return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
            except FileNotFoundError:
                return True

        await eventually(gone)


async def test_the_keeper_leaves_no_files():
    with tempfile.TemporaryDirectory() as temporary:
        async with keeper(TMPDIR=temporary) as kept, linked(kept) as link:
            (folder,) = Path(temporary).iterdir()
            assert folder.stat().st_mode & 0o777 == 0o700
            await link.end()
            await kept.wait()
            assert list(Path(temporary).iterdir()) == []


async def test_a_wrong_key_is_refused():
    async with keeper() as kept:
        wrong = KernelLink(kept.open_stream, KEY[::-1])
        async with linked(kept):  # the keeper listens
            with pytest.raises(RefusedError, match="key"):
                await asyncio.wait_for(wrong.start(), PATIENCE)


async def test_a_client_that_says_nonsense_is_refused():
    async with keeper() as kept, linked(kept):
        reader, writer = await kept.open_stream(0)
        await reader.readline()
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
        writer.close()


async def test_an_impostor_at_the_keepers_port_is_refused():
    async def impostor(reader, writer):
        """Says yes to everybody, and knows no key."""
        writer.write(b'{"keeper": 1, "nonce": "00"}\n')
        await reader.readline()
        writer.write(b'{"answer": "{}", "proof": "00"}\n')
        await writer.drain()

    async with tcp_server(impostor) as port:
        link = KernelLink(lambda _: asyncio.open_connection("127.0.0.1", port), KEY)
        with pytest.raises(RefusedError, match="does not have this kernel's key"):
            await asyncio.wait_for(link.start(), PATIENCE)


async def test_two_links_share_a_kernel_but_not_replies():
    async with (
        keeper() as kept,
        linked(kept) as one,
        linked(kept) as two,
        connected(one) as first,
        connected(two) as second,
    ):
        await execute(first, "x = 40")
        assert (await execute(first, "x += 2; print(x)")).text == "42\n"
        # The second sees what the first's cell printed, and shares the variables.
        await until_printed(second, "42")
        assert (await execute(second, "print(x)")).text == "42\n"


LINK_PROGRAM = """
import asyncio, sys
from farlab_kernels.link.link import KernelLink
from jupyter_client.asynchronous.client import AsyncKernelClient

async def main(port, key):
    link = KernelLink(lambda _: asyncio.open_connection("127.0.0.1", port), key)
    await link.start()
    client = AsyncKernelClient(connection_file=link.connection_file)
    client.load_connection_file()
    client.start_channels()
    await client.wait_for_ready()
    id_ = client.execute(sys.argv[3])
    while True:
        message = await client.get_iopub_msg()
        if message["msg_type"] == "stream":
            print(link.client, link.seen, id_, flush=True)

asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
"""


async def start_and_kill_a_link(kept: Keeper, code: str) -> tuple[str, int, str]:
    """Run a cell from another process, which is killed when the cell has printed something."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LINK_PROGRAM, str(kept.port), KEY, code,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
    process.kill()
    await process.wait()
    client, seen, cell = line.decode().split()
    return client, int(seen), cell


async def test_a_link_that_was_killed_comes_back_and_misses_nothing(tmp_path: Path):
    go = tmp_path / "go"
    code = f"""
import time, pathlib
print("before", flush=True)
while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.01)
for i in range(1000): print(i, flush=True)
"""
    async with keeper() as kept, linked(kept) as other:  # the keeper listens
        client, seen, cell = await start_and_kill_a_link(kept, code)
        (known,) = [one for one in await other.cells() if one["id"] == cell]
        assert known["status"] == ""
        assert known["client"] == client
        go.touch()
        said = [message async for message in other.history(cell, follow=True)]
        numbers = "".join(f"{i}\n" for i in range(1000))
        assert "".join(m.content["text"] for m in said if m.kind == "stream") == (
            f"before\n{numbers}"
        )
        assert [m.number for m in said] == sorted({m.number for m in said})
        assert {m.kind for m in said} >= {"execute_input", "execute_reply", "status"}
        later = [message async for message in other.history(cell, since=seen)]
        assert "".join(m.content["text"] for m in later if m.kind == "stream") == numbers
        # The same session in another process gets what is new, the reply for its client too.
        async with linked(kept, client=client, seen=seen) as again:
            await eventually(lambda: again.seen >= later[-1].number)


async def test_the_process_that_took_over_a_session_keeps_it():
    async with keeper() as kept, linked(kept) as first, linked(kept, client=first.client):
        await eventually(lambda: first.kernel.state == "ended")
        assert "taken over" in first.kernel.reason


async def test_what_is_sent_behind_the_end_of_a_workload_is_answered():
    async with keeper() as kept, linked(kept) as link, connected(link) as client:
        link.fail("the partition is closed")
        result = await execute(client, "print('never')")
        assert result.reply["content"]["ename"] == "DeadKernelError"
        assert result.reply["content"]["evalue"] == "the partition is closed"


async def test_history_knows_no_such_cell():
    async with keeper() as kept, linked(kept) as link:
        with pytest.raises(RefusedError, match="no cell nonsense"):
            async for _ in link.history("nonsense"):
                pass


async def run_keeper(**environment: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *keeper_command(str(free_port())),
        env={**os.environ, **environment},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_a_key_that_is_too_short_is_no_key():
    code, said = await run_keeper(FARLAB_KERNEL_KEY="short")
    assert code == 2
    assert "at least 32 characters" in said


async def test_a_cell_that_did_not_come_with_its_job_is_an_error_in_words(tmp_path: Path):
    code, said = await run_keeper(FARLAB_KERNEL_KEY=KEY, FARLAB_FIRST_CELL=str(tmp_path / "no"))
    assert code == 1
    assert "the cell that came with the job can't be read" in said


async def test_a_kernel_that_cannot_start_is_an_error_in_words(tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nif 'farlab_kernels.keeper.kernel' in sys.orig_argv: sys.exit('no luck')\n"
    )
    code, said = await run_keeper(FARLAB_KERNEL_KEY=KEY, PYTHONPATH=str(tmp_path))
    assert code == 1
    assert "no luck" in said
    assert "could not be started: the kernel ended by itself with exit code 1" in said


async def test_a_port_that_is_taken_is_an_error_in_words():
    async with tcp_server(lambda reader, writer: asyncio.sleep(0)) as port:
        process = await asyncio.create_subprocess_exec(
            *keeper_command(str(port)),
            env={**os.environ, "FARLAB_KERNEL_KEY": KEY},
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode == 1
        assert f"can't listen on port {port}" in said.decode()


def test_an_image_without_ipykernel_is_told_what_to_do(monkeypatch):
    find = app.importlib.util.find_spec
    monkeypatch.setattr(
        app.importlib.util, "find_spec", lambda name: None if name == "ipykernel" else find(name)
    )
    with pytest.raises(app.UseError, match=r"no ipykernel.*pip install 'farlab\[job\]'"):
        app.check({"FARLAB_KERNEL_KEY": KEY})


async def test_a_kernel_that_runs_out_of_memory_says_so(monkeypatch, tmp_path: Path):
    # Containers let nobody make a control group: this one is files, and the test kills for it.
    monkeypatch.setattr(memory, "_files", lambda name2, _: [tmp_path / name2])
    (tmp_path / "memory.max").write_text(str(400 << 20))
    (tmp_path / "memory.events").write_text("oom 0\noom_kill 0\n")
    process = KernelProcess(launch(tmp_path, 1, KEY, os.environ))
    (tmp_path / "memory.events").write_text("oom 1\noom_kill 1\n")
    os.kill(process.pid, signal.SIGKILL)
    death = await asyncio.wait_for(process.ended, PATIENCE)
    assert "the kernel ran out of memory and was killed by the system" in death.reason
    assert "of the 400 MiB that this job may use" in death.reason


async def test_a_cell_that_may_have_no_more_memory_fails_and_its_kernel_goes_on():
    async with keeper() as kept, linked(kept) as link, connected(link) as client:
        code = "import resource\nx = 1\nresource.setrlimit(resource.RLIMIT_AS, (4 << 30, -1))"
        assert (await execute(client, code)).status == "ok"
        result = await execute(client, "bytearray(8 << 30)")
        assert result.reply["content"]["ename"] == "MemoryError"
        assert (await execute(client, "print(x)")).text == "1\n"


def test_memory_limits_are_read_from_either_version(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(memory, "_files", lambda name2, name1: [tmp_path / name2, tmp_path / name1])
    assert (memory.kills(), memory.limit()) == (0, None)
    (tmp_path / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    (tmp_path / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert (memory.kills(), memory.limit()) == (3, None)
    (tmp_path / "memory.events").write_text("low 0\noom 1\noom_kill 2\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert (memory.kills(), memory.limit()) == (2, None)
    (tmp_path / "memory.max").write_text("1073741824\n")
    assert memory.limit() == 1 << 30
    assert memory.words(1 << 30) == "1.0 GiB"
