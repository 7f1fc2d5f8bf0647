"""`%%offload --data`: data is made available at the cell's site, and its paths become variables."""

from __future__ import annotations

from typing import Any

from farlab_kernels.blocking_session import BlockingSession, notebook_shell, wait
from farlab_kernels.datalake import at_site
from farlab_kernels.datalake.client import PAGE, LakeClient
from farlab_kernels.datalake.downloads import files_below
from farlab_kernels.datalake.errors import LakeError
from farlab_kernels.datalake.listing import Listing
from farlab_kernels.datalake.paths import Place, dataset, split
from farlab_kernels.datalake.transfers import Tell, make_available
from farlab_kernels.loops import shared_loop
from farlab_kernels.notebook.news import News
from farlab_kernels.notebook.waiting import Waiting
from farlab_kernels.service.client import Client
from farlab_kernels.wishes import choose_site

DAYS = 14
"""For which data that a cell has asked for is kept at the site."""
NAME = "data"
"""The variable, where none is named."""
File = tuple[list[str], int | None]
"""A file's physical names at an RSE, and its size."""


def dids(wanted: list[str]) -> dict[str, str]:
    """Return the DID for each variable, of words such as `demo:days` or `days=demo:days`."""
    found: dict[str, str] = {}
    for word in wanted:
        # IPython leaves the quotes around what has blanks in it.
        name, mark, did = word.strip("'\"").partition("=")
        if not (mark and name.isidentifier()):
            name, did = NAME, word.strip("'\"")
        if name in found:
            words = f"{name} can't be both {found[name]} and {did}"
            raise LakeError(words, "Name the variables: --data x=DID y=DID.", code="wrong-input")
        found[name] = did
    return found


def ahead(site: str, wanted: dict[str, str]) -> None:
    """Make data available at a site before anything runs there; waits as `bring` does.

    Does nothing where the service does not tell the site's RSE: `bring` asks the kernel then.
    """
    waiting, news = Waiting(shared_loop()), News(notebook_shell())

    async def work() -> None:
        async with Client() as service:
            here = choose_site(await service.sites(), site).get("datalake")
        if not here:
            return
        async with LakeClient() as client:
            for did in wanted.values():
                place = _place(await client.lakes(), here, did)
                tell = waiting.inbox.wrap(news.tell)
                await make_available(client, place, here["rse"], DAYS, tell)

    wait(waiting, work())


def bring(session: BlockingSession, wanted: dict[str, str]) -> dict[str, Any]:
    """Make data available at a session's site; return the variables: a file's path, or a list.

    Waits; an interrupt ends the wait, and the lake goes on. Raises LakeError.
    """
    here = session.call(at_site.here)
    if here is None:
        fix = "Its operator names it in the catalogue (`datalake:` of the site)."
        raise LakeError(f"{session.site} has no RSE", fix, code="unsupported")
    return {name: _one(session, here, did) for name, did in wanted.items()}


def _one(session: BlockingSession, here: dict[str, str], did: str) -> Any:
    waiting, news = Waiting(shared_loop()), News(notebook_shell())

    async def work() -> tuple[bool, dict[str, File]]:
        async with LakeClient() as client:
            return await _available(client, here, did, waiting.inbox.wrap(news.tell))

    single, files = wait(waiting, work())
    paths = session.call(at_site.find, list(files.values()), here.get("prefix"))
    missing = [name for name, path in zip(files, paths, strict=True) if path is None]
    if missing:
        words = f"{here['rse']} says it has {missing[0]}, but no kernel at {session.site} finds it"
        raise LakeError(words, "Tell the site.", code="damaged")
    return paths[0] if single else paths


async def _available(
    client: LakeClient, here: dict[str, str], did: str, tell: Tell
) -> tuple[bool, dict[str, File]]:
    """Return whether it is a single file, and the files in the order of their names."""
    place = _place(await client.lakes(), here, did)
    listing = Listing(client)
    info = await listing.info(place)
    await make_available(client, place, here["rse"], DAYS, tell)
    rows = [row async for row in files_below(listing, place)]
    sizes = {split(str(row["name"])).path: row.get("size") for row in rows}
    names, files = sorted(sizes), dict[str, File]()
    for start in range(0, len(names), PAGE):
        some = names[start : start + PAGE]
        for name, replicas in (await client.replicas(place.lake, some)).items():
            pfns = [pfn for one in replicas if one["rse"] == here["rse"] for pfn in one["pfns"]]
            files[name] = (pfns, sizes.get(name))
    return info["type"] == "file", {name: files[name] for name in names if name in files}


def _place(lakes: list[dict[str, Any]], here: dict[str, str], did: str) -> Place:
    """Return the place of a DID; without a lake's name, in that of the site's RSE."""
    lake = here["lake"]
    names = [str(one["name"]) for one in lakes]
    if lake not in names:
        words = f"this server does not know {lake}, the lake of {here['rse']}"
        raise LakeError(words, "Start a new server: the catalogue has changed.", code="not-found")
    first = split(did).lake
    if first in names and first != lake:
        words = f"{did} is in {first}, but {here['rse']} belongs to {lake}"
        raise LakeError(words, "Choose another site.", code="unsupported")
    return dataset([one for one in lakes if one["name"] == lake], did)
