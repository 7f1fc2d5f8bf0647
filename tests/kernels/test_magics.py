"""The magics, in a notebook's real kernel, with kernels of a site behind a service."""

from __future__ import annotations

import asyncio
import re

import pytest
import pytest_asyncio
from farlab_real.notebook_kernel import notebook
from farlab_real.service import RunningService

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with RunningService(tmp_path_factory.mktemp("service")) as here:
        yield here


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def notebook_page(service):
    async with notebook(**service.environment) as here:
        yield here


@pytest_asyncio.fixture(loop_scope="module")
async def page(notebook_page):
    """One notebook for all tests; each begins with a kernel of its own at the site, or none."""
    yield notebook_page
    await notebook_page.run("%offload stop --all")


@pytest_asyncio.fixture(loop_scope="module")
async def warm(notebook_page):
    """The notebook with a kernel at the site that the tests share."""
    result = await notebook_page.run("%offload use vega --name shared")
    assert result.status == "ok"
    return notebook_page


def texts(result, name="stdout"):
    found = [m["content"] for m in result.of("stream")]
    return "".join(content["text"] for content in found if content["name"] == name)


def traceback(result):
    (error,) = result.of("error")
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error["content"]["traceback"]))


async def test_a_cell_looks_local(page):
    await page.run("x = 20")
    result = await page.run(
        "%%offload vega -i x -o y\n"
        "import sys\n"
        "from IPython.display import HTML, clear_output, display\n"
        "print('out')\n"
        "print('err', file=sys.stderr)\n"
        "shown = display(HTML('<b>1</b>'), display_id=True)\n"
        "shown.update(HTML('<b>2</b>'))\n"
        "clear_output(wait=True)\n"
        "y = 2 * x + 2\n"
        "y"
    )
    assert result.status == "ok", result.reply
    assert texts(result) == "out\n"
    assert texts(result, "stderr") == "err\n"
    (shown,) = [
        m["content"] for m in result.of("display_data") if "text/html" in m["content"]["data"]
    ]
    updated = result.of("update_display_data")[-1]["content"]
    assert shown["transient"] == updated["transient"]
    assert updated["data"]["text/html"] == "<b>2</b>"
    assert result.of("clear_output")[0]["content"] == {"wait": True}
    value = result.of("execute_result")[0]["content"]
    assert value["data"]["text/plain"] == "42"
    assert value["execution_count"] == result.of("execute_input")[0]["content"]["execution_count"]
    assert texts(await page.run("print(y)")) == "42\n"


async def test_outputs_come_back_and_the_kernel_stays_warm(page, service):
    await page.run("x = 20")
    await page.run("%%offload vega -i x -o y z\ny, z = x + 1, x + 2")
    result = await page.run("%%offload -o w\nw = y + z\nprint(y, z)")
    assert texts(result) == "21 22\n"
    assert "at vega (vega-" in texts(result, "stderr")
    assert texts(await page.run("print(y, z, w)")) == "21 22 43\n"
    service.wait_until_live(1)


async def test_an_exception_is_what_it_is_there(warm):
    await warm.run("%%offload\nclass MyError(Exception): pass")
    result = await warm.run("%%offload\ndef f():\n    return {}['key']\nf()")
    assert result.status == "error"
    assert result.reply["content"]["ename"] == "KeyError"
    (error,) = result.of("error")
    assert error["content"]["ename"] == "KeyError"
    assert error["content"]["evalue"] == "'key'"
    shown = traceback(result)
    assert shown.count("KeyError") == 2  # the first and the last line of one traceback
    assert "farlab" not in shown.replace("%%offload", "")
    assert "line 3" in shown  # as in the notebook's cell
    own = await warm.run("%%offload\nraise MyError('mine')")
    assert own.of("error")[0]["content"]["ename"] == "MyError"
    assert own.of("error")[0]["content"]["evalue"] == "mine"
    syntax = await warm.run("%%offload\nif x\n    pass")
    assert syntax.of("error")[0]["content"]["ename"] == "SyntaxError"
    assert "if x" in traceback(syntax)


async def test_a_missing_name_is_offered(warm):
    await warm.run("import math as m\na_model, some_data, x = 1, 2, 3")
    await warm.run("%%offload -i x\n1")
    result = await warm.run("%%offload\nprint(a_model + some_data + x + m.pi + neither)")
    shown = traceback(result)
    advice = "`a_model`, `some_data` are defined here but not at vega: add -i a_model some_data"
    assert advice in shown
    assert "write `import math as m` in the cell" in shown


