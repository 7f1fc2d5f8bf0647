"""`farlab sites`: check a catalogue, show its form as text, print its JSON Schema."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence

from farlab_sites.catalogue import Catalogue, Profile, Site
from farlab_sites.loader import load_catalogue
from farlab_sites.manifest import walltime
from farlab_sites.problems import CatalogueError
from farlab_sites.schema import schema
from farlab_sites.units import format_walltime


def main(argv: Sequence[str] | None = None) -> int:
    """Run `farlab sites` and return its exit status."""
    args = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = args.run
    try:
        return run(args)
    except CatalogueError as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="farlab sites", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="say whether a catalogue is right, or what is wrong")
    check.add_argument("file", help="the catalogue, such as sites.yaml")
    check.set_defaults(run=_check)
    show = commands.add_parser("show", help="print the form as a user sees it")
    show.add_argument("file", help="the catalogue, such as sites.yaml")
    show.add_argument(
        "--groups", nargs="*", metavar="GROUP", help="only what a member of these groups sees"
    )
    show.set_defaults(run=_show)
    commands.add_parser("schema", help="print the JSON Schema").set_defaults(run=_schema)
    return parser


def _check(args: argparse.Namespace) -> int:
    catalogue = load_catalogue(args.file)
    profiles = sum(len(site.profiles) for site in catalogue.sites)
    counted = f"{_count(len(catalogue.sites), 'site')}, {_count(profiles, 'profile')}"
    print(f"{args.file}: {counted}: ok")
    return 0


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _show(args: argparse.Namespace) -> int:
    print("\n".join(form_lines(load_catalogue(args.file), args.groups)))
    return 0


def _schema(_: argparse.Namespace) -> int:
    print(json.dumps(schema(), indent=2))
    return 0


def form_lines(catalogue: Catalogue, groups: Sequence[str] | None = None) -> Iterator[str]:
    """Yield the form's lines; `groups` leaves only what their members may choose."""
    sites = catalogue.sites if groups is None else catalogue.open_to(groups)
    if not sites:
        yield "No site is open to these groups."
    for site in sites:
        yield from _site_lines(site)


def _site_lines(site: Site) -> Iterator[str]:
    yield f"{site.title}  [{site.name}, {site.kind}]"
    if site.description:
        yield f"  {site.description}"
    if site.groups:
        yield f"  for: {', '.join(site.groups)}"
    for profile in site.profiles:
        yield from _profile_lines(site, profile)
    yield ""


def _profile_lines(site: Site, profile: Profile) -> Iterator[str]:
    yield f"  ( ) {profile.title}  [{site.name}--{profile.name}]"
    if profile.description:
        yield f"      {profile.description}"
    yield from _option_lines("CPU and memory", [size.title for size in profile.sizes])
    partitions = []
    for partition in profile.partitions:
        partitions.append(partition.title + _limit(walltime(site, profile, partition)))
    yield from _option_lines("Partition and GPUs", partitions)
    images = [image.title for image in profile.images]
    if profile.other_image:
        allow = profile.other_image.allow
        images.append("Other image: ____" + (f" (must match {allow})" if allow else ""))
    yield from _option_lines("Image", images)
    if not profile.partitions and (seconds := walltime(site, profile, None)):
        yield f"      Ends after {format_walltime(seconds)}"


def _limit(seconds: int | None) -> str:
    return f" (ends after {format_walltime(seconds)})" if seconds else ""


def _option_lines(title: str, choices: Sequence[str]) -> Iterator[str]:
    """Yield one option and its choices; the first is marked as the default."""
    if choices:
        yield f"      {title}:"
    for index, choice in enumerate(choices):
        yield f"        {'*' if index == 0 else '-'} {choice}"
