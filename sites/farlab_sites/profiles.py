"""The catalogue as KubeSpawner's `profile_list`, and what a user chose from it.

KubeSpawner validates neither its profile_list nor much of what a form or an API call sends:
`choice` does. Its answer's `options` are safe to hand to KubeSpawner, the raw ones are not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from farlab_sites.catalogue import Catalogue, Image, Partition, Profile, Site, Size
from farlab_sites.images import image_problem
from farlab_sites.manifest import (
    FLAGS,
    GPU,
    IMAGE_ROOT,
    OPTIONS,
    QPU,
    SitePart,
    image_part,
    partition_part,
    profile_part,
    site_part,
    size_part,
)
from farlab_sites.problems import did_you_mean, shorten
from farlab_sites.units import slug

UNLISTED = "image--unlisted-choice"
FIELDS = ("profile", "size", "partition", "image", UNLISTED)

Option = TypeVar("Option", Size, Partition, Image)

_NOTHING: SitePart = {
    "extra_resource_limits": {GPU: None, QPU: None},
    "extra_annotations": {FLAGS: None, IMAGE_ROOT: None, OPTIONS: None},
    "extra_pod_config": {"activeDeadlineSeconds": None},
    "node_selector": {"kubernetes.io/hostname": None},
}
"""Takes out what an earlier choice may have left: a hub keeps a spawner that failed to start."""


def profile_slug(site: Site, profile: Profile) -> str:
    """Return the profile's key in the form; neither name can hold two hyphens in a row."""
    return f"{site.name}--{profile.name}"


def profile_list(sites: Iterable[Site]) -> list[dict[str, Any]]:
    """Return these sites' profiles as KubeSpawner's `profile_list`, in the catalogue's order."""
    return [_entry(site, profile) for site in sites for profile in site.profiles]


def _entry(site: Site, profile: Profile) -> dict[str, Any]:
    options: dict[str, Any] = {
        "size": _option("CPU and memory", profile.sizes, size_part),
        "partition": _option(
            "Partition and GPUs",
            profile.partitions,
            lambda partition: partition_part(site, profile, partition),
        ),
        "image": _option("Image", profile.images, lambda image: image_part(image.image)),
    }
    if not profile.partitions:
        del options["partition"]
    if profile.other_image:
        options["image"]["unlisted_choice"] = _unlisted(profile)
    base = _join(profile_part(site, profile), partition_part(site, profile, None))
    return {
        "slug": profile_slug(site, profile),
        "display_name": f"{site.title}: {profile.title}",
        "description": profile.description or site.description,
        "kubespawner_override": _join(_NOTHING, _literal(base)),
        "profile_options": options,
    }


def _option(title: str, options: Sequence[Option], part: Any) -> dict[str, Any]:
    """Return one of a profile's options; the first choice is the default."""
    choices = {
        slug(option.title): {
            "display_name": option.title,
            "kubespawner_override": _literal(part(option)),
        }
        for option in options
    }
    next(iter(choices.values()), {})["default"] = True
    return {"display_name": title, "choices": choices}


def _unlisted(profile: Profile) -> dict[str, Any]:
    """Return KubeSpawner's setting for an image that is typed."""
    setting = {
        "enabled": True,
        "display_name": "Other image",
        "display_name_in_choices": "Other image...",
        "validation_message": "Give an image that this site allows.",
        "kubespawner_override": {"image": "{value}"},
    }
    if profile.other_image and profile.other_image.allow:
        setting["validation_regex"] = f"^(?:{profile.other_image.allow})$"
    return setting


def _join(first: SitePart, second: SitePart) -> SitePart:
    """Return two sets of overrides as one, the second one's values over the first one's."""
    joined = dict(first)
    for trait, value in second.items():
        joined[trait] = {**joined.get(trait, {}), **value} if isinstance(value, dict) else value
    return joined


def _literal(value: Any) -> Any:
    """Return overrides whose braces KubeSpawner's template expansion leaves as they are."""
    expanded = ("environment", "extra_annotations")
    return {
        trait: {key: text.replace("{", "{{").replace("}", "}}") for key, text in part.items()}
        if trait in expanded
        else part
        for trait, part in value.items()
    }


class ChoiceError(ValueError):
    """A choice that can't be granted: which field, what is wrong with it, and the fix."""

    def __init__(self, field: str, message: str, fix: str) -> None:
        super().__init__(f"{field}: {message}; {fix}")
        self.field, self.message, self.fix = field, message, fix


