"""The magics, in a notebook's real kernel, with kernels of a site behind a service."""

from __future__ import annotations

import re

import pytest
from farlab_real.notebook_kernel import notebook
from farlab_real.service import RunningService


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with RunningService(tmp_path_factory.mktemp("service")) as here:
        yield here


@pytest.fixture
async def page(service):
    async with notebook(**service.environment) as here:
        yield here
        await here.run("%offload stop --all")


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
    assert len(service.live()) == 1


async def test_an_exception_is_what_it_is_there(page):
    await page.run("%%offload vega\nclass MyError(Exception): pass")
    result = await page.run("%%offload\ndef f():\n    return {}['key']\nf()")
    assert result.status == "error"
    assert result.reply["content"]["ename"] == "KeyError"
    (error,) = result.of("error")
    assert error["content"]["ename"] == "KeyError"
    assert error["content"]["evalue"] == "'key'"
    shown = traceback(result)
    assert shown.count("KeyError") == 2  # the first and the last line of one traceback
    assert "farlab" not in shown.replace("%%offload", "")
    assert "line 3" in shown  # as in the notebook's cell
    own = await page.run("%%offload\nraise MyError('mine')")
    assert own.of("error")[0]["content"]["ename"] == "MyError"
    assert own.of("error")[0]["content"]["evalue"] == "mine"
    syntax = await page.run("%%offload\nif x\n    pass")
    assert syntax.of("error")[0]["content"]["ename"] == "SyntaxError"
    assert "if x" in traceback(syntax)


async def test_a_missing_name_is_offered(page):
    await page.run("import math as m\nmodel, data, x = 1, 2, 3")
    await page.run("%%offload vega -i x\n1")
    result = await page.run("%%offload\nprint(model + data + x + m.pi + y)")
    shown = traceback(result)
    assert "`model`, `data` are defined here but not at vega: add -i model data" in shown
    assert "write `import math as m` in the cell" in shown


async def test_input_is_asked_here(page):
    await page.run("%%offload vega\n1")
    id_ = page.begin("%%offload\nimport getpass\nprint(input('who? ') + getpass.getpass('pw? '))")
    asked = await page.until(lambda: page.asked and page.asked[-1], "the question")
    assert asked["content"]["prompt"] == "who? "
    page.client.input("ada")
    asked = await page.until(lambda: len(page.asked) > 1 and page.asked[-1], "the password")
    assert asked["content"]["password"]
    page.client.input("!")
    assert texts(await page.end(id_)) == "ada!\n"


async def test_interrupts(page):
    await page.run("%%offload vega\nkept = 1")
    id_ = page.begin("%%offload\nimport time\nprint('on', flush=True)\ntime.sleep(600)")
    await page.until_printed("on", id_)
    await page.manager.interrupt_kernel()
    result = await page.end(id_)
    assert result.reply["content"]["ename"] == "KeyboardInterrupt"
    assert "time.sleep(600)" in traceback(result)
    assert texts(await page.run("%%offload\nprint(kept)")) == "1\n"


async def test_a_second_interrupt_starts_the_kernel_anew(page, service):
    await page.run("%%offload vega\nkept = 1")
    id_ = page.begin(
        "%%offload\nimport time\nprint('on', flush=True)\n"
        "while True:\n    try:\n        time.sleep(1)\n    except KeyboardInterrupt:\n"
        "        print('no', flush=True)"
    )
    await page.until_printed("on", id_)
    await page.manager.interrupt_kernel()
    await page.until_printed("no", id_)
    await page.manager.interrupt_kernel()
    result = await page.end(id_)
    assert result.status == "error"
    assert "restarted" in result.reply["content"]["evalue"]
    assert texts(await page.run("%%offload\nprint('kept' in dir())")) == "False\n"
    assert len(service.live()) == 1


@pytest.mark.parametrize("subshell", [False, True])
async def test_a_slider_moves_both_ways_while_its_cell_runs(page, subshell):
    header = {}
    if subshell:
        request = page.client.session.msg("create_subshell_request", {})
        page.client.control_channel.send(request)
        reply = await page.client.get_control_msg(timeout=60)
        header = {"subshell_id": reply["content"]["subshell_id"]}
    id_ = page.begin(
        "%%offload vega\n"
        "import threading, comm\n"
        "moved = threading.Event()\n"
        "c = comm.create_comm(target_name='jupyter.widget', comm_id='slider',\n"
        "                     data={'state': {'msg_id': ''}}, buffers=[b'abc'])\n"
        "def heard(message):\n"
        "    print('heard', message['content']['data']['value'], bytes(message['buffers'][0]))\n"
        "    c.send({'echo': message['content']['data']['value']}, buffers=[b'xyz'])\n"
        "    if message['content']['data']['value'] == 3: moved.set()\n"
        "c.on_msg(heard)\n"
        "print('shown', flush=True)\n"
        "print(moved.wait(60))"
    )
    await page.until_printed("shown", id_)
    (opened,) = [m for m in page.of(id_) if m["msg_type"] == "comm_open"]
    assert opened["content"]["target_name"] == "jupyter.widget"
    assert [bytes(buffer) for buffer in opened["buffers"]] == [b"abc"]
    sent = [
        page.send("comm_msg", {"comm_id": "slider", "data": {"value": value}}, [b"123"], **header)
        for value in (1, 2, 3)
    ]
    assert texts(await page.end(id_)) == "shown\nTrue\n"
    for number, message in enumerate(sent, 1):
        await page.until(
            lambda message=message: any(
                m["content"].get("execution_state") == "idle" for m in page.of(message)
            ),
            "the frontend's message to be done with",
        )
        kinds = [m["msg_type"] for m in page.of(message)]
        assert kinds[0] == kinds[-1] == "status"
        (echo,) = [m for m in page.of(message) if m["msg_type"] == "comm_msg"]
        assert echo["content"]["data"] == {"echo": number}
        assert bytes(echo["buffers"][0]) == b"xyz"
        (heard,) = [m for m in page.of(message) if m["msg_type"] == "stream"]
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
