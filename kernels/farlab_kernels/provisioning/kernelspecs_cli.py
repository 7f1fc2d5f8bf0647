"""`farlab kernels`: kernel specs for the sites that the Farlab service knows."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from farlab_kernels.provisioning import kernelspecs
from farlab_kernels.service.client import Client
from farlab_kernels.service.errors import ServiceError


async def _sites() -> list[dict[str, Any]]:
    async with Client() as client:
        return await client.sites()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="farlab kernels",
        description="Write a kernel spec for each site, profile and partition, so that JupyterLab, "
        "`jupyter console --kernel` and `jupyter execute` offer them. JupyterLab does so itself.",
    )
    parser.add_argument("action", choices=("install", "remove"), help="what to do")
    parser.add_argument("--folder", type=Path, default=kernelspecs.default_folder(),
                        help="where to (default: %(default)s)")  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        wanted = {} if options.action == "remove" else kernelspecs.specs(asyncio.run(_sites()))
    except ServiceError as error:
        print(f"farlab kernels: {error}", file=sys.stderr)
        return 1
    kernelspecs.write(wanted, options.folder)
    for name, spec in sorted(wanted.items()):
        print(f"{name}\t{spec['display_name']}")
    return 0
