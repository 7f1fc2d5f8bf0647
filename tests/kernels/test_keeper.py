"""A kernel through keeper and link, without a relay: it is as if it were local."""

from __future__ import annotations

import asyncio
import time

import pytest
from farlab_kernels.link.thread import LinkThread
from farlab_real.kernel_parts import (
    KEY,
    PATIENCE,
    Keeper,
    connected,
    execute,
    finish,
    linked,
    running_keeper,
    until_printed,
)


@pytest.fixture(scope="module")
def kept():
    """One kernel for all of these tests: they leave it as good as they found it."""
    with running_keeper() as here:
        yield here


@pytest.fixture
async def link(kept: Keeper):
    async with linked(kept) as here:
        yield here


@pytest.fixture
async def client(link):
    async with connected(link) as here:
        yield here


async def test_a_cell_prints_shows_returns_and_raises(client):
    result = await execute(
        client,
        "import sys\n"
        "print('out')\n"
        "print('err', file=sys.stderr)\n"
        "from IPython.display import display, HTML, clear_output\n"
        "shown = display(HTML('<b>1</b>'), display_id=True)\n"
        "shown.update(HTML('<b>2</b>'))\n"
        "clear_output(wait=True)\n"
        "1 + 1",
    )
    assert result.status == "ok"
    assert result.text == "out\n"
    assert {m["content"]["name"] for m in result.of("stream")} == {"stdout", "stderr"}
    (shown,), (updated,) = result.of("display_data"), result.of("update_display_data")
    assert shown["content"]["transient"] == updated["content"]["transient"]
    assert updated["content"]["data"]["text/html"] == "<b>2</b>"
    assert result.of("clear_output")
    assert result.of("execute_result")[0]["content"]["data"]["text/plain"] == "2"
    failed = await execute(client, "1 / 0")
    assert failed.status == "error"
    assert failed.of("error")[0]["content"]["ename"] == "ZeroDivisionError"
    assert "division by zero" in "".join(failed.of("error")[0]["content"]["traceback"])


async def test_the_kernel_does_not_have_the_key(client):
    result = await execute(client, "import os; 'FARLAB_KERNEL_KEY' in os.environ")
    assert result.of("execute_result")[0]["content"]["data"]["text/plain"] == "False"


async def test_no_warning_of_the_transport_reaches_a_cell(client):
    result = await execute(client, "pass")
    assert result.of("stream") == []


async def test_two_clients_are_asked_for_input_each_its_own(link, client):
    async with connected(link) as other:

        async def ask(one, name):
            id_ = one.execute(f"print(input('who is {name}? '))", allow_stdin=True)
            request = await one.get_stdin_msg(timeout=PATIENCE)
            assert request["content"]["prompt"] == f"who is {name}? "
            one.input(name.upper())
            return (await finish(one, id_)).text

        assert await asyncio.gather(ask(client, "a"), ask(other, "b")) == ["A\n", "B\n"]


async def test_comms_go_both_ways_with_buffers(client):
    await execute(
        client,
        "def opened(comm, message):\n"
        "    def heard(message):\n"
        "        comm.send({'got': message['content']['data']['x']},\n"
        "                  buffers=[bytes(message['buffers'][0])[::-1]])\n"
        "    comm.on_msg(heard)\n"
        "get_ipython().kernel.comm_manager.register_target('echo', opened)",
    )
    send = client.session.send
    socket = client.shell_channel.socket
    send(socket, "comm_open", {"comm_id": "c1", "target_name": "echo", "data": {}})
    send(socket, "comm_msg", {"comm_id": "c1", "data": {"x": 7}}, buffers=[b"abc"])
    while True:
        message = await client.get_iopub_msg(timeout=PATIENCE)
        if message["msg_type"] == "comm_msg":
            break
    assert message["content"] == {"comm_id": "c1", "data": {"got": 7}}
    assert bytes(message["buffers"][0]) == b"cba"


async def test_a_comm_message_passes_cells_that_wait(client):
    """A slider works while its cell runs, and another cell is queued behind it."""
    await execute(
        client,
        "import asyncio\n"
        "moved = asyncio.Event()\n"
        "get_ipython().kernel.comm_manager.register_target(\n"
        "    'slider', lambda comm, message: comm.on_msg(lambda message: moved.set()))",
    )
    send, socket = client.session.send, client.shell_channel.socket
    send(socket, "comm_open", {"comm_id": "s", "target_name": "slider", "data": {}})
    waits = client.execute("print('waiting', flush=True); await moved.wait()")
    await until_printed(client, "waiting")
    queued = client.execute("print('next')")
    send(socket, "comm_msg", {"comm_id": "s", "data": {}})
    assert (await finish(client, waits)).status == "ok"
    assert (await finish(client, queued)).text == "next\n"


