"""jupyter_kernel_test's suite against a kernel at a site, and Jupyter's own programs with it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import ClassVar

import jupyter_kernel_test
import nbformat
import pytest
from farlab_kernels.provisioning.kernelspecs_cli import main
from farlab_real.service import RunningService

PATIENCE = 120


@pytest.fixture(scope="module", autouse=True)
def service(tmp_path_factory):
    """Run a service, and let Jupyter know the kernels of its site."""
    folder = tmp_path_factory.mktemp("suite")
    with pytest.MonkeyPatch.context() as patch, RunningService(folder / "service") as here:
        patch.setenv("JUPYTER_DATA_DIR", str(folder / "jupyter"))
        for name, value in here.environment.items():
            patch.setenv(name, value)
        main(["install"])
        yield here
        here.wait_until_empty()


class TestSuite(jupyter_kernel_test.KernelTests):
    """The suite, as ipykernel itself passes it."""

    kernel_name = "farlab-vega-small"
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    completion_samples: ClassVar = [{"text": "zi", "matches": {"zip"}}]
    complete_code_samples: ClassVar = ["1", "print('hello, world')", "def f(x):\n  return x*2\n\n"]
    incomplete_code_samples: ClassVar = ["print('''hello", "def f(x):\n  x*2"]
    invalid_code_samples: ClassVar = ["import = 7q"]
    code_page_something = "zip?"
    code_generate_error = "raise"
    code_execute_result: ClassVar = [
        {"code": "1+2+3", "result": "6"},
        {"code": "[n*n for n in range(1, 4)]", "result": "[1, 4, 9]"},
    ]
    code_display_data: ClassVar = [
        {"code": "from IPython.display import HTML, display; display(HTML('<b>test</b>'))",
         "mime": "text/html"},
    ]  # fmt: skip
    code_history_pattern = "1?2*"
    supported_history_operations = ("tail", "search")
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.kc.execute_interactive("pass", timeout=PATIENCE)  # from now on the kernel is there
        # The suite waits a tenth of a second for some messages: not enough for a busy machine.
        get = cls.kc.iopub_channel.get_msg
        cls.kc.iopub_channel.get_msg = lambda timeout=None: get(timeout=PATIENCE)

    def execute_helper(self, code, timeout=PATIENCE, **options):
        return super().execute_helper(code, timeout, **options)

    def flush_channels(self):
        """Receive all there is, to the end of what is asked for now."""
        asked = self.kc.kernel_info()
        over = {"reply": False, "idle": False}
        while not over["reply"]:
            reply = self.kc.get_shell_msg(timeout=PATIENCE)
            over["reply"] = reply["parent_header"]["msg_id"] == asked
        while not over["idle"]:
            message = self.kc.iopub_channel.get_msg()
            ours = message["parent_header"].get("msg_id") == asked
            over["idle"] = ours and message["content"].get("execution_state") == "idle"


def run(*command: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, timeout=PATIENCE,
        check=False, **options,
    )  # fmt: skip


def test_jupyter_execute(tmp_path):
    path = tmp_path / "book.ipynb"
    cells = [nbformat.v4.new_code_cell("import os\nos.environ['FARLAB_SITE']")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    ended = run("jupyter", "execute", "--inplace", "--kernel_name=farlab-vega-small", str(path))
    assert ended.returncode == 0, ended.stderr
    (cell,) = json.loads(path.read_text())["cells"]
    results = [out for out in cell["outputs"] if out["output_type"] == "execute_result"]
    assert results[0]["data"]["text/plain"] == ["'vega'"]


def test_jupyter_console():
    ended = run(
        "jupyter", "console", "--kernel=farlab-vega-small", "--simple-prompt",
        input="import os; print('at', os.environ['FARLAB_SITE'])\nexit\n",
    )  # fmt: skip
    assert "at vega" in ended.stdout, ended.stderr
