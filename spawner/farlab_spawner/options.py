"""From what a browser, a link or a script sends to `user_options`, and from them to a choice.

`user_options` are KubeSpawner's: `{"profile": slug, "size": ..., "partition": ..., "image": ...,
"image--unlisted-choice": text}`. JupyterHub keeps them with the server, which is how the form
remembers the last choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from farlab_sites.catalogue import Catalogue
from farlab_sites.profiles import UNLISTED, Choice, ChoiceError, choice, profile_list

from .errors import SpawnRefused

SITE_FIELD = "farlab-site"
PROFILE_FIELD = "farlab-profile-"  # + site: the profile chosen on that site's card
OTHER = "unlisted-choice"
"""The image select's value that stands for the text field beside it."""
OPTIONS = ("size", "partition", "image")

Options = dict[str, str]


@dataclass(frozen=True)
class Prefill:
    """What a link asks the form to show, and what of it is not offered here."""

    options: Options
    ignored: tuple[str, ...] = ()


def field_name(profile: str, option: str) -> str:
    """Return the form field of a profile's option; KubeSpawner's own naming."""
    return f"profile-option-{profile}--{option}"


def options_from_form(form: Mapping[str, Iterable[Any]]) -> Options:
    """Turn form data (lists of strings) into user_options. Nothing is checked yet."""
    site = _one(form, SITE_FIELD)
    profile = _one(form, "profile") or _one(form, f"{PROFILE_FIELD}{site}")
    if not profile:
        return {}
    options = {"profile": profile}
    for option in (*OPTIONS, UNLISTED):
        if value := _one(form, field_name(profile, option)):
            options[option] = value
    if options.get("image", OTHER) != OTHER:
        # The text field keeps its text, hidden, when another image is picked after all.
        options.pop(UNLISTED, None)
    return options


def options_from_query(
    catalogue: Catalogue, groups: Iterable[str], query: Mapping[str, Iterable[Any]]
) -> Prefill:
    """Take from a link (`?opt-profile=...&opt-image=...`) what is offered; name what is not.

    A link never carries a free image: it would run a stranger's code with the user's credentials.
    """
    asked = {key.removeprefix("opt-"): _one(query, key) for key in query}
    offered = {entry["slug"]: entry for entry in profile_list(catalogue.open_to(groups))}
    profile = asked.pop("profile", "")
    if profile not in offered:
        return Prefill({}, _ours(["profile", *asked] if profile else asked))
    options, ignored = {"profile": profile}, []
    for key, value in asked.items():
        if key in OPTIONS and value in _choices(offered[profile], key):
            options[key] = value
        else:
            ignored.append(key)
    return Prefill(options, _ours(ignored))


def _choices(entry: Mapping[str, Any], option: str) -> Mapping[str, Any]:
    """Return what can be chosen for one option of a profile_list's entry."""
    choices: Mapping[str, Any] = entry["profile_options"].get(option, {}).get("choices", {})
    return choices


def checked(catalogue: Catalogue, groups: Iterable[str], options: object) -> Choice:
    """Return the choice that user_options make, whoever sent them; refuse what is not offered.

    The same check for the form, for the API and for what JupyterHub remembers.
    """
    try:
        return choice(catalogue, options, groups)
    except ChoiceError as error:
        message = f"{error.field}: {error.message}. What to do: {error.fix}."
        raise SpawnRefused(message[:1].upper() + message[1:], reason="choice") from error


def _ours(names: Iterable[str]) -> tuple[str, ...]:
    """Keep the names of our own options: a link may carry others' parameters as well."""
    return tuple(sorted({n for n in names if n in ("profile", *OPTIONS, UNLISTED)}))


def _one(form: Mapping[str, Iterable[Any]], name: str) -> str:
    for value in form.get(name, ()):
        return value.strip() if isinstance(value, str) else ""
    return ""
