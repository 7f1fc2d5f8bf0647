"""Quantities that people write in a catalogue: memory, times, and names made of titles."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from pydantic_core import PydanticCustomError

_MEMORY = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)([kMGTP]|[KMGTP]i)?", re.ASCII)
_BINARY = {unit: 1024**power for power, unit in enumerate(("", "Ki", "Mi", "Gi", "Ti", "Pi"))}
_DECIMAL = {unit: 1000**power for power, unit in enumerate(("", "k", "M", "G", "T", "P"))}
_WALLTIME = re.compile(r"(?:(\d{1,3})-)?(\d{1,4}):([0-5]\d):([0-5]\d)|(\d{1,6})", re.ASCII)

MEMORY_MIN, MEMORY_MAX = 2**20, 2**50
WALLTIME_MIN, WALLTIME_MAX = 60, 366 * 86400


def wrong(message: str, fix: str, at: tuple[str | int, ...] = ()) -> PydanticCustomError:
    """Return the error for a value: what is wrong, the fix, and where below the model it is."""
    return PydanticCustomError("farlab", "{message}", {"message": message, "fix": fix, "at": at})


def parse_memory(value: object) -> int:
    """Return bytes from a quantity as Kubernetes writes it: 64Gi, 512Mi, 64G, or plain bytes."""
    found = _MEMORY.fullmatch(str(value)) if isinstance(value, (int, str)) else None
    if not found or isinstance(value, bool):
        raise wrong("is not an amount of memory", 'write it as "64Gi", "512Mi" or "64G"')
    number, unit = found[1], found[2] or ""
    size = int(float(number) * (_BINARY | _DECIMAL)[unit])
    if size < MEMORY_MIN:
        raise wrong("is less than 1 MiB: is the unit missing?", f'write it as "{number}Gi"')
    if size > MEMORY_MAX:
        raise wrong("is more than 1 PiB", 'write it as "64Gi", "512Mi" or "64G"')
    return size


def format_memory(size: int) -> str:
    """Return bytes as a person reads them, in the largest binary unit that loses nothing."""
    for unit in reversed(_BINARY):
        if size % _BINARY[unit] == 0:
            return f"{size // _BINARY[unit]}{unit}"
    return str(size)


def parse_walltime(value: object) -> int:
    """Return seconds from a walltime as Slurm writes it: D-HH:MM:SS, H:MM:SS, or whole minutes."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON has but one kind of number
    found = _WALLTIME.fullmatch(str(value)) if isinstance(value, (int, str)) else None
    fix = 'write it as "8:00:00" (hours), "2-00:00:00" (days) or 480 (minutes)'
    if not found or isinstance(value, bool):
        raise wrong("is not a walltime", fix)
    days, hours, minutes, seconds, only = (int(group or 0) for group in found.groups())
    total = ((days * 24 + hours) * 60 + minutes + only) * 60 + seconds
    if not WALLTIME_MIN <= total <= WALLTIME_MAX:
        raise wrong("is not between one minute and 366 days", fix)
    return total


def format_walltime(seconds: int) -> str:
    """Return seconds as Slurm writes a walltime: H:MM:SS, or D-HH:MM:SS from two days on."""
    days, rest = divmod(seconds, 86400) if seconds >= 2 * 86400 else (0, seconds)
    clock = f"{rest // 3600}:{rest % 3600 // 60:02}:{rest % 60:02}"
    return f"{days}-{clock:0>8}" if days else clock


def slug(title: str) -> str:
    """Return the key of an option: its title in lower case, every run of other signs one hyphen.

    It depends on the title alone, so it stays when options are added or moved. Letters that have
    no ASCII form are replaced by a short hash of the title.
    """
    folded = unicodedata.normalize("NFKD", title)
    plain = re.sub(r"[^a-z0-9]+", "-", folded.encode("ascii", "ignore").decode().lower()).strip("-")
    letters = (char for char in folded if not unicodedata.combining(char))
    if plain and all(char.isascii() or not char.isalnum() for char in letters):
        return plain
    digest = hashlib.sha256(title.encode()).hexdigest()[:8]
    return f"{plain}-{digest}" if plain else digest
