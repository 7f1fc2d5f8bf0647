"""Programs of the Jupyter world with a kernel at the other end of a link."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import jupyter_kernel_test
import nbformat
from farlab_kernels.link.thread import LinkThread
from farlab_real.kernel_parts import (
    KEY,
    PATIENCE,
    connected,
    free_port,
    keeper,
    keeper_command,
    linked,
)
from jupyter_client.blocking.client import BlockingKernelClient
from nbclient import NotebookClient


@contextmanager
def thread() -> Iterator[tuple[LinkThread, subprocess.Popen[bytes]]]:
    """Run a keeper, and a link to it in a thread, for clients that block."""
    port = free_port()
    with tempfile.TemporaryDirectory() as own:  # a history that no other kernel writes to
        environment = {**os.environ, "FARLAB_KERNEL_KEY": KEY, "IPYTHONDIR": own}
        process = subprocess.Popen(keeper_command(str(port)), env=environment)
        try:
            with LinkThread(lambda _: asyncio.open_connection("127.0.0.1", port), KEY) as link:
                yield link, process
        finally:
            process.terminate()
            process.wait(PATIENCE)


class TestKernel(jupyter_kernel_test.KernelTests):
    """jupyter_kernel_test's own suite."""

    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    completion_samples = [{"text": "zi", "matches": {"zip"}}]  # noqa: RUF012
    complete_code_samples = ["1", "print('hello, world')", "def f(x):\n  return x*2\n\n\n"]  # noqa: RUF012
    incomplete_code_samples = ["print('''hello", "def f(x):\n  x*2"]  # noqa: RUF012
    invalid_code_samples = ["import = 7q"]  # noqa: RUF012
    code_page_something = "zip?"
    code_generate_error = "raise"
    code_execute_result = [{"code": "1+2+3", "result": "6"}]  # noqa: RUF012
    code_display_data = [  # noqa: RUF012
        {"code": "from IPython.display import HTML, display; display(HTML('<b>x</b>'))",
         "mime": "text/html"},
    ]  # fmt: skip
    code_history_pattern = "1?2*"
    supported_history_operations = ("tail", "search")  # as in ipykernel's own tests
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"

    @classmethod
    def setUpClass(cls) -> None:
        cls.context = thread()
        cls.link, cls.process = cls.context.__enter__()
        cls.kc = BlockingKernelClient(connection_file=cls.link.link.connection_file)
        cls.kc.load_connection_file()
        cls.kc.start_channels()
        cls.kc.wait_for_ready(timeout=PATIENCE)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.kc.shutdown()
        assert cls.process.wait(PATIENCE) == 0
        cls.kc.stop_channels()
        cls.context.__exit__(None, None, None)


def test_a_program_without_an_event_loop():
    with thread() as (link, _):
        client = BlockingKernelClient(connection_file=link.link.connection_file)
        client.load_connection_file()
        client.start_channels()
        client.wait_for_ready(timeout=PATIENCE)
        printed = []
        reply = client.execute_interactive(
            "print(6 * 7)", output_hook=printed.append, timeout=PATIENCE
        )
        assert reply["content"]["status"] == "ok"
        assert [m["content"]["text"] for m in printed if m["msg_type"] == "stream"] == ["42\n"]
        link.call(link.link.interrupt())
        assert link.link.alive
        client.stop_channels()


async def test_nbclient_runs_a_notebook():
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_code_cell("x = 6"),
        nbformat.v4.new_code_cell("print('product'); x * 7"),
    ]
    async with keeper() as kept, linked(kept) as link, connected(link) as client:
        runner = NotebookClient(notebook)
        runner.kc = client
        for number, cell in enumerate(notebook.cells):
            await runner.async_execute_cell(cell, number)
    stream, result = notebook.cells[1].outputs
    assert stream.text == "product\n"
    assert result.data["text/plain"] == "42"


async def test_another_process_uses_the_connection_file():
    """As `jupyter console --existing FILE` does."""
    program = (
        "import sys\n"
        "from jupyter_client.blocking import BlockingKernelClient\n"
        "client = BlockingKernelClient(connection_file=sys.argv[1])\n"
        "client.load_connection_file()\n"
        "client.start_channels()\n"
        "client.wait_for_ready(timeout=60)\n"
        "client.execute_interactive('print(6 * 7)', timeout=60)\n"
    )
    async with keeper() as kept, linked(kept) as link:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, link.connection_file, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert said.decode() == "42\n"
