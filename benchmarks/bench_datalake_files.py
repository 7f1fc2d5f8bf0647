"""Measure uploads and downloads of one large file and of many small ones, and 50 users listing.

Into a Rucio at an RSE of this machine, beside `rucio upload` and `rucio download`; into an object
store, beside `rclone`. Each figure is the peer's time through ours. The peers are started as users
start them, and so are our jobs: a call to the Jupyter server that has been running.

    python benchmarks/bench_datalake_files.py [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "real"))

from farlab_kernels.datalake import transfers
from farlab_kernels.datalake.client import LakeClient
from farlab_kernels.datalake.paths import Place
from farlab_kernels.service.settings import Settings
from farlab_real import rucio_seed
from farlab_real.counting import CountingProxy
from farlab_real.lab import TOKEN
from farlab_real.lake_server import BUCKET, LakeServer
from farlab_real.postgres import RunningPostgres
from farlab_real.rucio_conf import ROOT_PASSWORD
from farlab_real.rucio_server import RunningRucio
from farlab_real.rucio_world import lake_of, password_of
from farlab_real.versitygw import RunningVersitygw
from stopping import exit_on_sigterm

RUCIO = Path(__file__).parents[1] / ".venv-rucio-jupyterlab" / "bin" / "rucio"
RCLONE = shutil.which("rclone")
MIB = 2**20
PATIENCE = 900.0
SMALL = 10_000
"""Bytes of a small file."""
USERS = 50
ROWS = 100
CONFIGURATION = """\
[client]
rucio_host = {url}
auth_host = {url}
auth_type = userpass
username = root
password = {password}
account = root
[policy]
permission = generic
schema = generic
lfn2pfn_algorithm_default = hash
"""


@dataclass
class World:
    """What is measured, and the peers' settings."""

    server: LakeServer
    folder: Path
    environment: dict[str, str]
    store: RunningVersitygw

    def ours(self, work: Callable[[LakeClient], Any]) -> None:
        """Run our client against the server."""

        async def inside() -> None:
            where = Settings(f"{self.server.lab.url}farlab/datalake/", TOKEN)
            async with LakeClient(where) as client:
                await work(client)

        asyncio.run(inside())

    def put(self, source: Path, lake: str, to: str) -> None:
        """Upload as `%datalake put` does."""
        kind = "dataset" if ":" in to else "folder"
        prefix = f"{source.name}/" if source.is_dir() else ""
        wanted = {"lake": lake, "source": str(source), kind: to, "prefix": prefix}
        self.ours(lambda client: transfers.put(client, wanted, lambda _: None))

    def get(self, lake: str, path: str) -> None:
        """Download as `%datalake get` does."""
        target = tempfile.mkdtemp(dir=self.folder)
        place = Place(lake, path)
        self.ours(lambda client: transfers.get(client, place, target, lambda _: None))

    def rucio(self, *words: str) -> None:
        """Run Rucio's command line."""
        run([str(RUCIO), *words], self.environment)

    def rclone(self, *words: str) -> None:
        """Run rclone; its remote is the object store."""
        # Its own look at the bucket never ends with this store.
        run([str(RCLONE), *words, "--s3-no-check-bucket"], self.environment)


