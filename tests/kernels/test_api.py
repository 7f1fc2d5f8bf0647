"""The Python API: sessions for scripts and for asyncio, over the real service."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time

import cloudpickle
import farlab_kernels
import pytest
from farlab_kernels.notebook.output import TerminalOutput
from farlab_kernels.remote_errors import DeadKernelError, RemoteError
from farlab_kernels.session import attach_session, open_session
from farlab_kernels.wishes import WishError
from farlab_kernels.worker import StartError
from farlab_real.fake_service import FakeService
from farlab_real.processes import wait_until
from farlab_real.service import RunningService

PATIENCE = 120

# A notebook's functions go by value; so do these, which a kernel could not import.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with RunningService(tmp_path_factory.mktemp("service")) as here:
        yield here


@pytest.fixture
def _environment(service, monkeypatch):
    for name, value in service.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def waiting(tmp_path, monkeypatch):
    """A service whose workloads wait for `release`."""
    with FakeService(tmp_path / "jobs", hold=True) as here:
        for name, value in here.environment.items():
            monkeypatch.setenv(name, value)
        yield here


def double(x):
    return 2 * x


@pytest.mark.usefixtures("_environment")
def test_a_session_for_a_script(service, capfd, tmp_path):
    with farlab_kernels.connect("vega", name="script") as vega:
        assert (vega.name, vega.site, vega.alive) == ("script", "vega", True)
        vega.push(x=20)
        vega.run("import sys\ny = 2 * x + 2\nprint('there')\nprint('oh', file=sys.stderr)\ny")
        assert vega.pull("x", "y") == (20, 42)
        assert vega.call(double, 4) == 8
        assert vega.map(double, range(100)) == [2 * x for x in range(100)]
        assert vega.submit(double, 5).result(PATIENCE) == 10
        with pytest.raises(ZeroDivisionError) as caught:
            vega.run("1 / 0")
        assert isinstance(caught.value.__cause__, RemoteError)
        with pytest.raises(ValueError, match="no integer"):
            vega.call(fails, "no integer")
        vega.call(speaks, "a word")
        (tmp_path / "file").write_text("data")
        vega.put_file(tmp_path / "file")
        assert vega.get_file("file", tmp_path / "back").read_text() == "data"
        farlab_kernels.attach("script").detach()
    service.wait_until_empty()
    printed = capfd.readouterr()
    assert printed.out == "there\n42\na word\n"
    assert "oh\n" in printed.err
    assert "script is ready at vega" in printed.err


def fails(text):
    raise ValueError(text)


def speaks(text):
    print(text)


@pytest.mark.usefixtures("_environment")
async def test_workers_for_asyncio(service, tmp_path):
    seen = []
    async with await open_session("vega", workers=2, on_news=seen.append) as session:
        await session.run("import os\nme = os.getpid()")
        assert len(set(await session.pull("me"))) == 2
        assert await session.map(double, range(1000), chunksize=10) == [2 * x for x in range(1000)]
        # Two calls that wait for each other run at the same time.
        meeting = [session.submit(meet, tmp_path, name) for name in ("one", "two")]
        assert await asyncio.gather(*meeting) == ["one", "two"]
        stuck = session.submit(sleep)
        await asyncio.sleep(0.5)
        stuck.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stuck
        assert await session.map(double, [1, 2, 3, 4]) == [2, 4, 6, 8]
        with pytest.raises(WishError, match="at vega, not at elsewhere"):
            await open_session("elsewhere", name=session.name)
        again = await attach_session(session.name)
        assert len(again.workers) == 2
        await again.close()
        with pytest.raises(WishError, match="did you mean"):
            await attach_session(session.name + "x")
    assert any("worker 1" in text for text in seen)
    service.wait_until_empty()


def meet(folder, name):
    """Wait until the other one is there too."""
    (folder / name).touch()
    other = folder / ("two" if name == "one" else "one")
    deadline = time.monotonic() + PATIENCE
    while not other.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return name


def sleep():
    time.sleep(600)


def test_waits_say_why_and_leave_nothing_when_interrupted(waiting):
    code = """
        import farlab_kernels
        farlab_kernels.connect("vega")
    """
    script = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stderr=subprocess.PIPE, text=True
    )
    waiting.wait_for(waiting.live, "the workload")
    waiting.say("Waiting for resources: place 2 of 12")
    for line in script.stderr:
        if "place 2 of 12" in line:
            break
    script.send_signal(signal.SIGINT)
    _, rest = script.communicate(timeout=PATIENCE)
    assert "KeyboardInterrupt" in rest
    assert waiting.live() == []


async def test_a_start_that_fails_says_why(waiting):
    starting = asyncio.create_task(open_session("vega"))
    await asyncio.to_thread(waiting.wait_for, waiting.live, "the workload")
    await asyncio.to_thread(waiting.end, waiting.live()[0], "failed", "the partition is closed")
    with pytest.raises(StartError, match="the partition is closed"):
        await starting


async def test_an_image_without_ipykernel_says_so(tmp_path, monkeypatch):
    bare = tmp_path / "python"
    bare.write_text("#!/bin/sh\necho 'this image has no ipykernel in its Python' >&2\nexit 2\n")
    bare.chmod(0o755)
    with FakeService(tmp_path / "jobs", python=str(bare)) as service:
        for name, value in service.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(StartError, match="no ipykernel"):
            await open_session("vega")


async def test_a_job_that_ends_ends_its_cell(waiting):
    waiting.release()
    printed = []
    async with await open_session("vega") as session:
        running = asyncio.create_task(
            session.run(
                "import time\nprint('so far', flush=True)\ntime.sleep(600)",
                on_output=lambda message, _: printed.append(message["content"]),
            )
        )
        await asyncio.to_thread(waiting.wait_for, lambda: printed, "output")
        (workload,) = waiting.live()
        await asyncio.to_thread(waiting.end, workload, "failed", "the job met its walltime")
        with pytest.raises(DeadKernelError) as caught:
            await running
        assert caught.value.evalue
        assert printed[0]["text"] == "so far\n"
        assert not session.alive


@pytest.mark.usefixtures("_environment")
def test_ctrl_c_interrupts_the_cell_there(service, monkeypatch):
    show = TerminalOutput.show

    def press(self, message, worker=0):
        show(self, message, worker)
        if message["content"].get("text") == "on\n":
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(TerminalOutput, "show", press)
    with farlab_kernels.connect("vega") as vega:
        vega.run("kept = 1")
        with pytest.raises(KeyboardInterrupt):
            vega.run("import time\nprint('on', flush=True)\ntime.sleep(600)")
        assert vega.pull("kept") == 1


@pytest.mark.usefixtures("_environment")
async def test_a_large_transfer_reports_progress(service):
    reports = []
    async with await open_session("vega") as session:
        data = bytearray(60 * 2**20)
        await session.push(data=data, progress=lambda done, total: reports.append((done, total)))
        assert reports[-1][0] == reports[-1][1] >= len(data)
        assert await session.pull("data") == data


@pytest.mark.usefixtures("_environment")
def test_a_script_that_ends_leaves_a_detached_cell(service, tmp_path):
    code = f"""
        import farlab_kernels
        vega = farlab_kernels.connect("vega", name="left")
        vega.leave("import time, pathlib\\ntime.sleep(1)\\npathlib.Path('{tmp_path}/done').touch()")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=PATIENCE)
    wait_until((tmp_path / "done").exists, "the cell to end")
    farlab_kernels.attach("left").stop()
    service.wait_until_empty()


def test_the_magics_in_a_terminal(service):
    code = """
%load_ext farlab_kernels
x = 20
get_ipython().run_cell_magic("offload", "vega -i x -o y", "y = 2 * x\\nprint('there')\\ny + 2")
print("here", y)
get_ipython().run_cell_magic("offload", "", "1 / 0")
%offload stop
"""
    shell = [sys.executable, "-m", "IPython", "--colors=NoColor", "--no-banner", "--simple-prompt"]
    ended = subprocess.run(
        shell, input=code, capture_output=True, text=True, timeout=PATIENCE, check=False,
        env={**os.environ, **service.environment},
    )  # fmt: skip
    assert "there\n42\n" in ended.stdout
    assert "here 40\n" in ended.stdout
    assert "division by zero" in ended.stdout
    service.wait_until_empty()