@dataclass(frozen=True)
class Choice:
    """What a user chose, checked against the catalogue."""

    site: Site
    profile: Profile
    size: Size
    partition: Partition | None
    image: str
    options: dict[str, str]
    """The same as KubeSpawner's user_options, complete: hand these to it, not the raw ones."""

    @property
    def part(self) -> SitePart:
        """Return the site's part of the pod."""
        return site_part(self.site, self.profile, self.size, self.partition, self.image)


def choice(
    catalogue: Catalogue, user_options: object, groups: Iterable[str] | None = None
) -> Choice:
    """Return what the user chose; raise ChoiceError with a sentence for the user.

    With `groups`, only sites that these groups may choose exist. What is left out is the first
    of its list, as in the form; only the profile must be there.
    """
    options = _texts(user_options)
    sites = catalogue.sites if groups is None else catalogue.open_to(groups)
    site, profile = _profile(sites, options.get("profile", ""))
    size_key, size = _pick("size", profile.sizes, options.get("size", ""))
    partition_key, partition = "", None
    if profile.partitions:
        picked = options.get("partition", "")
        partition_key, partition = _pick("partition", profile.partitions, picked)
    elif options.get("partition"):
        _refuse("partition", "this profile has none to choose from", "leave it out")
    image_options, image = _image(site, profile, options)
    chosen = {"profile": profile_slug(site, profile), "size": size_key}
    chosen |= ({"partition": partition_key} if partition else {}) | image_options
    return Choice(site, profile, size, partition, image, chosen)


def _refuse(field: str, message: str, fix: str) -> NoReturn:
    raise ChoiceError(field, message, fix)


def _texts(user_options: object) -> dict[str, str]:
    """Return the options if they are the form's fields, each one text."""
    if not isinstance(user_options, Mapping):
        _refuse("options", "must be fields with their values", f"send {', '.join(FIELDS)}")
    for field, value in user_options.items():
        if field not in FIELDS:
            shown = shorten(str(field))
            _refuse(shown, "is not a field of this form", did_you_mean(shown, FIELDS))
        if not isinstance(value, str):
            _refuse(field, "must be one text", "choose one of the form's entries")
    return dict(user_options)


def _profile(sites: Sequence[Site], key: str) -> tuple[Site, Profile]:
    """Return the site and profile of a key of the form."""
    known = {
        profile_slug(site, profile): (site, profile) for site in sites for profile in site.profiles
    }
    if not key:
        _refuse("profile", "nothing is chosen", "choose a site and what to start there")
    if key not in known:
        _refuse("profile", f'"{shorten(key)}" is not offered to you', _one_of(known))
    return known[key]


def _pick(field: str, options: Sequence[Option], key: str) -> tuple[str, Option]:
    """Return the option of a key, and the key; the first one for no key."""
    known = {slug(option.title): option for option in options}
    key = key or next(iter(known))
    if key not in known:
        _refuse(field, f'"{shorten(key)}" is not offered here', _one_of(known))
    return key, known[key]


def _one_of(known: Iterable[str]) -> str:
    listed = list(known)
    return f"choose one of {', '.join(listed)}" if listed else "ask who runs this hub"


def _image(site: Site, profile: Profile, options: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """Return the image and the options that name it, whether picked or typed."""
    key, typed = options.get("image", ""), options.get(UNLISTED, "")
    if typed and key not in ("", "unlisted-choice"):
        _refuse("image", "one is chosen and another one is typed", "keep one of them")
    if not typed and key != "unlisted-choice":
        key, image = _pick("image", profile.images, key)
        return {"image": key}, image.image
    typed = typed.strip()
    _check_typed(site, profile, typed)
    return {UNLISTED: typed}, typed


def _check_typed(site: Site, profile: Profile, image: str) -> None:
    """Refuse an image that is typed where none may be, is no image, or is not allowed here."""
    if not profile.other_image:
        listed = ", ".join(slug(image.title) for image in profile.images)
        _refuse("image", "other images can't be started here", f"choose one of {listed}")
    if not image:
        _refuse("image", "no image is typed", "type one, or choose one of the list")
    shown = shorten(image)
    if problem := image_problem(image, site.images):
        _refuse("image", f'"{shown}" {problem[0]}', problem[1])
    if not profile.other_image.allows(image):
        fix = f"images here must match {profile.other_image.allow}"
        _refuse("image", f'"{shown}" is not allowed at this site', fix)
