"""What the spawn form shows, as data: made of the catalogue, live facts and the last choice."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from farlab_sites.catalogue import Partition, Profile, Site
from farlab_sites.manifest import walltime
from farlab_sites.profiles import UNLISTED, profile_slug
from farlab_sites.units import slug

from .endings import Ending
from .options import OTHER, PROFILE_FIELD, Options, field_name
from .words import count, duration, limit_of

KINDS = {"cloud": "Cloud", "hpc": "HPC", "htc": "HTC", "quantum": "Quantum"}
FRESH_S = 120.0
"""Facts that are older are shown with their age."""


@dataclass(frozen=True)
class Item:
    """One entry of a select."""

    value: str
    title: str
    selected: bool = False
    hint: str = ""  # live facts about it
    limit: str = ""  # how long a server may run with it


@dataclass(frozen=True)
class Select:
    """One of a profile's options. With a single entry there is nothing to choose."""

    name: str
    label: str
    items: tuple[Item, ...]

    @property
    def id(self) -> str:
        """The element's id: the field's name is unique on the page."""
        return f"fl-{self.name}"

    @property
    def chosen(self) -> Item:
        """The entry that is selected first."""
        return next((item for item in self.items if item.selected), self.items[0])


@dataclass(frozen=True)
class OtherImage:
    """The text field for an image that is not listed."""

    name: str
    value: str
    allow: str  # the pattern it must match; empty: any
    by_path: bool
    example: str
    hint: str

    @property
    def id(self) -> str:
        """The element's id."""
        return f"fl-{self.name}"


@dataclass(frozen=True)
class ProfileView:
    """A profile with its options."""

    slug: str
    title: str
    description: str
    selected: bool
    size: Select
    partition: Select | None
    image: Select
    other: OtherImage | None
    limit: str


@dataclass(frozen=True)
class Card:
    """A site on the form."""

    name: str
    title: str
    description: str
    kind: str
    kind_title: str
    selected: bool
    open: bool
    badge: str
    tone: str  # ok | warn | off | unknown: the badge's colour
    reason: str  # why it can't be chosen
    account: str
    facts: tuple[str, ...]
    start: float | None  # when the batch system expects to start a job; seconds since the epoch
    start_text: str
    profile_field: str
    profiles: tuple[ProfileView, ...]


@dataclass(frozen=True)
class FormView:
    """The whole form."""

    cards: tuple[Card, ...]
    notes: tuple[str, ...]
    ending: Ending | None
    groups: tuple[str, ...]
    facts_known: bool
    start_limit: str

    @property
    def selected(self) -> Card | None:
        """The card that is selected first."""
        return next((card for card in self.cards if card.selected), None)


@dataclass(frozen=True)
class FormRequest:
    """What the form is made of."""

    sites: Sequence[Site]
    facts: Mapping[str, Mapping[str, Any]] | None = None  # site -> the hub service's entry
    options: Options = field(default_factory=dict)  # what is selected first
    notes: tuple[str, ...] = ()
    ending: Ending | None = None
    groups: tuple[str, ...] = ()
    start_limit: float = 3600.0  # seconds


def form_view(request: FormRequest) -> FormView:
    """Return what the form shows."""
    cards = [_card(site, _entry(request, site), request.options) for site in request.sites]
    wanted = request.options.get("profile", "")
    selected = next(
        (c for c in cards if c.open and wanted in {p.slug for p in c.profiles}),
        next((c for c in cards if c.open), None),
    )
    return FormView(
        cards=tuple(_select(card, card is selected) for card in cards),
        notes=request.notes + _closed_note(cards, wanted),
        ending=request.ending,
        groups=request.groups,
        facts_known=request.facts is not None,
        start_limit=duration(request.start_limit),
    )


def _entry(request: FormRequest, site: Site) -> Mapping[str, Any] | None:
    return None if request.facts is None else request.facts.get(site.name)


def _select(card: Card, selected: bool) -> Card:
    return Card(**{**vars(card), "selected": selected})


def _closed_note(cards: Sequence[Card], wanted: str) -> tuple[str, ...]:
    """Say so when the wanted site can't be chosen now."""
    closed = [c for c in cards if not c.open and wanted in {p.slug for p in c.profiles}]
    return tuple(f"{card.title} cannot be chosen now: {card.reason}" for card in closed)


def _card(site: Site, entry: Mapping[str, Any] | None, options: Options) -> Card:
    """Return one site's card; `entry` is the hub service's knowledge of it."""
    usable = entry is None or bool(entry.get("open"))
    facts = _facts(entry)
    partitions = {str(p.get("name")): p for p in _partitions(entry)}
    badge, tone = _badge(entry, partitions.values())
    return Card(
        name=site.name,
        title=site.title,
        description=site.description,
        kind=site.kind,
        kind_title=KINDS[site.kind],
        selected=False,
        open=usable,
        badge=badge,
        tone=tone,
        reason="" if usable or entry is None else str(entry.get("reason") or "It is closed now."),
        account=_account(site, entry),
        facts=facts,
        start=(start := _soonest(partitions.values())),
        start_text=time.strftime("%H:%M UTC", time.gmtime(start)) if start else "",
        profile_field=f"{PROFILE_FIELD}{site.name}",
        profiles=_profiles(site, options, partitions),
    )


def _badge(
    entry: Mapping[str, Any] | None, partitions: Sequence[Mapping[str, Any]] | Any
) -> tuple[str, str]:
    """Return the state of a site in one or two words, and its tone."""
    if entry is None:
        return "State unknown", "unknown"
    if not entry.get("open"):
        unlinked = "link" in str(entry.get("code") or entry.get("reason") or "").lower()
        return ("Not linked", "warn") if unlinked else ("Unavailable", "off")
    known = [p for p in partitions if isinstance(p.get("nodes_free"), int)]
    if known and not any(p["nodes_free"] for p in known):
        return "Busy", "warn"
    return "Available", "ok"


