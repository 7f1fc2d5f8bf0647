"""Real lakes for the tests of the DataLake: one Rucio with everything in it, and a second one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from farlab_real.authority import Authority
from farlab_real.lake_server import LakeServer
from farlab_real.postgres import RunningPostgres
from farlab_real.rucio_server import RunningRucio
from farlab_real.rucio_world import OpenLake, fill, lake_of, password_of
from farlab_real.storage_fixtures import (  # noqa: F401
    doors,
    fts,
    s3_server,
    stac_api,
    static_catalogue,
)
from farlab_real.versitygw import RunningVersitygw
from farlab_server_ext.datalake.rucio.lake import RucioLake
from farlab_server_ext.datalake.rucio.paths import Here

# Only pytest-jupyter's fixtures, as in tests/server_ext/conftest.py.
from pytest_jupyter.jupyter_server import *  # noqa: F403
from tornado.httpclient import HTTPResponse

del pytest_pycollect_makeitem, pytest_pyfunc_call  # noqa: F821


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    """Refuse handlers that forgot to say who may call them."""
    return {
        "ServerApp": {
            "jpserver_extensions": {"farlab_server_ext": True},
            "allow_unauthenticated_access": False,
            # Its handlers are not ours, and warn.
            "terminals_enabled": False,
        }
    }


@pytest.fixture
def fetch(
    jp_fetch: Callable[..., Any], jp_asyncio_loop: asyncio.AbstractEventLoop
) -> Callable[..., HTTPResponse]:
    """Fetch a path with the server's token, from a test that is not async."""

    def call(*parts: str, **options: Any) -> HTTPResponse:
        async def inside() -> HTTPResponse:
            return await jp_fetch(*parts, **options)

        return jp_asyncio_loop.run_until_complete(inside())

    return call


@pytest.fixture(scope="session")
def postgres() -> Iterator[RunningPostgres]:
    """The database server of all the Rucios."""
    with RunningPostgres() as running:
        yield running


@pytest.fixture(scope="session")
def rucio(
    postgres: RunningPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningRucio]:
    """A Rucio that allows any name, with everything of `farlab_real.rucio_world`."""
    folder = tmp_path_factory.mktemp("rucio")
    with RunningRucio(folder, postgres, any_name=True) as running:
        fill(running)
        yield running


@pytest.fixture(scope="session")
def rucio_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that only those who are told trust: it signs for the second Rucio."""
    return Authority(tmp_path_factory.mktemp("rucio-authority"))


@pytest.fixture(scope="session")
def virgo(
    postgres: RunningPostgres,
    rucio_authority: Authority,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningRucio]:
    """Another Rucio, with TLS, which shares nothing with the first but the user's name."""
    folder = tmp_path_factory.mktemp("virgo")
    with RunningRucio(folder, postgres, name="virgo", authority=rucio_authority) as running:
        running.admin.add_user("virgo", password_of("virgo"), "user.virgo")
        running.admin.add_certificate("virgo", "/CN=virgo")
        yield running


@pytest.fixture(scope="session")
def lake_server(
    rucio: RunningRucio,
    s3_server: RunningVersitygw,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[LakeServer]:
    """A real JupyterLab at the RSE `VEGA`, to which alice has logged in."""
    with LakeServer(tmp_path_factory.mktemp("lab"), rucio, s3_server) as running:
        yield running


@pytest.fixture
async def open_lake(rucio: RunningRucio) -> AsyncIterator[OpenLake]:
    """Open the Rucio as a user, alice if nobody else."""
    opened = []

    def open_one(
        user: str = "alice", here: Here | None = None, url: str = "", silence: float = 60.0
    ) -> RucioLake:
        lake = lake_of(url or rucio.url, user, here, silence)
        opened.append(lake)
        return lake

    yield open_one
    for lake in opened:
        await lake.close()
