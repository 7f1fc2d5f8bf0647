"""Kernel specs for sites: a folder each, in the user's own Jupyter data folder.

So JupyterLab's launcher, `jupyter console --kernel` and `jupyter execute` all find them, without
asking the service; whoever knows it writes them anew now and then (server.py, the command line).
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_data_dir

PROVISIONER = "farlab-provisioner"
_PREFIX = "farlab-"
_MARK = "farlab"
_LOGOS = ("logo-32x32.png", "logo-64x64.png", "logo-svg.svg")


def default_folder() -> Path:
    """Return where Jupyter looks for this user's kernel specs."""
    return Path(jupyter_data_dir()) / "kernels"


def specs(sites: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the specs, by name, of what GET /api/sites answers."""
    return {name: spec for site in sites if site.get("kernels", True) for name, spec in _of(site)}


def _of(site: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    profiles = site.get("profiles") or ()
    for profile in profiles:
        title = str(profile.get("title") or profile["name"]) if len(profiles) > 1 else ""
        partitions: Sequence[Mapping[str, Any]] = profile.get("partitions") or ({},)
        for partition in partitions:
            key = str(partition.get("key", ""))
            choice = {"site": site["name"], "profile": profile["name"], "partition": key}
            name = "-".join(filter(None, (site["name"], profile["name"], key)))
            yield _slug(name), _spec(_display(site, title, partition), choice)


def _slug(name: str) -> str:
    return _PREFIX + re.sub(r"[^a-z0-9.-]+", "-", name.lower())


def _display(site: Mapping[str, Any], profile: str, partition: Mapping[str, Any]) -> str:
    place = str(site.get("title") or site["name"]).removeprefix("Offload to ")
    gpus = int(partition.get("gpus") or 0)
    kind = str(partition.get("gpu_type") or "GPU").upper()
    what = f"{gpus} x {kind}" if gpus else str(partition.get("title") or "")
    return ", ".join(filter(None, (f"Python 3 at {place}", what, profile)))


def _spec(display: str, choice: Mapping[str, str]) -> dict[str, Any]:
    chosen = {name: value for name, value in choice.items() if value}
    provisioner = {"provisioner_name": PROVISIONER, "config": chosen}
    return {
        "argv": [],
        "display_name": display,
        "language": "python",
        "interrupt_mode": "signal",
        "metadata": {"kernel_provisioner": provisioner, _MARK: chosen, "debugger": False},
    }


def write(wanted: Mapping[str, Mapping[str, Any]], folder: Path) -> bool:
    """Make the folder hold these specs of ours, and no others of ours; tell whether it changed."""
    changed = False
    for path in folder.glob(f"{_PREFIX}*/kernel.json"):
        if path.parent.name not in wanted and _ours(path):
            shutil.rmtree(path.parent, ignore_errors=True)
            changed = True
    for name, spec in wanted.items():
        changed = _write(folder / name, spec) or changed
    return changed


def _ours(path: Path) -> bool:
    try:
        return _MARK in json.loads(path.read_text())["metadata"]
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _write(folder: Path, spec: Mapping[str, Any]) -> bool:
    text, path = json.dumps(spec, indent=1), folder / "kernel.json"
    if path.exists() and path.read_text() == text:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    for logo in _LOGOS:
        _copy_logo(logo, folder)
    part = folder / "kernel.json.part"
    part.write_text(text)
    part.replace(path)
    return True


def _copy_logo(name: str, folder: Path) -> None:
    """Give it Python's logo, as ipykernel has it."""
    try:
        import ipykernel  # noqa: PLC0415  (a Jupyter server may do without)
    except ImportError:
        return
    logo = Path(ipykernel.__file__).parent / "resources" / name
    if logo.exists():
        shutil.copyfile(logo, folder / name)
