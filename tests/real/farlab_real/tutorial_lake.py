"""The lake of the tutorial and of the demo: a real Rucio with a small data set, and what is beside.

    with TutorialLake(folder) as lake:
        lake.add_user("alice", home)    # her logins are in home/.lakes
        lake.addresses                  # of the lakes in demo/sites.yaml

Three RSEs, each a folder: CLOUD and HPC, which the sites of these names read, and ARCHIVE, from
which data has to be brought. A stand-in for FTS carries the files, because no FTS can be installed.
Beside the Rucio there are an S3 store, where its server is built, and a STAC catalogue.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import permutations
from pathlib import Path
from types import TracebackType
from typing import Self

from farlab_real import climate
from farlab_real.fts_stand_in import FtsStandIn
from farlab_real.postgres import RunningPostgres
from farlab_real.rucio_admin import RucioAdmin
from farlab_real.rucio_conf import ROOT_PASSWORD
from farlab_real.rucio_daemons import RunningDaemons
from farlab_real.rucio_server import RunningRucio
from farlab_real.tutorial_stac import PublicFolder, write_catalogue
from farlab_real.versitygw import RunningVersitygw

SCOPE = "climate"
RSES = ("CLOUD", "HPC", "ARCHIVE")
RESULTS, STAC = "results", "stac"
"""The buckets of the store."""


class TutorialLake:
    """Everything of it, from `with` to the end of the block."""

    def __init__(self, folder: Path, *, with_store: bool = True) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._with_store = with_store
        self._stack = ExitStack()
        self.store: RunningVersitygw | None = None
        self.public_url = ""

    def __enter__(self) -> Self:
        with ExitStack() as stack, ThreadPoolExecutor() as pool:
            # Each takes seconds, and none needs another.
            files, zarr = pool.submit(climate.files), pool.submit(climate.zarr)
            if self._with_store:
                self.store = stack.enter_context(RunningVersitygw(self.folder))
                self.store.bucket(RESULTS)
            fts = stack.enter_context(FtsStandIn(self.folder))
            postgres = stack.enter_context(RunningPostgres())
            self.rucio = stack.enter_context(
                RunningRucio(self.folder / "rucio", postgres, any_name=True)
            )
            self.daemons = stack.enter_context(RunningDaemons(self.rucio))
            self._make_rses(fts.url)
            self._fill(files.result(), zarr.result())
            host = self.rucio.url.removeprefix("http://")
            write_catalogue(self.public, host, SCOPE, files.result())
            self.public_url = stack.enter_context(PublicFolder(self.public)).url
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def rse_folder(self, rse: str) -> Path:
        """Return the folder of an RSE."""
        return self.folder / rse.lower()

    @property
    def public(self) -> Path:
        """The folder of the STAC catalogue; a bucket, where there is a store."""
        return self.store.bucket(STAC) if self.store else self.folder / STAC

    @property
    def addresses(self) -> dict[str, str]:
        """Where each of the lakes is."""
        store = {"store": self.store.endpoint} if self.store else {}
        return {"rucio": self.rucio.url, **store, "stac": f"{self.public_url}/catalog.json"}

    def add_user(self, account: str, home: Path) -> None:
        """Make an account, and put its logins into its home."""
        add_user(self.addresses, account, home)

    def _make_rses(self, fts: str) -> None:
        admin = self.rucio.admin
        for rse in RSES:
            admin.add_rse(rse, self.rse_folder(rse))
            admin.call("POST", f"/rses/{rse}/attr/fts", {"value": fts})
            admin.allow("root", rse)
        for one, other in permutations(RSES, 2):
            admin.call("POST", f"/rses/{one}/distances/{other}", {"distance": 1})

    def _fill(self, files: dict[str, bytes], zarr: dict[str, bytes]) -> None:
        fields = {name: data for name, data in files.items() if name.endswith(".nc")}
        single = {name: data for name, data in files.items() if name not in fields}
        years = f"{climate.YEARS[0]}-{climate.YEARS[-1]}"
        about = {"variable": "t2m", "years": years, "made": "from a formula, not measured"}
        self.rucio.admin.add_scope(SCOPE)
        self._dataset(
            "t2m", fields, ("ARCHIVE",), {**about, "format": "NetCDF", "grid": "5 degrees"}
        )
        self._dataset(
            "cube", zarr, ("CLOUD", "HPC"), {**about, "format": "Zarr", "grid": "5 degrees"}
        )
        self._dataset("stations", single, ("CLOUD", "HPC"), {**about, "format": "CSV"})
        self.rucio.admin.add_dataset(SCOPE, "all", "CONTAINER")
        names = [(SCOPE, name) for name in ("t2m", "cube", "stations")]
        self.rucio.admin.attach(SCOPE, "all", names)

    def _dataset(
        self, name: str, files: dict[str, bytes], rses: tuple[str, ...], about: dict[str, str]
    ) -> None:
        admin = self.rucio.admin
        for rse in rses:
            admin.put(rse, self.rse_folder(rse), SCOPE, files)
        admin.add_dataset(SCOPE, name)
        admin.attach(SCOPE, name, [(SCOPE, file) for file in files])
        for rse in rses:
            admin.rule(SCOPE, name, rse)
        admin.call("POST", f"/dids/{SCOPE}/{name}/meta", {"meta": about})


def add_user(addresses: Mapping[str, str], account: str, home: Path) -> None:
    """Make an account with a scope and quotas, and put its logins into its home.

    Rucio's own permissions let nobody else add replicas, so everybody is an administrator.
    """
    admin = RucioAdmin(addresses["rucio"], "root", ROOT_PASSWORD)
    logins = home / ".lakes"
    if admin.has_account(account):
        return
    password = secrets.token_urlsafe(16)
    admin.add_user(account, password, f"user.{account}")
    admin.call("POST", f"/accounts/{account}/attr/admin", {"key": "admin", "value": "true"})
    for rse in RSES:
        admin.allow(account, rse)
    _write_login(logins / "rucio.json", account, password)
    if "store" in addresses:
        _write_login(logins / "store.json", RunningVersitygw.key, RunningVersitygw.secret)


def _write_login(file: Path, username: str, password: str) -> None:
    """Write a login to a file that nobody else may read."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.unlink(missing_ok=True)
    number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(number, "w") as out:
        json.dump({"username": username, "password": password}, out)
