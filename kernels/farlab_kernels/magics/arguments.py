"""The arguments of the magics, in IPython's own way."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from IPython.core.magic_arguments import argument

from farlab_kernels.wishes import Wish

Function = TypeVar("Function", bound=Callable[..., Any])

_START = (
    (("-p", "--profile"), {"help": "profile of the site; Tab shows them"}),
    (("--size",), {"help": "size of the profile"}),
    (("--partition",), {"help": "partition of the profile"}),
    (("-g", "--gpus"), {"type": int, "help": "GPUs"}),
    (("--image",), {"help": "image, where the profile has several or lets you name another"}),
    (("-t", "--walltime"), {"help": "longest time the job may take, such as 2:00:00"}),
    (("-w", "--workers"), {"type": int, "help": "so many kernels; the cell runs on each"}),
    (
        ("-n", "--name"),
        {"help": "name of the kernel, a new one or one that you have"},
    ),
)


def start_arguments(function: Function) -> Function:
    """Add what a kernel is started with."""
    for flags, options in reversed(_START):
        function = argument(*flags, **options)(function)  # type: ignore[no-untyped-call]
    return function


def wish(arguments: argparse.Namespace) -> Wish:
    """Return what is asked for."""
    names = ("site", "profile", "size", "partition", "gpus", "image", "walltime", "workers")
    said = {name: getattr(arguments, name) for name in names}
    return Wish(**{name: value for name, value in said.items() if value is not None})


def listed(values: Iterable[str] | None) -> list[str]:
    """Return the names of `-i x y` as of `-i x,y`, each once."""
    split = [name.strip() for value in values or () for name in value.split(",")]
    return list(dict.fromkeys(name for name in split if name))
