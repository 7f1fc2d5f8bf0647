"""What the spawn form shows, as data: made of the catalogue, live facts and the last choice."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
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
class Moment:
    """A time to show: seconds since the epoch, which the browser turns into the reader's time."""

    epoch: float

    @property
    def text(self) -> str:
        """The same in UTC."""
        return time.strftime("%H:%M UTC", time.gmtime(self.epoch))


@dataclass(frozen=True)
class Item:
    """One entry of a select."""

    value: str
    title: str
    selected: bool = False
    hint: str = ""  # live facts about it
    start: Moment | None = None  # when the batch system expects to start a job with it
    limit: str = ""  # how long a server may run with it

    @property
    def about(self) -> str:
        """Everything known about it in one line."""
        start = f"start expected about {self.start.text}" if self.start else ""
        return ", ".join(part for part in (self.hint, start, self.limit) if part)


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
    start: Moment | None  # when the batch system expects to start a job, if none can start now
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
    partitions = _partitions(entry)
    full = _is_full(partitions)
    badge, tone = _badge(site, entry, full)
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
        start=_soonest(partitions) if full else None,
        profile_field=f"{PROFILE_FIELD}{site.name}",
        profiles=_profiles(site, options, partitions),
    )


def _badge(site: Site, entry: Mapping[str, Any] | None, full: bool) -> tuple[str, str]:
    """Return the state of a site in one or two words, and its tone."""
    if entry is None:
        return "State unknown", "unknown"
    if entry.get("open"):
        return ("Busy", "warn") if full else ("Available", "ok")
    # A site that can be reached and may not be used lacks this user's account.
    linked = site.accounts is None or entry.get("account") or not entry.get("facts")
    return ("Unavailable", "off") if linked else ("Not linked", "warn")


def _is_full(partitions: Sequence[Mapping[str, Any]]) -> bool:
    """Say whether no partition has anything free."""
    known = [p["nodes_free"] for p in partitions if isinstance(p.get("nodes_free"), int)]
    return bool(known) and not any(known)


def _partitions(entry: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """Return what a site says about its partitions; nothing in it is taken for granted."""
    facts = (entry or {}).get("facts")
    listed = facts.get("partitions") if isinstance(facts, Mapping) else None
    return [p for p in listed if isinstance(p, Mapping)] if isinstance(listed, list) else []


def _facts(entry: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the live facts of a site, each as a few words."""
    partitions = _partitions(entry)
    lines = [_free(partitions, "nodes", "node"), _free(partitions, "gpus", "GPU")]
    if _sum(partitions, "nodes") == 1:  # then its cores say more
        cpus = _sum(partitions, "cpus_free")
        lines[0] = "" if cpus is None else f"{count(cpus, 'CPU core')} free"
    waiting = _sum(partitions, "waiting")
    if waiting is not None:
        lines.append(f"{count(waiting, 'job')} waiting" if waiting else "no jobs waiting")
    age = (entry or {}).get("age_s")
    if any(lines) and isinstance(age, int | float) and age > FRESH_S:
        lines.append(f"as of {duration(age)} ago")
    return tuple(line for line in lines if line)


def _free(partitions: Sequence[Mapping[str, Any]], key: str, thing: str) -> str:
    """Return how many of a thing are free, of how many; empty where it is not known."""
    total, free = _sum(partitions, key), _sum(partitions, f"{key}_free")
    return f"{free:,} of {count(total, thing)} free" if total and free is not None else ""


def _sum(partitions: Sequence[Mapping[str, Any]], key: str) -> int | None:
    """Return a figure over all partitions; None where none of them gives it."""
    values = [p[key] for p in partitions if isinstance(p.get(key), int)]
    return sum(values) if values else None


def _soonest(partitions: Sequence[Mapping[str, Any]]) -> Moment | None:
    """Return the earliest start that the batch system expects; None where it does not say."""
    starts = [moment for p in partitions if (moment := _moment(p.get("start_estimate")))]
    return min(starts, key=lambda moment: moment.epoch, default=None)


def _moment(value: object) -> Moment | None:
    """Read a time to come: seconds since the epoch, or ISO 8601 (UTC where it does not say)."""
    try:
        if isinstance(value, str):
            read = datetime.fromisoformat(value)
            value = (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        return None
    in_future = isinstance(value, int | float) and value > time.time()
    return Moment(float(value)) if in_future else None  # type: ignore[arg-type]


def _account(site: Site, entry: Mapping[str, Any] | None) -> str:
    """Say whose account the job runs under; nothing where the site has no accounts to map."""
    account = (entry or {}).get("account")
    if account:
        return f"linked as {account}"
    return "" if site.accounts is None or entry is None else "no account linked"


def _profiles(
    site: Site, options: Options, facts: Sequence[Mapping[str, Any]]
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
    facts: Sequence[Mapping[str, Any]],
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
    site: Site, profile: Profile, partition: Partition, facts: Sequence[Mapping[str, Any]]
) -> Item:
    """Return a partition's entry with what is known about it now."""
    known = _known(partition, facts)
    parts = []
    if partition.gpus and isinstance(known.get("gpus_free"), int):
        parts.append(f"{count(known['gpus_free'], 'GPU')} free")
    elif partition.partition and isinstance(known.get("nodes_free"), int):
        parts.append(f"{count(known['nodes_free'], 'node')} free")
    if isinstance(known.get("waiting"), int) and known["waiting"]:
        parts.append(f"{count(known['waiting'], 'job')} waiting")
    return Item(
        slug(partition.title),
        partition.title,
        hint=", ".join(parts),
        start=_moment(known.get("start_estimate")),
        limit=limit_of(walltime(site, profile, partition)),
    )


def _known(partition: Partition, facts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the facts of a partition; a site without partitions has one entry for all."""
    if partition.partition is None:
        return facts[0] if len(facts) == 1 else {}
    return next((known for known in facts if known.get("name") == partition.partition), {})


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
