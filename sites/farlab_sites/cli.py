"""The `farlab` command: finds a part's command and hands over to it.

A part adds its command to the entry points group `farlab.commands`: a function that takes the
arguments after the command's name and returns the exit status. Only the chosen one is imported.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points, version
from typing import NoReturn

from farlab_sites.problems import did_you_mean, shorten

_EXTRAS = {"farlab_hub": "hub", "kubelet": "kubelet"}
"""The extra that holds the libraries of a command, by a part of where it is."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command of Farlab and return its exit status."""
    args = list(sys.argv[1:] if argv is None else argv)
    commands = {entry.name: entry for entry in entry_points(group="farlab.commands")}
    if not args or args[0].startswith("-"):
        _general(args, sorted(commands))
    if args[0] not in commands:
        fix = did_you_mean(args[0], sorted(commands))
        print(f'farlab: "{shorten(args[0])}" is not a command; {fix}', file=sys.stderr)
        return 2
    try:
        status = _run(commands[args[0]], args[1:])
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Nobody reads any more: what is still buffered must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _general(args: list[str], names: list[str]) -> NoReturn:
    """Answer --version and --help, the latter also where there is nothing else to do."""
    parser = argparse.ArgumentParser(
        prog="farlab", description="JupyterLab on many kinds of machines."
    )
    parser.add_argument("--version", action="version", version=f"farlab {version('farlab')}")
    parser.add_argument("command", choices=names, help="`farlab COMMAND --help` tells more")
    parser.parse_args(args or ["--help"])
    parser.error("the command comes first")


def _run(entry: EntryPoint, args: list[str]) -> int:
    """Import a command and run it; say which extra is missing if its libraries are."""
    try:
        command = entry.load()
    except ModuleNotFoundError as error:
        extra = next((name for part, name in _EXTRAS.items() if part in entry.value), "site")
        fix = f"run: pip install 'farlab[{extra}]'"
        print(f"farlab {entry.name}: {error.name} is not installed; {fix}", file=sys.stderr)
        return 1
    status: int | None = command(args)
    return status or 0