async def test_input_is_asked_here(warm):
    before = len(warm.asked)
    id_ = warm.begin("%%offload\nimport getpass\nprint(input('who? ') + getpass.getpass('pw? '))")
    asked = await warm.until(lambda: warm.asked[before:], "the question")
    assert asked[0]["content"]["prompt"] == "who? "
    warm.client.input("ada")
    asked = await warm.until(lambda: warm.asked[before + 1 :], "the password")
    assert asked[0]["content"]["password"]
    warm.client.input("!")
    assert texts(await warm.end(id_)) == "ada!\n"


async def test_interrupts(warm):
    await warm.run("%%offload\nkept = 1")
    id_ = warm.begin("%%offload\nimport time\nprint('on', flush=True)\ntime.sleep(600)")
    await warm.until_printed("on", id_)
    await warm.manager.interrupt_kernel()
    result = await warm.end(id_)
    assert result.reply["content"]["ename"] == "KeyboardInterrupt"
    assert "time.sleep(600)" in traceback(result)
    assert texts(await warm.run("%%offload\nprint(kept)")) == "1\n"


async def test_a_second_interrupt_starts_the_kernel_anew(warm, service):
    await warm.run("%%offload\nkept = 1")
    id_ = warm.begin(
        "%%offload\nimport time\nprint('on', flush=True)\n"
        "while True:\n    try:\n        time.sleep(1)\n    except KeyboardInterrupt:\n"
        "        print('no', flush=True)"
    )
    await warm.until_printed("on", id_)
    await warm.manager.interrupt_kernel()
    await warm.until_printed("no", id_)
    await warm.manager.interrupt_kernel()
    result = await warm.end(id_)
    assert result.status == "error"
    assert "restarted" in result.reply["content"]["evalue"]
    assert texts(await warm.run("%%offload\nprint('kept' in dir())")) == "False\n"
    service.wait_until_live(1)


@pytest.mark.parametrize("subshell", [False, True])
async def test_a_slider_moves_both_ways_while_its_cell_runs(warm, subshell):
    header, slider = {}, f"slider-{subshell}"
    if subshell:
        request = warm.client.session.msg("create_subshell_request", {})
        warm.client.control_channel.send(request)
        reply = await warm.client.get_control_msg(timeout=60)
        header = {"subshell_id": reply["content"]["subshell_id"]}
    id_ = warm.begin(
        "%%offload\n"
        "import threading, comm\n"
        "moved = threading.Event()\n"
        f"c = comm.create_comm(target_name='jupyter.widget', comm_id='{slider}',\n"
        "                     data=dict(state=dict(msg_id='')), buffers=[b'abc'])\n"
        "def heard(message):\n"
        "    print('heard', message['content']['data']['value'], bytes(message['buffers'][0]))\n"
        "    c.send({'echo': message['content']['data']['value']}, buffers=[b'xyz'])\n"
        "    if message['content']['data']['value'] == 3: moved.set()\n"
        "c.on_msg(heard)\n"
        "print('shown', flush=True)\n"
        "print(moved.wait(60))"
    )
    await warm.until_printed("shown", id_)
    (opened,) = [m for m in warm.of(id_) if m["msg_type"] == "comm_open"]
    assert opened["content"]["target_name"] == "jupyter.widget"
    assert [bytes(buffer) for buffer in opened["buffers"]] == [b"abc"]
    sent = [
        warm.send("comm_msg", {"comm_id": slider, "data": {"value": value}}, [b"123"], **header)
        for value in (1, 2, 3)
    ]
    assert texts(await warm.end(id_)) == "shown\nTrue\n"
    for number, message in enumerate(sent, 1):
        await warm.until(
            lambda message=message: any(
                m["content"].get("execution_state") == "idle" for m in warm.of(message)
            ),
            "the frontend's message to be done with",
        )
        kinds = [m["msg_type"] for m in warm.of(message)]
        assert kinds[0] == kinds[-1] == "status"
        (echo,) = [m for m in warm.of(message) if m["msg_type"] == "comm_msg"]
        assert echo["content"]["data"] == {"echo": number}
        assert bytes(echo["buffers"][0]) == b"xyz"
        (heard,) = [m for m in warm.of(message) if m["msg_type"] == "stream"]
        assert heard["content"]["text"] == f"heard {number} b'123'\n"


async def test_a_detached_cell_and_its_variables_are_fetched(page):
    await page.run("x = 2")
    begun = await page.run(
        "%%offload vega --name train -i x -o y --detach\nfor i in range(3): print(i)\ny = x * 21\ny"
    )
    assert begun.status == "ok"
    assert "%offload attach train" in texts(begun, "stderr")
    result = await page.run("%offload attach train")
    assert texts(result) == "0\n1\n2\n"
    assert result.of("execute_result")[0]["content"]["data"]["text/plain"] == "42"
    assert texts(await page.run("print(y)")) == "42\n"