def _partitions(entry: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """Return what a site says about its partitions; nothing in it is taken for granted."""
    facts = (entry or {}).get("facts")
    listed = facts.get("partitions") if isinstance(facts, Mapping) else None
    return [p for p in listed if isinstance(p, Mapping)] if isinstance(listed, list) else []


def _facts(entry: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the live facts of a site, each as a few words."""
    partitions = _partitions(entry)
    nodes, free = _sum(partitions, "nodes"), _sum(partitions, "nodes_free")
    gpus, gpus_free = _sum(partitions, "gpus"), _sum(partitions, "gpus_free")
    waiting = _sum(partitions, "waiting")
    lines = []
    if nodes and free is not None:
        lines.append(f"{free:,} of {count(nodes, 'node')} free")
    if gpus and gpus_free is not None:
        lines.append(f"{gpus_free:,} of {count(gpus, 'GPU')} free")
    if waiting is not None:
        lines.append(f"{count(waiting, 'job')} waiting" if waiting else "no jobs waiting")
    age = (entry or {}).get("age_s")
    if lines and isinstance(age, int | float) and age > FRESH_S:
        lines.append(f"as of {duration(age)} ago")
    return tuple(lines)


def _sum(partitions: Sequence[Mapping[str, Any]], key: str) -> int | None:
    """Return a figure over all partitions; None where none of them gives it."""
    values = [p[key] for p in partitions if isinstance(p.get(key), int)]
    return sum(values) if values else None


def _soonest(partitions: Any) -> float | None:
    """Return the earliest start that the batch system expects; None where it does not say."""
    starts = [p.get("start_estimate") for p in partitions]
    future = [float(s) for s in starts if isinstance(s, int | float) and s > time.time()]
    return min(future, default=None)


def _account(site: Site, entry: Mapping[str, Any] | None) -> str:
    """Say whose account the job runs under; nothing where the site has no accounts to map."""
    account = (entry or {}).get("account")
    if account:
        return f"linked as {account}"
    return "" if site.accounts is None or entry is None else "no account linked"


def _profiles(
    site: Site, options: Options, facts: Mapping[str, Mapping[str, Any]]
) -> tuple[ProfileView, ...]:
    wanted = options.get("profile")
    slugs = [profile_slug(site, profile) for profile in site.profiles]
    chosen = wanted if wanted in slugs else slugs[0]
    return tuple(
        _profile(site, profile, name == chosen, options if name == wanted else {}, facts)
        for profile, name in zip(site.profiles, slugs, strict=True)
    )


def _profile(
    site: Site,
    profile: Profile,
    selected: bool,
    options: Options,
    facts: Mapping[str, Mapping[str, Any]],
) -> ProfileView:
    """Return one profile with its selects, the last choice selected."""
    name = profile_slug(site, profile)
    sizes = [Item(slug(size.title), size.title) for size in profile.sizes]
    images = [Item(slug(image.title), image.title) for image in profile.images]
    if profile.other_image:
        images.append(Item(OTHER, "Other image …"))
    partitions = [_partition(site, profile, p, facts) for p in profile.partitions]
    free_text = options.get(UNLISTED, "") if profile.other_image else ""
    image = OTHER if free_text else options.get("image", "")
    gpus_only = not any(p.partition for p in profile.partitions)
    return ProfileView(
        slug=name,
        title=profile.title,
        description=profile.description,
        selected=selected,
        size=_options(name, "size", "CPU and memory", sizes, options.get("size", "")),
        partition=_options(
            name,
            "partition",
            "GPU" if gpus_only else "Partition and GPUs",
            partitions,
            options.get("partition", ""),
        )
        if partitions
        else None,
        image=_options(name, "image", "Image", images, image),
        other=_other(site, profile, name, free_text) if profile.other_image else None,
        limit=limit_of(walltime(site, profile, None)),
    )


def _options(profile: str, option: str, label: str, items: list[Item], wanted: str) -> Select:
    """Return a select with the wanted entry selected, or else the first."""
    values = [item.value for item in items]
    chosen = wanted if wanted in values else values[0]
    marked = (Item(**{**vars(item), "selected": item.value == chosen}) for item in items)
    return Select(field_name(profile, option), label, tuple(marked))


def _partition(
    site: Site, profile: Profile, partition: Partition, facts: Mapping[str, Mapping[str, Any]]
) -> Item:
    """Return a partition's entry with what is known about it now."""
    known = facts.get(partition.partition or "", {})
    parts = []
    if partition.gpus and isinstance(known.get("gpus_free"), int):
        parts.append(f"{count(known['gpus_free'], 'GPU')} free")
    elif isinstance(known.get("nodes_free"), int):
        parts.append(f"{count(known['nodes_free'], 'node')} free")
    if isinstance(known.get("waiting"), int):
        parts.append(f"{count(known['waiting'], 'job')} waiting")
    return Item(
        slug(partition.title),
        partition.title,
        hint=", ".join(parts),
        limit=limit_of(walltime(site, profile, partition)),
    )


def _other(site: Site, profile: Profile, name: str, text: str) -> OtherImage:
    """Return the text field for another image."""
    by_path = site.runtime == "none"
    example = "/opt/envs/mine" if by_path else profile.images[0].image
    allow = profile.other_image.allow if profile.other_image else None
    hint = (
        f"Absolute path of an environment at {site.title}."
        if by_path
        else "An image that the site can pull, with its registry and tag."
    )
    if allow:
        hint += f" Allowed here: {allow}"
    return OtherImage(field_name(name, UNLISTED), text, allow or "", by_path, example, hint)
