"""What the spawn form shows, as data: made of the catalogue, live facts and the last choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from farlab_sites.catalogue import Partition, Profile, Site
from farlab_sites.manifest import walltime
from farlab_sites.profiles import UNLISTED, profile_slug
from farlab_sites.units import slug

from .budgets import Left, as_json, budgets_of
from .endings import Ending
from .facts import (
    Entry,
    Moment,
    about_partition,
    account_of,
    badge_of,
    is_full,
    linkage_of,
    live_facts,
    offered,
    soonest,
)
from .options import OTHER, PROFILE_FIELD, Options, field_name
from .words import duration, limit_of

KINDS = {"cloud": "Cloud", "hpc": "HPC", "htc": "HTC", "quantum": "Quantum"}


@dataclass(frozen=True)
class Takes:
    """What a size, or a partition, allocates; `seconds` is how long at most."""

    cores: float = 0.0
    gib: float = 0.0
    gpus: int = 0
    seconds: int | None = None


@dataclass(frozen=True)
class Item:
    """One entry of a select."""

    value: str
    title: str
    selected: bool = False
    hint: str = ""  # live facts about it
    start: Moment | None = None  # when the batch system expects to start a job with it
    limit: str = ""  # how long a server may run with it
    takes: Takes | None = None

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
    takes: Takes  # without a partition


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
    link_url: str  # where an account is linked, if that is all that it lacks
    account: str
    budgets: tuple[Left, ...]
    facts: tuple[str, ...]
    start: Moment | None  # when the batch system expects to start a job, if none can start now
    profile_field: str
    profiles: tuple[ProfileView, ...]

    @property
    def budgets_json(self) -> str:
        """The budgets for the page's script."""
        return as_json(self.budgets)


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
    facts: Mapping[str, Entry] | None = None  # site -> the hub service's entry
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


def _entry(request: FormRequest, site: Site) -> Entry | None:
    return None if request.facts is None else request.facts.get(site.name)


def _select(card: Card, selected: bool) -> Card:
    return Card(**{**vars(card), "selected": selected})


def _closed_note(cards: Sequence[Card], wanted: str) -> tuple[str, ...]:
    """Say so when the wanted site can't be chosen now."""
    closed = [c for c in cards if not c.open and wanted in {p.slug for p in c.profiles}]
    return tuple(f"{card.title} cannot be chosen now: {card.reason}" for card in closed)


def _card(site: Site, entry: Entry | None, options: Options) -> Card:
    """Return one site's card; `entry` is the hub service's knowledge of it."""
    usable = entry is None or bool(entry.get("open"))
    partitions = offered(site, entry)
    full = is_full(partitions)
    badge, tone = badge_of(entry, full)
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
        link_url=linkage_of(entry)[1],
        account=account_of(site, entry),
        budgets=budgets_of(entry),
        facts=live_facts(partitions, (entry or {}).get("age_s")),
        start=soonest(partitions) if full else None,
        profile_field=f"{PROFILE_FIELD}{site.name}",
        profiles=_profiles(site, options, partitions),
    )


def _profiles(site: Site, options: Options, facts: Sequence[Entry]) -> tuple[ProfileView, ...]:
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
    facts: Sequence[Entry],
) -> ProfileView:
    """Return one profile with its selects, the last choice selected."""
    name = profile_slug(site, profile)
    sizes = [
        Item(slug(one.title), one.title, takes=Takes(one.cpu, one.memory / 2**30))
        for one in profile.sizes
    ]
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
        takes=Takes(seconds=walltime(site, profile, None)),
    )


def _options(profile: str, option: str, label: str, items: list[Item], wanted: str) -> Select:
    """Return a select with the wanted entry selected, or else the first."""
    values = [item.value for item in items]
    chosen = wanted if wanted in values else values[0]
    marked = (Item(**{**vars(item), "selected": item.value == chosen}) for item in items)
    return Select(field_name(profile, option), label, tuple(marked))


def _partition(site: Site, profile: Profile, partition: Partition, facts: Sequence[Entry]) -> Item:
    """Return a partition's entry with what is known about it now."""
    hint, start = about_partition(partition, facts)
    seconds = walltime(site, profile, partition)
    return Item(
        slug(partition.title),
        partition.title,
        hint=hint,
        start=start,
        limit=limit_of(seconds),
        takes=Takes(gpus=partition.gpus, seconds=seconds),
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