async def test_a_cell_goes_on_without_its_notebook(service, tmp_path):
    async with notebook(**service.environment) as first:
        id_ = first.begin(
            "%%offload vega --name long -o done\n"
            "import time, os\n"
            "print('begun', flush=True)\n"
            f"while not os.path.exists('{tmp_path}/go'): time.sleep(0.05)\n"
            "for i in range(2000): print(i, flush=True)\n"
            "done = 'all'\n"
            "raise ValueError('at the end')"
        )
        await first.until_printed("begun", id_)
    async with notebook(**service.environment) as second:
        id_ = second.begin("%offload attach long")
        await second.until_printed("begun", id_)
        (tmp_path / "go").touch()
        result = await second.end(id_)
        assert texts(result) == "begun\n" + "".join(f"{i}\n" for i in range(2000))
        assert result.reply["content"]["ename"] == "ValueError"
        assert texts(await second.run("%%offload\nprint(done)")) == "all\n"
        await second.run("%offload stop long")
    service.wait_until_empty()


async def test_widgets(warm):
    id_ = warm.begin(
        "%%offload\n"
        "import time\n"
        "import ipywidgets\n"
        "slider, out = ipywidgets.IntSlider(), ipywidgets.Output()\n"
        "slider.observe(lambda change: print('moved to', change['new']), 'value')\n"
        "display(slider, out)\n"
        "with out:\n"
        "    print('captured')\n"
        "deadline = time.monotonic() + 60\n"
        "while slider.value != 7 and time.monotonic() < deadline: time.sleep(0.01)\n"
        "print(slider.value)"
    )
    models = await warm.until(lambda: opened(warm, id_, "IntSliderModel"), "the slider")
    comm = models[0]["content"]["comm_id"]
    moved = warm.send("comm_msg", {"comm_id": comm, "data": update(value=7)})
    result = await warm.end(id_)
    assert texts(result).endswith("7\n")
    await warm.until_printed("moved to 7", moved)
    # What an Output widget captures is looked for by the notebook's own cell.
    captured = [
        m["content"]["data"]["state"]["msg_id"]
        for m in result.of("comm_msg")
        if "msg_id" in m["content"]["data"].get("state", {})
    ]
    assert captured == [id_, ""]
    later = warm.send("comm_msg", {"comm_id": comm, "data": update(value=8)})
    await warm.until_printed("moved to 8", later)


def opened(page, id_, name):
    """Return the messages that open comms of a widget's model."""
    found = [m for m in page.of(id_) if m["msg_type"] == "comm_open"]
    return [m for m in found if m["content"]["data"]["state"].get("_model_name") == name]


def update(**state):
    return {"method": "update", "state": state, "buffer_paths": []}


async def test_a_progress_bar(warm):
    result = await warm.run(
        "%%offload\nfrom tqdm import tqdm\nfor _ in tqdm(range(3), desc='epochs'): pass"
    )
    assert "epochs: 100%" in texts(result, "stderr")
    assert "\r" in texts(result, "stderr")


async def test_a_plot(warm):
    result = await warm.run(
        "%%offload\n"
        "%matplotlib inline\n"
        "import matplotlib.pyplot as plt\n"
        "plt.plot([1, 2])\n"
        "plt.show()"
    )
    assert "image/png" in result.of("display_data")[-1]["content"]["data"]


async def test_100000_lines(warm):
    result = await warm.run("%%offload\nfor i in range(100_000): print(i)")
    assert texts(result) == "".join(f"{i}\n" for i in range(100_000))


async def test_output_can_be_captured(warm):
    await warm.run("%%capture kept\nget_ipython().run_cell_magic('offload', '', 'print(1)\\n2')")
    result = await warm.run("print(kept.stdout.strip(), len(kept.outputs))")
    assert texts(result) == "1 1\n"


