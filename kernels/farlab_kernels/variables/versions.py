"""What both ends run, compared before anything is sent.

A function pickled by cloudpickle on one minor version of Python crashes another one, and packages
pickle their objects by names that change: https://github.com/cloudpipe/cloudpickle#readme.
"""

from __future__ import annotations

import platform
import sys
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import Any

PACKAGES = ("numpy", "pandas", "xarray", "torch", "cloudpickle")


@dataclass(frozen=True)
class About:
    """One end: where it is, its Python and the packages whose objects people send."""

    place: str
    python: str
    packages: dict[str, str] = field(default_factory=dict)

    @property
    def minor(self) -> str:
        """Return Python's minor version, such as 3.11."""
        return ".".join(self.python.split(".")[:2])

    @property
    def where(self) -> str:
        """Say where it is."""
        return "here" if self.place == "here" else f"at {self.place}"

    def version(self, package: str) -> str:
        """Return what this end has of a package, in words."""
        if package == "Python":
            return f"Python {self.python}"
        version = self.packages.get(package)
        return f"{package} {version}" if version else f"no {package}"

    def to_wire(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)

    @classmethod
    def from_wire(cls, said: Any) -> About:
        """Read what the other end says of itself; what it does not say is unknown."""
        said = said if isinstance(said, dict) else {}
        packages = said.get("packages")
        known = packages.items() if isinstance(packages, dict) else ()
        return cls(
            str(said.get("place", "the other end")),
            str(said.get("python", "unknown")),
            {str(name): str(version) for name, version in known},
        )


def about(place: str) -> About:
    """Describe this process; imports none of the packages."""
    found = ((name, _version(name)) for name in PACKAGES)
    return About(place, platform.python_version(), {name: at for name, at in found if at})


def _version(package: str) -> str | None:
    loaded = getattr(sys.modules.get(package), "__version__", None)
    if loaded:
        return str(loaded)
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True)
class Pair:
    """Both ends of a transfer, seen from the one that sends."""

    sender: About
    receiver: About

    @property
    def code_travels(self) -> bool:
        """Whether the receiver may be sent functions and classes as cloudpickle makes them."""
        ends = (self.sender, self.receiver)
        majors = {end.packages.get("cloudpickle", "").split(".")[0] for end in ends}
        return self.sender.minor == self.receiver.minor and len(majors) == 1 and "" not in majors

    def compare(self, package: str) -> str:
        """Name both ends' versions of a package or of Python."""
        ends = (self.sender, self.receiver)
        return " and ".join(f"{end.version(package)} {end.where}" for end in ends)

    def differ(self, package: str) -> bool:
        """Tell whether the two ends have different versions of a known package."""
        return self.sender.packages.get(package) != self.receiver.packages.get(package)

    def why_no_code(self) -> str:
        """Say why functions and classes can't travel as they are."""
        if self.sender.minor != self.receiver.minor:
            return self.compare("Python")
        return self.compare("cloudpickle")

    def lacks(self, package: str) -> bool:
        """Tell whether the sender has one of the known packages and the receiver does not."""
        return package in self.sender.packages and package not in self.receiver.packages
