"""Fixtures for the Jupyter server's side, which run it in the test's own process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

# Only pytest-jupyter's fixtures, and only in this folder: as a plugin it would run every
# async test of the project, which is pytest-asyncio's work here.
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
        # The client is made inside the loop: outside, an earlier async test may have left none.
        async def inside() -> HTTPResponse:
            return await jp_fetch(*parts, **options)

        return jp_asyncio_loop.run_until_complete(inside())

    return call