def main() -> None:
    """Start everything, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less bytes and files")
    quick = parser.parse_args().quick
    size, count = (64 * MIB, 100) if quick else (1024 * MIB, 5000)
    exit_on_sigterm()
    # A page is read as far as it goes, and then dropped: the proxy would tell of each.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="farlab-bench-")))
        postgres = stack.enter_context(RunningPostgres())
        rucio = stack.enter_context(RunningRucio(folder / "rucio", postgres, workers=2))
        rucio.admin.add_user("alice", password_of("alice"))
        rucio.admin.call("POST", "/accounts/alice/attr/admin", {"key": "admin", "value": "true"})
        rucio.admin.add_scope("bench")
        rucio.admin.add_rse("VEGA", rucio.folder / "vega")
        for account in ("root", "alice"):
            rucio.admin.allow(account, "VEGA")
        store = stack.enter_context(RunningVersitygw(folder / "s3"))
        server = stack.enter_context(LakeServer(folder / "lab", rucio, store))
        world = World(server, folder, environment_of(folder, rucio, store), store)
        large, small = sources(folder / "sources", size, count)
        measure(world, "large", large)
        measure(world, "small", small)
        users(rucio)


def environment_of(folder: Path, rucio: RunningRucio, store: RunningVersitygw) -> dict[str, str]:
    """Return what the peers need in their environment."""
    (folder / "client" / "etc").mkdir(parents=True)
    text = CONFIGURATION.format(url=rucio.url, password=ROOT_PASSWORD)
    (folder / "client" / "etc" / "rucio.cfg").write_text(text)
    found = {"RUCIO_HOME": str(folder / "client"), "HOME": str(folder), "TMPDIR": str(folder)}
    remote = {"TYPE": "s3", "PROVIDER": "Other", "ENDPOINT": store.endpoint, "REGION": store.region}
    remote |= {"ACCESS_KEY_ID": store.key, "SECRET_ACCESS_KEY": store.secret}
    found |= {f"RCLONE_CONFIG_STORE_{key}": value for key, value in remote.items()}
    # A bundle of authorities for AWS is none of rclone's kind of connections.
    own = {key: text for key, text in os.environ.items() if key != "AWS_CA_BUNDLE"}
    return own | found


def sources(folder: Path, size: int, count: int) -> tuple[Path, Path]:
    """Write a large file and a folder of small ones; return both."""
    (folder / "small").mkdir(parents=True)
    block = os.urandom(MIB)
    with (folder / "large.bin").open("wb") as file:
        for _ in range(size // MIB):
            file.write(block)
    for number in range(count):
        (folder / "small" / f"part-{number:05d}").write_bytes(os.urandom(SMALL))
    return folder / "large.bin", folder / "small"


def measure(world: World, what: str, source: Path) -> None:
    """Upload and download by all, and print the ratios."""
    theirs = copy_of(source)
    name = source.name
    ours = timed(lambda: world.put(source, "escape", f"bench:our-{what}"))
    peer = timed(
        lambda: world.rucio("upload", "--rse", "VEGA", "--scope", "bench", *names_in(theirs))
    )
    show(f"upload_{what}_rucio_ratio", peer / ours)
    got = f"bench:{name}" if source.is_file() else f"bench:our-{what}"
    ours = timed(lambda: world.get("escape", got))
    target = tempfile.mkdtemp(dir=world.folder)
    peer = timed(lambda: world.rucio("download", "--dir", target, got))
    show(f"download_{what}_rucio_ratio", peer / ours)
    if RCLONE is None:
        print("# rclone is not installed", flush=True)
        return
    ours = timed(lambda: world.put(source, "store", f"our-{what}"))
    peer = timed(lambda: world.rclone("copy", str(source), f"store:{BUCKET}/their-{what}"))
    show(f"upload_{what}_rclone_ratio", peer / ours)
    ours = timed(lambda: world.get("store", f"our-{what}"))
    target = tempfile.mkdtemp(dir=world.folder)
    peer = timed(lambda: world.rclone("copy", f"store:{BUCKET}/their-{what}", target))
    show(f"download_{what}_rclone_ratio", peer / ours)


def copy_of(source: Path) -> Path:
    """Return the same files under other names: no DID can be registered twice."""
    other = source.with_name(f"their-{source.name}")
    if source.is_file():
        os.link(source, other)
        return other
    other.mkdir()
    for file in source.iterdir():
        os.link(file, other / f"their-{file.name}")
    return other


def names_in(path: Path) -> list[str]:
    """Return a file, or the files of a folder."""
    return [str(path)] if path.is_file() else sorted(str(one) for one in path.iterdir())


def users(rucio: RunningRucio) -> None:
    """Let 50 users list a dataset at once, each with a lake of its own, and count the requests."""
    rucio_seed.add_files(rucio, "bench", "row-", 10 * ROWS, "VEGA")
    rucio_seed.add_dataset(rucio, "bench", "rows", "row-", 10 * ROWS)

    async def inside() -> float:
        async with CountingProxy(rucio.url) as proxy:
            lakes = [lake_of(proxy.url, "alice") for _ in range(USERS)]
            for lake in lakes:
                await lake.client.who.token()
            before = proxy.requests
            pages = await asyncio.gather(*(lake.children("bench:rows", "", ROWS) for lake in lakes))
            assert all(len(page.entries) == ROWS for page in pages)
            counted = proxy.requests - before
            for lake in lakes:
                await lake.close()
        return counted / USERS

    show("requests_per_listing", asyncio.run(inside()), "<=")


def run(command: list[str], environment: dict[str, str]) -> None:
    """Run a peer; say what it said if it fails."""
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:3])} failed: {done.stdout}{done.stderr}")


def timed(work: Callable[[], object]) -> float:
    """Return how long something takes, in seconds."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def show(name: str, value: float, sign: str = ">=") -> None:
    """Print one figure."""
    print(f"bench datalake.{name} {value:.3g} goal {sign} 1", flush=True)


if __name__ == "__main__":
    main()
