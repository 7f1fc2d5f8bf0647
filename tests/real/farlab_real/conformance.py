"""The conformance suite as data: what a file in tests/conformance says, checked when it is read.

tests/conformance/README.md documents the fields for those who write such files.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

FOLDER = Path(__file__).parents[2] / "conformance"
Manifest = dict[str, Any]
Need = Literal["images", "no images", "queue", "restarts", "virtual"]
"""What a node must be like for a case to say anything about it."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _between(value: tuple[float, float]) -> tuple[float, float]:
    if not 0 <= value[0] <= value[1]:
        raise ValueError("write [least, most] in seconds")
    return value


Seconds = Annotated[tuple[float, float], AfterValidator(_between)]


class Text(_Model):
    """What a text must be; patterns are regular expressions that are searched for."""

    exactly: str | None = Field(None, alias="is")
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()

    def wrong(self, text: str) -> str:
        """Return what is wrong with a text; empty when it is as it must be."""
        if self.exactly is not None and text != self.exactly:
            return f"is {text!r}, and not {self.exactly!r}"
        missing = [part for part in self.has if not re.search(part, text, re.MULTILINE)]
        extra = [part for part in self.lacks if re.search(part, text, re.MULTILINE)]
        return f"lacks {missing} and has {extra}: {text!r}" if missing or extra else ""


class Deletion(_Model):
    """The pod is deleted; `seconds` says how long it may then take until it is gone."""

    grace: int | None = Field(None, ge=0)
    seconds: Seconds = (0, 120)


class Step(_Model):
    """One thing to do, or to wait for. Every step has exactly one of these."""

    until: dict[str, Any] | None = None  # a part of the pod's status
    never: dict[str, Any] | None = None  # a part of the status, at no look until the step after it
    logs: dict[str, Text] | None = None  # by container
    previous_logs: dict[str, Text] | None = None
    events: tuple[dict[str, Any], ...] | None = None  # parts of events of the pod
    lasts: dict[str, Seconds] | None = None  # by container: from its start to its end
    order: tuple[str, ...] | None = None  # containers, each started after the one before had ended
    apply: tuple[Manifest, ...] | None = None
    delete: Deletion | None = None

    @model_validator(mode="after")
    def _one(self) -> Step:
        if len(self.model_fields_set) != 1:
            raise ValueError(f"a step is exactly one of {', '.join(Step.model_fields)}")
        return self


class Case(_Model):
    """One file."""

    about: str
    needs: tuple[Need, ...] = ()
    copies: int = Field(1, ge=1)
    objects: tuple[Manifest, ...] = ()
    pod: Manifest
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _named(self) -> Case:
        for manifest in (self.pod, *self.objects):
            metadata = manifest.get("metadata", {})
            if not metadata.get("name") or "namespace" in metadata:
                raise ValueError("each manifest has a name and no namespace")
        return self


def load(path: Path) -> Case:
    """Read one file.

    Raises:
        ValueError: it is not as README.md says.

    """
    try:
        return Case.model_validate(yaml.safe_load(path.read_text()))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def every_case() -> list[str]:
    """Return the names of all files, without their ending."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def holds(wanted: Any, found: Any) -> bool:
    """Tell whether `found` is at least what is `wanted`.

    Of an object only the wanted fields count, of a list each wanted entry must be somewhere in it,
    and `/text/` is a regular expression. A null stands for an absent field.
    """
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(
            holds(part, found.get(key)) for key, part in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(found, list) and all(
            any(holds(part, entry) for entry in found) for part in wanted
        )
    if isinstance(wanted, str) and len(wanted) > 1 and wanted[0] == wanted[-1] == "/":
        return isinstance(found, str) and re.search(wanted[1:-1], found) is not None
    return bool(wanted == found)
