"""What a program or a cell asks for, in few words: `vega`, `--gpus 1`, and the rest is found.

The form names every field of a choice; a person who types names what matters and takes the
catalogue's first for the rest. `granted` makes a `Choice` of it, or says what there is instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from farlab_sites.catalogue import Catalogue, Image, Partition, Profile, Site, Size
from farlab_sites.manifest import walltime
from farlab_sites.problems import did_you_mean, shorten
from farlab_sites.profiles import UNLISTED, Choice, ChoiceError, choice, profile_slug
from farlab_sites.units import WALLTIME_MIN, format_walltime, slug

Option = TypeVar("Option", Size, Partition, Image)


@dataclass(frozen=True)
class Wish:
    """What is asked for. Empty: whatever comes first in the catalogue and fits the rest.

    Sizes, partitions and images are named by title or by the key made of it, partitions also by
    the batch system's name, images also by the image itself. `walltime` in seconds.
    """

    site: str
    profile: str = ""
    size: str = ""
    partition: str = ""
    gpus: int | None = None
    image: str = ""
    walltime: int | None = None


def granted(catalogue: Catalogue, wish: Wish, groups: Iterable[str]) -> Choice:
    """Return the choice that fits a wish; raise ChoiceError with a sentence for the user."""
    mine = frozenset(groups)
    site = _site(catalogue.open_to(mine), wish.site)
    offered = sorted(_profiles(site, wish.profile), key=lambda one: _lacks(one, wish))
    fitting = list(_fitting(offered, wish))
    if not fitting:
        raise _nothing_fits(site, wish)
    profile, partition = fitting[0]
    options = {"profile": profile_slug(site, profile)}
    if wish.size:
        options["size"] = slug(wish.size)
    if partition:
        options["partition"] = slug(partition.title)
    options |= _image(profile, wish.image)
    return _shortened(choice(catalogue, options, mine), wish.walltime)


def _site(sites: Sequence[Site], name: str) -> Site:
    known = {site.name: site for site in sites}
    if name not in known:
        fix = did_you_mean(name, known) if known else "ask who runs this hub"
        raise ChoiceError("site", f'"{shorten(name)}" is not offered to you', fix)
    return known[name]


def _profiles(site: Site, name: str) -> list[Profile]:
    if not name:
        return list(site.profiles)
    found = [one for one in site.profiles if name == one.name or slug(name) == slug(one.title)]
    if not found:
        fix = did_you_mean(name, [one.name for one in site.profiles])
        raise ChoiceError("profile", f'"{shorten(name)}" is not offered at {site.name}', fix)
    return found[:1]


def _fitting(profiles: Iterable[Profile], wish: Wish) -> Iterator[tuple[Profile, Partition | None]]:
    """Yield each profile and partition that fit what is said of them."""
    for profile in profiles:
        if not profile.partitions and not wish.partition and not wish.gpus:
            yield profile, None
        for partition in profile.partitions:
            if _named(partition, wish.partition) and wish.gpus in (None, partition.gpus):
                yield profile, partition


def _lacks(profile: Profile, wish: Wish) -> int:
    """Return how many of the named size and image a profile does not list."""
    sizes = {slug(size.title) for size in profile.sizes}
    images = {slug(image.title) for image in profile.images}
    images |= {image.image for image in profile.images}
    lacks_size = bool(wish.size) and slug(wish.size) not in sizes
    lacks_image = bool(wish.image) and not {wish.image, slug(wish.image)} & images
    return lacks_size + lacks_image


def _named(partition: Partition, name: str) -> bool:
    return not name or name == partition.partition or slug(name) == slug(partition.title)


def _nothing_fits(site: Site, wish: Wish) -> ChoiceError:
    """Say which of partition and GPUs can't be had, and what can."""
    profiles = _profiles(site, wish.profile)
    where = f"{site.name}, profile {profiles[0].name}" if wish.profile else site.name
    named = list(_fitting(profiles, replace(wish, gpus=None)))
    if not named:
        known = [slug(one.title) for profile in profiles for one in profile.partitions]
        fix = did_you_mean(wish.partition, known) if known else "leave it out"
        return ChoiceError(
            "partition", f'"{shorten(wish.partition)}" is not offered at {where}', fix
        )
    counts = sorted({partition.gpus if partition else 0 for _, partition in named})
    fix = f"choose one of {', '.join(map(str, counts))}"
    return ChoiceError("gpus", f"{wish.gpus} can't be had at {where}", fix)


def _image(profile: Profile, name: str) -> dict[str, str]:
    """Return the options of the form that mean this image."""
    if not name:
        return {}
    for image in profile.images:
        if name == image.image or slug(name) == slug(image.title):
            return {"image": slug(image.title)}
    # Typed: refused by `choice` where no other image may be, with what is offered.
    return {UNLISTED: name}


def _shortened(chosen: Choice, seconds: int | None) -> Choice:
    """Return a choice that ends after this time, if that is not later than it would."""
    if seconds is None:
        return chosen
    longest = walltime(chosen.site, chosen.profile, chosen.partition)
    if longest is not None and seconds > longest:
        fix = f"ask for {format_walltime(longest)} or less"
        raise ChoiceError("walltime", f"{format_walltime(seconds)} is too long here", fix)
    if seconds < WALLTIME_MIN:
        raise ChoiceError("walltime", "is too short", "ask for at least a minute")
    ends = {"walltime": seconds}
    partition = chosen.partition and chosen.partition.model_copy(update=ends)
    return replace(chosen, profile=chosen.profile.model_copy(update=ends), partition=partition)
