"""`%datalake`: look into the lakes, bring data here, put results back. Each action is one function.

What the lake or the server carries by itself goes on after an interrupt, and says so.
"""

# IPython's decorators have no types.
# mypy: disable-error-code="untyped-decorator, no-untyped-call"

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

from farlab_kernels.blocking_session import notebook_shell, wait
from farlab_kernels.datalake import actions, openers, tables, transfers
from farlab_kernels.datalake.actions import metadata, needed
from farlab_kernels.datalake.client import LakeClient
from farlab_kernels.datalake.listing import Listing, Row
from farlab_kernels.datalake.paths import Place, choose, dataset
from farlab_kernels.datalake.transfers import Tell
from farlab_kernels.loops import shared_loop
from farlab_kernels.notebook.news import News
from farlab_kernels.notebook.waiting import Waiting
from farlab_kernels.service.errors import ServiceError

Result = TypeVar("Result")
ACTIONS = tuple(sorted((*actions.ACTIONS, "get", "ls", "open", "put", "rules")))
ROWS = 100
"""Rows of a listing, where no other number is asked for."""


@magics_class
class DatalakeMagics(Magics):
    """Commands for the lakes of this server."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self._shell = shell

    @magic_arguments()
    @argument("action", nargs="?", default="ls", choices=ACTIONS,
              help="ls: what is in a lake, a scope, a dataset, a folder; get: copy here; put: "
              "upload a file or folder; rules: where data is to be; open: the cell that opens it; "
              "find: search by name, metadata, area and time; meta: show or set metadata; mkdir: "
              "make a folder or dataset; cp: copy from lake to lake; link: share a file; item: a "
              "dataset's STAC item; register: a STAC collection's files as DIDs")  # fmt: skip
    @argument("path", nargs="?", default="",
              help="LAKE/scope:name, or without LAKE/; put: a file or folder")  # fmt: skip
    @argument("to", nargs="?", default="",
              help="get: a file or folder here; put: the dataset, as scope:name, or LAKE/folder; "
              "cp, item: LAKE/path; find: a name with *, or words; meta: KEY=VALUE")  # fmt: skip
    @argument("more", nargs="*", default=[], help="meta: KEY=VALUE, none removes; find: words")
    @argument("-n", "--limit", type=int, default=ROWS, help=f"ls: at most so many rows ({ROWS})")
    @argument("--at", metavar="RSE",
              help="rules: bring the data there, and wait; `here` is this site's RSE")  # fmt: skip
    @argument("--days", type=int, help="put, rules --at: keep it for so long; else for good")
    @argument("--remove", metavar="RULE", help="rules: end a rule; needs its lake as the path")
    @argument(
        "--prefix", help="put: what the files' names begin with; else the folder's name and /"
    )
    @argument("--rse", default="", help="put: the RSE that gets the files; else this site's")
    @argument("--meta", nargs="+", action="extend", metavar="KEY=VALUE",
              help="put, mkdir, item: metadata of the dataset; find: KEY=VALUE, KEY>VALUE ...; "
              "quote what has < or > in it")  # fmt: skip
    @argument("--kind", default="", choices=("", "container", "dataset", "file"),
              help="find, mkdir: only this kind")  # fmt: skip
    @argument("--bbox", default="", metavar="W,S,E,N", help="find, item: an area in degrees; "
              "--bbox=-5,40,10,50 where it begins with a minus")  # fmt: skip
    @argument("--time", default="", metavar="START[/END]",
              help="find, item: such as 2024-01-31T00:00:00Z/..")  # fmt: skip
    @argument("--collection", default="", metavar="ID", help="item: the collection's id")
    @argument("--scope", default="", metavar="LAKE/SCOPE",
              help="register: where to; else where the catalogue says")  # fmt: skip
    @argument("--hours", type=float, default=24, help="link: for how long it works (24)")
    @argument("--overwrite", action="store_true", help="cp: replace other files there")
    @argument("--link", action="store_true",
              help="put: give the RSE second names of the files, where it can")  # fmt: skip
    @argument("--as", dest="library", choices=openers.LIBRARIES, default="",
              help="open: with what; else by the name's end")  # fmt: skip
    @line_magic("datalake")  # type: ignore[arg-type]
    def datalake(self, line: str) -> None:
        """Look into the DataLake, bring data here, and put results back."""
        # Names are quoted as in a shell, and options may stand before or after them.
        arguments = self.datalake.parser.parse_intermixed_args(shlex.split(line))
        try:
            if action := actions.ACTIONS.get(arguments.action):
                left = "the server goes on with it" if arguments.action == "cp" else ""
                _print(_ask(lambda client, tell: action(client, tell, arguments), left))
            else:
                getattr(self, f"_{arguments.action}")(arguments)
        except ServiceError as error:
            raise UsageError(str(error)) from None
        except OSError as error:  # of a file here
            raise UsageError(f"{error.filename or 'a file'}: {error.strerror or error}") from None

    def _ls(self, arguments: argparse.Namespace) -> None:
        if not arguments.path:
            _print(tables.lakes(_ask(lambda client, _: client.lakes())))
            return
        limit = max(1, arguments.limit)

        async def listed(client: LakeClient, _: Tell) -> list[Row]:
            place, listing = choose(await client.lakes(), arguments.path), Listing(client)
            if place.path and await listing.is_pattern(place):
                return await listing.matching(place, limit + 1)
            return await listing.children(place, limit + 1)

        rows = _ask(listed)
        _print(tables.entries(rows[:limit]))
        if len(rows) > limit:
            _say(f"there is more: --limit {10 * limit}")

    def _get(self, arguments: argparse.Namespace) -> None:
        async def got(client: LakeClient, tell: Tell) -> tuple[Place, list[Path]]:
            place = choose(await client.lakes(), needed(arguments.path, "name what to copy here"))
            to = arguments.to or transfers.name_of(place)
            return place, await transfers.get(client, place, to, tell)

        _, files = _ask(got, "what is here already is kept; the same command goes on")
        _print(str(files[0]) if len(files) == 1 else f"{len(files)} files, such as {files[0]}")

    def _put(self, arguments: argparse.Namespace) -> None:
        source = Path(needed(arguments.path, "name a file or folder")).expanduser().absolute()
        if not source.exists():
            raise UsageError(f"there is no file or folder {source}")
        to = needed(arguments.to, "name the dataset, as scope:name, or LAKE/folder")
        prefix = f"{source.name}/" if source.is_dir() else ""

        async def put(client: LakeClient, tell: Tell) -> tuple[Place, dict[str, Any]]:
            lakes = await client.lakes()
            place = choose(lakes, to)
            kind = next((one["kind"] for one in lakes if one["name"] == place.lake), "")
            into = "folder" if kind in ("webdav", "s3") else "dataset"
            place = place if into == "folder" else dataset(lakes, to)
            wanted = {
                "lake": place.lake,
                "source": str(source),
                into: place.path,
                "prefix": prefix if arguments.prefix is None else arguments.prefix,
                "days": arguments.days,
                "metadata": metadata(arguments.meta or []),
                "link": arguments.link,
                "rse": arguments.rse,
            }
            return place, await transfers.put(client, wanted, tell)

        place, job = _ask(put, "the upload goes on; the same command waits for it again")
        _print(f"{job['progress']['files']} files are in {place.url}")

    def _rules(self, arguments: argparse.Namespace) -> None:
        if arguments.at:
            self._bring(arguments)
            return

        async def work(client: LakeClient, _: Tell) -> str:
            lakes = await client.lakes()
            place = choose(lakes, arguments.path) if arguments.path else None
            if arguments.remove:
                lake = needed(place.lake if place else "", "name the rule's lake")
                await client.remove_rule(lake, arguments.remove)
                return f"ended: {arguments.remove}"
            if place is not None:
                return tables.rules(await client.rules(*place))
            able = [str(lake["name"]) for lake in lakes if lake["kind"] == "rucio"]
            return tables.rules([rule for lake in able for rule in await client.rules(lake)])

        _print(_ask(work))

    def _bring(self, arguments: argparse.Namespace) -> None:
        rse = "" if arguments.at == "here" else arguments.at

        async def work(client: LakeClient, tell: Tell) -> dict[str, Any]:
            place = dataset(await client.lakes(), needed(arguments.path, "name what to bring"))
            return await transfers.make_available(client, place, rse, arguments.days, tell)

        rule = _ask(work, "the lake goes on with it; `%datalake rules` shows how far it is")
        _print(f"{rule['did']} is at {rule['rse']}")

    def _open(self, arguments: argparse.Namespace) -> None:
        variables = self._shell.user_ns
        if code := openers.attached(arguments.path, variables, arguments.library):
            self._shell.set_next_input(code)
            return

        async def look(client: LakeClient, _: Tell) -> tuple[Place, Row]:
            place = choose(await client.lakes(), needed(arguments.path, "name what to open"))
            return place, await Listing(client).info(place)

        place, info = _ask(look)
        folder = info["type"] == "directory"
        code = openers.cell(place, folder=folder, library=arguments.library)
        self._shell.set_next_input(code)


def _ask(work: Callable[[LakeClient, Tell], Coroutine[Any, Any, Result]], left: str = "") -> Result:
    """Ask the server's lakes something; `left` is said after an interrupt."""
    waiting, news = Waiting(shared_loop()), News(notebook_shell())
    tell = waiting.inbox.wrap(news.tell)

    async def inside() -> Result:
        async with LakeClient() as client:
            return await work(client, tell)

    try:
        return wait(waiting, inside())
    except KeyboardInterrupt:
        if left:
            _say(left)
        raise


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _say(text: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