async def test_files_go_there_and_come_back(warm, tmp_path):
    (tmp_path / "in.txt").write_text("hello")
    await warm.run(f"%cd -q {tmp_path}")
    result = await warm.run(
        "%%offload --put in.txt --get out.txt\n"
        "text = open('in.txt').read()\n"
        "_ = open('out.txt', 'w').write(text.upper())"
    )
    assert result.status == "ok"
    assert (tmp_path / "out.txt").read_text() == "HELLO"


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("%%offload veg\n1", "there is no site veg; did you mean vega?"),
        ("%%offload vega --profile smal\n1", "vega has no profile smal; did you mean small?"),
        ("%%offload vega --gpus 3\n1", "gpus"),
        ("%%offload -i modle\n1", "modle: not defined here"),
        ("%%offload --put nothing.txt\n1", "there is no file nothing.txt here"),
        ("%%offload -o a.b\n1", "-o takes names of variables"),
        ("%%offload --name BAD\n1", "'BAD' is no name"),
        ("%%offload --workers 0\n1", "0 workers are none"),
        ("%%offload --nonsense\n1", "unrecognized arguments"),
        ("%offload stop nobody", "nothing called nobody runs"),
        ("%offload attach nobody", "nothing called nobody runs"),
        ("%offload logs nobody", "nothing called nobody runs"),
        ("%offload fly", "invalid choice"),
    ],
)
async def test_what_can_not_be_is_said_in_one_line(warm, cell, words):
    result = await warm.run(cell)
    assert result.status == "error"
    assert words in texts(result, "stderr")
    assert "Traceback" not in texts(result, "stderr")
    assert result.of("error") == []


async def test_what_can_not_travel_is_said(warm):
    await warm.run("import threading\nlock = threading.Lock()")
    result = await warm.run("%%offload -i lock\n1")
    assert "lock" in result.reply["content"]["evalue"]
    assert len(traceback(result).splitlines()) < 4
    result = await warm.run("%%offload -o nowhere\n1")
    assert "nowhere is not defined at vega" in result.reply["content"]["evalue"]
    result = await warm.run("%%offload --get nowhere.txt\n1")
    assert "nowhere.txt" in result.reply["content"]["evalue"]


async def test_commands(warm):
    assert "vega  Vega  small" in texts(await warm.run("%offload sites"))
    status = texts(await warm.run("%offload"))
    assert re.search(r"^\*\s+shared\s+vega\s+ready", status, re.M)
    assert (await warm.run("%offload logs shared")).status == "ok"
    shown = await warm.run("%%offload?")
    assert "--walltime" in str(shown.reply["content"]["payload"])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("%%offload v", "vega"),
        ("%%offload vega --profile ", "small"),
        ("%offload st", "status"),
        ("%offload attach ", "shared"),
        ("%%offload vega --wall", "--walltime"),
    ],
)
async def test_completion(warm, line, words):
    id_ = warm.client.complete(line, len(line))
    reply = await warm.until(lambda: warm.replies.get(id_), "the completions")
    assert words in reply["content"]["matches"]


async def test_a_kernel_that_was_killed_and_what_follows(page):
    await page.run("%%offload vega\nkept = 1")
    result = await page.run(
        "%%offload\n"
        "import os, signal, time\n"
        "print('so far', flush=True)\n"
        "time.sleep(1)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert texts(result) == "so far\n"
    assert result.reply["content"]["ename"] == "DeadKernelError"
    assert "killed by signal 9" in traceback(result)
    again = await page.run("%%offload\nprint('kept' in dir())")
    assert texts(again) == "False\n"
    assert "started anew" in texts(again, "stderr")


async def test_the_service_goes_away_while_a_cell_prints(warm, service):
    id_ = warm.begin(
        "%%offload\nimport time\nfor i in range(1500):\n    print(i, flush=True); time.sleep(0.002)"
    )
    await warm.until_printed("100\n", id_)
    await asyncio.to_thread(service.stop)
    await asyncio.to_thread(service.restart)
    result = await warm.end(id_)
    assert texts(result) == "".join(f"{i}\n" for i in range(1500))


async def test_two_notebooks_with_one_kernel(warm, service):
    await warm.run("%%offload\nshared_value = 1")
    async with notebook(**service.environment) as other:
        result = await other.run("%%offload --name shared\nshared_value += 1\nprint('other')")
        assert texts(result) == "other\n"
    result = await warm.run("%%offload\nprint(shared_value)")
    assert texts(result) == "2\n"
    assert "other" not in "".join(m["content"].get("text", "") for m in warm.seen)


async def test_several_workers(page):
    result = await page.run(
        "%%offload vega --workers 2 --name team -o me\nimport os\nme = os.getpid()\nprint('here')"
    )
    assert texts(result) == "here\nhere\n"
    assert texts(await page.run("print(len(set(me)))")) == "2\n"
    failed = await page.run("%%offload\nraise ValueError(1)")
    assert failed.reply["content"]["ename"] == "ValueError"
    assert "team-2" in texts(await page.run("%offload status"))
