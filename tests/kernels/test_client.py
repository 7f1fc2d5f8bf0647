"""The client of the workloads API, and sessions over it."""

from __future__ import annotations

import pytest
from farlab_kernels.service.client import Client
from farlab_kernels.service.errors import NotConfiguredError
from farlab_kernels.service.settings import settings
from farlab_kernels.session import open_session
from farlab_real.fake_service import FakeService


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
    assert service.asked == [{"kind": "kernel", "site": "vega", "gpus": 1, "name": session.name}]