async def test_interrupt_and_a_second_interrupt(link, client):
    stubborn = client.execute(
        "import time\n"
        "try:\n"
        "    print('one', flush=True); time.sleep(600)\n"
        "except KeyboardInterrupt:\n"
        "    print('two', flush=True); time.sleep(600)"
    )
    await until_printed(client, "one")
    await link.interrupt()
    await until_printed(client, "two")
    await link.interrupt()
    result = await finish(client, stubborn)
    assert result.reply["content"]["ename"] == "KeyboardInterrupt"
    assert (await execute(client, "print('alive')")).text == "alive\n"


async def test_an_interrupt_by_message(client):
    id_ = client.execute("import time; print('on', flush=True); time.sleep(600)")
    await until_printed(client, "on")
    message = client.session.msg("interrupt_request", {})
    client.control_channel.send(message)
    reply = await client.get_control_msg(timeout=PATIENCE)
    assert reply["msg_type"] == "interrupt_reply"
    assert reply["parent_header"]["msg_id"] == message["header"]["msg_id"]
    assert (await finish(client, id_)).reply["content"]["ename"] == "KeyboardInterrupt"


async def test_5000_cells_at_once_lose_nothing(kept: Keeper):
    with LinkThread(kept.open_stream, KEY) as link:
        async with connected(link.link) as client:
            await all_of_5000_cells(client)


async def all_of_5000_cells(client):
    ids = [client.execute(f"print({number})", store_history=False) for number in range(5000)]
    idle, printed, replies = set(), [], []

    async def listen():
        while len(idle) < len(ids):
            message = await client.get_iopub_msg(timeout=PATIENCE)
            if message["content"].get("execution_state") == "idle":
                idle.add(message["parent_header"]["msg_id"])
            elif message["msg_type"] == "stream":
                printed.append(message["content"]["text"])

    async def answers():
        while len(replies) < len(ids):
            reply = await client.get_shell_msg(timeout=PATIENCE)
            assert reply["content"]["status"] == "ok"
            replies.append(reply["parent_header"]["msg_id"])

    await asyncio.gather(listen(), answers())
    assert replies == ids
    assert idle >= set(ids)
    assert "".join(printed) == "".join(f"{number}\n" for number in range(5000))


async def test_a_failing_cell_aborts_those_that_wait(client):
    first = client.execute("import time; time.sleep(0.5); 1 / 0")
    ids = [client.execute(f"ran = {number}") for number in range(200)]
    assert (await finish(client, first)).status == "error"
    for id_ in ids:
        reply = await client.get_shell_msg(timeout=PATIENCE)
        assert reply["parent_header"]["msg_id"] == id_
        assert reply["content"]["status"] == "aborted"
    assert (await execute(client, "'ran' in dir()")).of("execute_result")[0]["content"]["data"][
        "text/plain"
    ] == "False"


async def test_a_failing_cell_may_leave_the_others_alone(client):
    client.execute("import time; time.sleep(0.5); 1 / 0", stop_on_error=False)
    last = client.execute("print('still')")
    assert (await finish(client, last)).text == "still\n"


async def test_100000_lines(client):
    result = await execute(client, "for i in range(100_000): print(i)")
    assert result.text == "".join(f"{i}\n" for i in range(100_000))


async def test_one_large_message(client):
    result = await execute(client, "print('x' * 30_000_000)")
    assert result.text == "x" * 30_000_000 + "\n"


async def test_a_request_that_is_none_blocks_nothing(client):
    for _ in range(60):  # more than may be in flight
        client.session.send(client.shell_channel.socket, "nonsense_request", {})
        client.session.send(client.shell_channel.socket, "execute_request", {"no": "code"})
    client.shell_channel.socket.send_multipart([b"no", b"message"])
    assert (await execute(client, "print('fine')")).text == "fine\n"


async def test_subshells_do_not_wait_for_each_other(client):
    create = client.session.msg("create_subshell_request", {})
    client.control_channel.send(create)
    reply = await client.get_control_msg(timeout=PATIENCE)
    await execute(client, "import threading; go = threading.Event()")
    long = client.execute("print('on', flush=True); go.wait()")
    await until_printed(client, "on")
    message = client.session.msg(
        "execute_request", {"code": "go.set()", "silent": False, "stop_on_error": True}
    )
    message["header"]["subshell_id"] = reply["content"]["subshell_id"]
    client.shell_channel.send(message)
    assert (await finish(client, long)).status == "ok"


async def test_the_heartbeat_beats(client):
    deadline = time.monotonic() + PATIENCE
    while not await client._async_is_alive():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
