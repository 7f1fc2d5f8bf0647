"""Local accounts for the demo's users, which only the demo sees: nothing of them stays.

Real batch systems run jobs of real accounts. The demo runs in a mount namespace of its own, in
which copies of the files of accounts, with the demo's added, lie over the machine's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

USERS = ("alice", "bob", "carol")
FIRST_ID = 61001
MARK = "FARLAB_DEMO_NAMESPACE"


def enter_namespace() -> bool:
    """Start this program again in a mount namespace of its own; False where that cannot be."""
    if os.environ.pop(MARK, None):
        return True
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return False
    if not _works("unshare", "--mount", "true"):
        return False
    # It keeps the process id: whoever started the demo stops it as ever.
    os.execvpe("unshare", ["unshare", "--mount", *sys.orig_argv], {**os.environ, MARK: "1"})


def add_accounts(folder: Path, homes: Path) -> str:
    """Add the accounts in this namespace; returns why they cannot be used, or nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    homes.mkdir(parents=True, exist_ok=True)
    people, groups = Path("/etc/passwd"), Path("/etc/group")
    lines, teams = _without(people), _without(groups)
    for number, name in enumerate(USERS, FIRST_ID):
        lines.append(f"{name}:*:{number}:{number}:{name}:{homes / name}:/bin/bash")
        teams.append(f"{name}:*:{number}:")
    for file, content in ((people, lines), (groups, teams)):
        copy = folder / file.name
        copy.write_text("\n".join(content) + "\n")
        copy.chmod(0o644)
        _mount("--bind", str(copy), str(file))
    for place in (homes.parent, homes):
        place.chmod(0o711)  # the accounts pass through
    return _unreachable(homes)


def let_through(*places: Path) -> None:
    """Let the accounts pass through the folders above these places, in this namespace alone.

    Before anything else is started: for a moment what is in these folders is not seen.
    """
    for place in places:
        for folder in reversed(place.parents):
            if not folder.stat().st_mode & 0o001:
                _lay_over(folder)
    os.chdir(Path.cwd())  # where it is was perhaps laid over


def _lay_over(folder: Path) -> None:
    """Lay one that everyone passes through over a folder; all that is in it stays as it was."""
    behind = Path(tempfile.mkdtemp(prefix="farlab-demo-"))
    _mount("--bind", str(folder), str(behind))
    _mount("-t", "tmpfs", "-o", "mode=711", "tmpfs", str(folder))
    for entry in os.scandir(behind):
        place = folder / entry.name
        if entry.is_symlink():
            place.symlink_to(Path(entry.path).readlink())
            continue
        if entry.is_dir():
            place.mkdir()
        else:
            place.touch()
        _mount("--bind", entry.path, str(place))
    subprocess.run(["umount", "--lazy", str(behind)], check=True)
    behind.rmdir()


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _without(file: Path) -> list[str]:
    """Return a file's lines without those of the demo's names."""
    return [one for one in file.read_text().splitlines() if one.partition(":")[0] not in USERS]


def _unreachable(homes: Path) -> str:
    """Return what the accounts cannot reach, in words."""
    ids = [f"--reuid={FIRST_ID}", f"--regid={FIRST_ID}", "--clear-groups"]
    for command, place in (
        ([sys.executable, "-c", "import farlab_relay"], sys.prefix),
        (["test", "-x", str(homes)], str(homes)),
    ):
        if not _works("setpriv", *ids, *command):
            return f"other accounts than root cannot reach {place}"
    return ""


def _works(*command: str) -> bool:
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


def hand_over(folder: Path, name: str) -> None:
    """Give a folder with all in it to an account of the demo; no link is followed."""
    number = FIRST_ID + USERS.index(name)
    for place, folders, files in os.walk(folder):
        for one in (".", *folders, *files):
            os.chown(Path(place, one), number, number, follow_symlinks=False)
    folder.chmod(0o700)
