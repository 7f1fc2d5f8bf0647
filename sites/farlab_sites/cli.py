"""The `farlab` command: finds a part's command and hands over to it.

A part adds its command to the entry points group `farlab.commands`: a function that takes the
arguments after the command's name and returns the exit status. Only the chosen one is imported.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points, version

from farlab_sites.problems import did_you_mean, shorten


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command of Farlab and return its exit status."""
    args = list(sys.argv[1:] if argv is None else argv)
    commands = {entry.name: entry for entry in entry_points(group="farlab.commands")}
    if not args or args[0].startswith("-"):
        return _general(args, sorted(commands))
    if args[0] not in commands:
        fix = did_you_mean(args[0], sorted(commands))
        print(f'farlab: "{shorten(args[0])}" is not a command; {fix}', file=sys.stderr)
        return 2
    try:
        return _run(commands[args[0]], args[1:])
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # nobody reads: say nothing more, not even at exit
        return 141


def _general(args: list[str], names: list[str]) -> int:
    """Answer --version and --help; without a command, help is the answer and the status is 2."""
    parser = argparse.ArgumentParser(
        prog="farlab", description="JupyterLab on many kinds of machines."
    )
    parser.add_argument("--version", action="version", version=f"farlab {version('farlab')}")
    parser.add_argument("command", choices=names, help="`farlab COMMAND --help` tells more")
    parser.parse_args(args or ["--help"])
    return 2


def _run(entry: EntryPoint, args: list[str]) -> int:
    """Import a command and run it; say which extra is missing if its libraries are."""
    try:
        command = entry.load()
    except ModuleNotFoundError as error:
        extra = "hub" if entry.value.startswith("farlab_hub") else "site"
        fix = f"run: pip install 'farlab[{extra}]'"
        print(f"farlab {entry.name}: {error.name} is not installed; {fix}", file=sys.stderr)
        return 1
    return command(args) or 0
