"""Fixtures of real storage: doors, S3, STAC, an FTS stand-in. A conftest.py names them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from farlab_server_ext.datalake.endpoint import Endpoint
from farlab_server_ext.datalake.logins import TokenLogins
from farlab_server_ext.datalake.storage.webdav import WebdavLake
from farlab_server_ext.datalake.tokens import Token, token_of

from farlab_real.fts_stand_in import FtsStandIn
from farlab_real.stac_server import RunningStacApi, StaticCatalogue
from farlab_real.versitygw import RunningVersitygw
from farlab_real.xrootd import Door, XrootdDoors


class IssuedTokens:
    """A token source that asks `issue` each time, which a test gives."""

    def __init__(self, issue: Callable[[], str]) -> None:
        self.issue = issue

    async def token(self, audience: str, scope: str) -> Token:
        """Return what was issued, ended or not: the doors are to see it."""
        return token_of(self.issue())


@pytest.fixture(scope="session")
def doors() -> Iterator[XrootdDoors]:
    """Two XRootD doors with their authority and their token issuer."""
    with XrootdDoors() as running:
        yield running


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningVersitygw]:
    """An S3 server without buckets."""
    with RunningVersitygw(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(scope="session")
def stac_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStacApi]:
    """A STAC API."""
    with RunningStacApi(tmp_path_factory.mktemp("stac")) as running:
        yield running


@pytest.fixture(scope="session")
def static_catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StaticCatalogue]:
    """A static STAC catalogue."""
    with StaticCatalogue(tmp_path_factory.mktemp("catalogue")) as running:
        yield running


@pytest.fixture(scope="session")
def fts(doors: XrootdDoors, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FtsStandIn]:
    """A stand-in for FTS3 that trusts the doors."""
    with FtsStandIn(tmp_path_factory.mktemp("fts"), doors.authority.ca) as running:
        yield running


def door_lake(
    doors: XrootdDoors,
    door: Door,
    issue: Callable[[], str] | None = None,
    *,
    folder: str = "",
    url: str = "",
) -> WebdavLake:
    """Return a lake of a door's folder, with tokens from `issue`, or else fresh ones."""
    endpoint = Endpoint(
        f"Door {door.name}",
        f"{url or door.url}/{folder}",
        ca=str(doors.authority.ca),
        logins=TokenLogins(IssuedTokens(issue or doors.issuer.token), "", ""),
    )
    return WebdavLake(door.name, f"Door {door.name}", endpoint)
