"""What all models of a catalogue have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, model_validator

from farlab_sites.units import wrong


class Model(BaseModel):
    """A part of a catalogue: frozen, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _nothing_left_open(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse a key of a file without a value: an empty `groups:` is not meant for everyone."""
        if info.context and isinstance(value, dict):
            for key, item in value.items():
                if item is None and key in cls.model_fields:
                    raise wrong("has no value", "give it one, or remove the key", (key,))
        return value


def refuse_none_or_many(model: BaseModel, names: Iterable[str]) -> None:
    """Raise unless exactly one of a model's fields has a value."""
    known = list(names)
    if sum(getattr(model, name) is not None for name in known) != 1:
        raise wrong("needs exactly one of " + " and ".join(known), f'keep "{known[0]}:"')


class OneOf(Model):
    """Alternatives, of which exactly one is given."""

    @model_validator(mode="after")
    def _exactly_one(self) -> OneOf:
        """Refuse none, and more than one."""
        refuse_none_or_many(self, type(self).model_fields)
        return self


def refuse_duplicates(field: str, named: Iterable[Any]) -> None:
    """Raise for the first of these whose name was there before."""
    seen: set[str] = set()
    for index, item in enumerate(named):
        if item.name in seen:
            at = (field, index, "name")
            raise wrong(f'the name "{item.name}" is there twice', "give it another", at)
        seen.add(item.name)
