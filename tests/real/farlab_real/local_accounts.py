"""Local accounts made for a test and removed after it, with sudo's leave to act as them."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SUDOERS = Path("/etc/sudoers.d")
NEEDED = ("useradd", "userdel", "sudo", "visudo")
SEARCH = "/usr/sbin:/usr/bin:/sbin:/bin"
ATTEMPTS = 50  # other tests may hold the password file's lock


class AccountsUnavailableError(RuntimeError):
    """This machine can't have accounts for tests; the message says why."""


def check_machine() -> None:
    """Raise AccountsUnavailableError when a program is missing or this is not root."""
    missing = [name for name in NEEDED if shutil.which(name, path=SEARCH) is None]
    if missing:
        raise AccountsUnavailableError(f"{', '.join(missing)} missing: apt-get install passwd sudo")
    if os.geteuid() != 0:
        raise AccountsUnavailableError("local accounts for tests need root; run this as root")


@contextmanager
def local_accounts(count: int) -> Iterator[list[str]]:
    """Make this many accounts, each with a home and a shell; yields their names."""
    check_machine()
    names = [f"flt{secrets.token_hex(4)}" for _ in range(count)]
    try:
        for name in names:
            _patiently(["useradd", "--create-home", "--shell", "/bin/sh", name])
        yield names
    finally:
        for name in names:
            _remove(name)


def _remove(name: str) -> None:
    try:
        home = pwd.getpwnam(name).pw_dir
    except KeyError:
        return
    _patiently(["userdel", "--force", name])
    shutil.rmtree(home, ignore_errors=True)


def _patiently(argv: Sequence[str]) -> None:
    for _ in range(ATTEMPTS):
        done = subprocess.run(
            argv, capture_output=True, text=True, env={"PATH": SEARCH}, check=False
        )
        if "lock" not in done.stderr:
            break
        time.sleep(0.2)
    if done.returncode:
        raise AccountsUnavailableError(f"{' '.join(argv)}: {done.stderr.strip()}")


@contextmanager
def sudo_leave(service: str, accounts: Sequence[str]) -> Iterator[None]:
    """Let one account run anything as the others, without a password, and nothing as root."""
    file = SUDOERS / f"farlab-test-{service}"
    rule = f"{service} ALL=({','.join(accounts)}) NOPASSWD: ALL\n"
    draft = file.with_name(f".{file.name}.tmp")  # sudo skips names with a dot
    draft.write_text(rule)
    draft.chmod(0o440)
    draft.rename(file)
    try:
        yield
    finally:
        file.unlink()
