"""The client of the workloads API, and sessions over it."""

from __future__ import annotations

import asyncio

import pytest
from farlab_kernels.magics.names import used
from farlab_kernels.notebook.waiting import Presses
from farlab_kernels.service.client import Client
from farlab_kernels.service.errors import NotConfiguredError, ServiceError, UnreachableError
from farlab_kernels.service.settings import Settings, settings
from farlab_kernels.session import open_session
from farlab_kernels.wishes import Wish, WishError, check_name, choose_site, new_name
from farlab_real.fake_service import OTHER_TOKEN, FakeService


@pytest.fixture
def service(tmp_path, monkeypatch):
    with FakeService(tmp_path) as here:
        for name, value in here.environment.items():
            monkeypatch.setenv(name, value)
        yield here


@pytest.fixture
async def client(service):
    async with Client() as here:
        yield here


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "laptop"),
        ({"JUPYTERHUB_API_URL": "http://h", "JUPYTERHUB_API_TOKEN": "t"}, "operator"),
        ({"FARLAB_API_URL": "http://h/api/"}, "FARLAB_API_TOKEN"),
        ({"FARLAB_API_URL": "h/api", "FARLAB_API_TOKEN": "t"}, "no address"),
    ],
)
def test_it_says_what_to_set(environment, words):
    with pytest.raises(NotConfiguredError, match=words):
        settings(environment)


def test_the_token_is_in_no_representation():
    assert "secret" not in repr(
        settings({"FARLAB_API_URL": "http://h", "FARLAB_API_TOKEN": "secret"})
    )


async def test_a_cell_through_the_service(service):
    printed = []
    async with await open_session("vega", gpus=1) as session:
        await session.push(x=20)
        await session.run("y = 2 * x + 2; print('there')", on_output=lambda m, _: printed.append(m))
        assert await session.pull("y") == 42
        assert [m["content"]["text"] for m in printed] == ["there\n"]
        await session.stop()
    assert service.live() == []
    (asked,) = service.asked
    assert asked.pop("uid")
    assert asked == {"kind": "kernel", "site": "vega", "gpus": 1, "name": session.name}


async def test_events_go_on_after_a_cut(service, client):
    workload = await client.create("vega", name="one")
    states = []

    async def follow():
        async for event in client.events(workload.uid):
            states.append(event.state)
            if event.state == "ready":
                await asyncio.to_thread(service.stop)
                await asyncio.to_thread(service.restart)
                asyncio.get_running_loop().create_task(client.cancel(workload.uid))

    async with asyncio.timeout(60):
        await follow()
    assert states == ["requested", "queued", "starting", "ready", "cancelled"]
    assert [event async for event in client.events(workload.uid, after=5)] == []


async def test_what_the_service_refuses_is_said_in_its_words(client):
    with pytest.raises(ServiceError, match=r"at most 8 GPUs\. Ask for less\.") as caught:
        await client.create("vega", gpus=9)
    assert (caught.value.code, caught.value.status) == ("quota", 403)


async def test_another_user_has_no_way_in(service, client):
    workload = await client.create("vega")
    other = Settings(service.url, OTHER_TOKEN)
    async with Client(other) as bob:
        assert await bob.list() == []
        for call in (
            bob.get(workload.uid),
            bob.cancel(workload.uid),
            bob.logs(workload.uid),
            bob.open_stream(workload.uid, 9000),
            anext(bob.events(workload.uid)),
            anext(bob.follow_logs(workload.uid)),
        ):
            with pytest.raises(ServiceError) as caught:
                await call
            assert caught.value.status == 404
    async with Client(Settings(service.url, "wrong")) as nobody:
        with pytest.raises(ServiceError, match="does not know this token"):
            await nobody.sites()
    await client.cancel(workload.uid)


async def test_no_service(client, service):
    service.stop()
    with pytest.raises(UnreachableError, match="does not answer"):
        await client.sites()
    with pytest.raises(UnreachableError):
        await client.open_stream("x", 9000)
    service.restart()


async def test_something_else_answers():
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n<ht>")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Client(Settings(f"http://127.0.0.1:{port}/", "t")) as client:
        with pytest.raises(ServiceError, match="is not the Farlab service"):
            await client.sites()


async def test_a_login_page_is_not_followed():
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Client(Settings(f"http://127.0.0.1:{port}/", "t")) as client:
        with pytest.raises(ServiceError, match="wants a login"):
            await client.sites()


@pytest.mark.parametrize(
    ("sites", "name", "words"),
    [
        ([], "", "no site where you may start a kernel"),
        ([{"name": "a"}, {"name": "b"}], "", "name a site. There are: a, b."),
        ([{"name": "a", "open": False, "reason": "down"}], "a", "a can't be used now: down"),
        ([{"name": "a", "open": False}], "", "none of your sites can be used now"),
        ([{"name": "vega"}], "veg", "did you mean vega?"),
        ([{"name": "a", "kernels": False}], "a", "no site where you may start a kernel"),
    ],
)
def test_which_site(sites, name, words):
    with pytest.raises(WishError) as caught:
        choose_site(sites, name)
    assert words in str(caught.value)


def test_a_notebook_asks_for_the_same_name_again():
    wish = Wish("vega", gpus=1)
    name = new_name(wish, "/home/ada/My Long Notebook (1).ipynb")
    assert check_name(name) == name
    assert name.startswith("vega-my-long-notebook-1-")
    assert new_name(wish, "/home/ada/My Long Notebook (1).ipynb") == name
    assert new_name(wish, "/home/ada/other/My Long Notebook (1).ipynb") != name
    assert new_name(Wish("vega"), "/home/ada/My Long Notebook (1).ipynb") != name
    assert new_name(wish, "") != new_name(wish, "")
    assert check_name(new_name(Wish("vega"), "x" * 200 + ".ipynb"))


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("print(model(x))", ["model", "x"]),
        ("x = 1\nx + y", ["y"]),
        ("def f(a):\n    return a * scale\nf(2)", ["scale"]),
        ("import numpy as np\nnp.ones(n)", ["n"]),
        ("%matplotlib inline\n!ls\nplot(data)", ["data", "plot"]),
        ("f'{name}'; [i for i in items]; lambda q: q + w", ["items", "name", "w"]),
        ("this is no python", []),
    ],
)
def test_the_names_that_a_cell_needs(code, names):
    assert used(code) == names


def test_presses_of_the_interrupt_button():
    times = [10.0, 11.0, 13.5, 20.0, 30.0, 32.0]
    presses = Presses(iter(times).__next__)
    assert [presses.press() for _ in times] == [1, 2, 3, 1, 1, 2]
