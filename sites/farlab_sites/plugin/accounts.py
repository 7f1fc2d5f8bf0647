"""Local accounts: which may run jobs, and how the plugin acts as one of them.

As root, a command gets the account's user, group and groups and nothing else of root's. As any
other user it goes through `sudo -n -u NAME`, which the site allows for just those accounts.
`None` in place of an account means the plugin's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import pwd
import re
import signal
import stat
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.@-]{0,63}")
LOWEST_UID = 1000
NOBODY = 65534
PATH = "/usr/local/bin:/usr/bin:/bin"
LIMIT = 30.0  # seconds for one command
GRACE = 5.0  # seconds more than the limit, for sudo to start a command and to end it
KILL_AFTER = 2.0  # seconds that a command has to end when it is told to
LOOKUP_KEPT = 60.0  # seconds
MOST_READ = 64 * 1024 * 1024  # bytes of a file that are read at most

# Run as the account, which may not write the folder above: a place that exists is never taken over.
UNPACK = (
    'umask 077; mkdir -- "$1" 2>/dev/null || [ "$2" = made ] || exit 73; exec tar -xf - -C "$1"'
)
READ = (
    '[ -f "$1" ] && [ ! -L "$1" ] && [ -O "$1" ] || exit 66; '
    'if [ "$2" = 0 ]; then tail -c "+$3" -- "$1" | head -c "$4"; else exec tail -c "$2" -- "$1"; fi'
)


class AccountError(Exception):
    """A local account that can't be used, or that a command failed as; the message says why."""


class CommandTimeout(AccountError):  # noqa: N818 - it names what happened
    """A command did not end within its time limit."""


@dataclass(frozen=True)
class Account:
    """A local account as the system knows it."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str

    @classmethod
    def of(cls, entry: pwd.struct_passwd) -> Account:
        """Make it from a line of the password database."""
        groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir)


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: bytes
    err: str


class AccountPolicy:
    """Which local accounts jobs may run as: those that match one of `allow`, never a system's."""

    def __init__(self, allow: Sequence[str] = ()) -> None:
        self._allow = [re.compile(pattern) for pattern in allow]
        self._found: dict[str, tuple[float, Account]] = {}

    def resolve(self, name: str) -> Account:
        """Return the account of this name, looked up at most once a minute.

        Raises:
            AccountError: it may not be used, or does not exist here.

        """
        found, account = self._found.get(name, (float("-inf"), None))
        if account is None or time.monotonic() - found > LOOKUP_KEPT:
            account = self._look_up(name)
            self._found[name] = (time.monotonic(), account)
        return account

    def _look_up(self, name: str) -> Account:
        if not NAME.fullmatch(name):
            raise AccountError(f"{name!r} is not the name of a local account; correct the mapping")
        if not any(pattern.fullmatch(name) for pattern in self._allow):
            raise AccountError(
                f"the local account {name} may not be used at this site; its operator can allow "
                "it in plugin.yaml (accounts: {allow: [...]})"
            )
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            raise AccountError(
                f"there is no local account {name} at this site; ask its operator for one"
            ) from None
        if _is_system(entry):
            raise AccountError(
                f"{name} is a system account, which never runs jobs; map the user to another one"
            )
        return Account.of(entry)

    def admits(self, uid: int) -> bool:
        """Say whether the user with this number is an account that jobs may run as."""
        try:
            self.resolve(pwd.getpwuid(uid).pw_name)
        except (KeyError, AccountError):
            return False
        return True


def _is_system(entry: pwd.struct_passwd) -> bool:
    no_login = Path(entry.pw_shell).name in {"nologin", "false"}
    return entry.pw_uid < LOWEST_UID or entry.pw_uid == NOBODY or no_login


def own_account() -> Account:
    """Return the account that this process runs as."""
    return _account_of(os.geteuid())


@cache
def _account_of(uid: int) -> Account:
    try:
        return Account.of(pwd.getpwuid(uid))
    except KeyError:  # a container's numeric user without an entry
        return Account(str(uid), uid, os.getegid(), (os.getegid(),), "/")


def environment(account: Account, extra: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a command that runs as the account."""
    who = {"USER": account.name, "LOGNAME": account.name, "HOME": account.home}
    return {"PATH": PATH, "LANG": "C.UTF-8", **who, **extra}


def needs_sudo(account: Account | None) -> bool:
    """Say whether this process needs sudo to act as the account."""
    return account is not None and os.geteuid() not in {0, account.uid}


def command(
    account: Account | None, argv: Sequence[str], env: Mapping[str, str]
) -> tuple[list[str], dict[str, Any]]:
    """Return the arguments of a subprocess that runs `argv` as the account: argv and keywords.

    `env` is added to the few variables of every command; through sudo it travels as `env A=B`
    on the command line, so it must hold no secret.
    """
    own = own_account()
    if account is None or account.uid == own.uid:
        return list(argv), {"env": environment(own, env), "cwd": "/"}
    full = environment(account, env)
    if not needs_sudo(account):
        keywords = {"user": account.uid, "group": account.gid, "extra_groups": account.groups}
        return list(argv), {"env": full, "cwd": "/", **keywords}
    pairs = [f"{name}={value}" for name, value in full.items()]
    sudo = ["sudo", "-n", "-u", account.name, "--", "/usr/bin/env", "-i", *pairs]
    return [*sudo, *argv], {"env": environment(own, {}), "cwd": "/"}


async def run(
    account: Account | None,
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    limit: float = LIMIT,
) -> Done:
    """Run a command as the account, for at most `limit` seconds.

    Through sudo the limit holds inside (`timeout`): nobody but root can end what sudo started.

    Raises:
        CommandTimeout: it did not end in time.
        AccountError: it could not be started, or sudo refused.

    """
    inside = (
        ["timeout", f"--kill-after={KILL_AFTER:g}", f"{limit:g}"] if needs_sudo(account) else []
    )
    full, keywords = command(account, [*inside, *argv], env or {})
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *full, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True, **keywords
        )
    except OSError as error:
        raise AccountError(f"could not run {argv[0]}: {error.strerror}") from None
    try:
        out, err = await asyncio.wait_for(
            process.communicate(stdin), limit + GRACE if inside else limit
        )
    except TimeoutError:
        raise CommandTimeout(f"{argv[0]} did not end within {limit:g} s") from None
    finally:
        await _end(process)
    done = Done(process.returncode or 0, out, err.decode(errors="replace"))
    if inside and done.code in {124, 137}:
        raise CommandTimeout(f"{argv[0]} did not end within {limit:g} s")
    _check_sudo(account, done)
    return done


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a command that nobody waits for any more, with all it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), KILL_AFTER)


def _check_sudo(account: Account | None, done: Done) -> None:
    if account and done.code and done.err.startswith("sudo:"):
        raise AccountError(
            f"the plugin may not act as {account.name}: {done.err.strip()}; its operator must "
            "allow it in sudoers (see docs/slurm.md)"
        )


def pack(files: Mapping[str, tuple[bytes, int]]) -> bytes:
    """Return a tar archive of files: relative path to content and mode. Folders are 0700."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        folders = {str(parent) for path in files for parent in Path(path).parents}
        for folder in sorted(folders - {"."}):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o700
            tar.addfile(entry)
        for path, (content, mode) in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


async def create_folder(account: Account | None, folder: Path, archive: bytes) -> None:
    """Make the folder (0700, owned by the account) and unpack a tar archive in it.

    The content travels on stdin, never on a command line.

    Raises:
        AccountError: the folder exists already, or could not be made.

    """
    if account is None or account.uid == os.geteuid():
        return await asyncio.to_thread(_unpack, folder, archive)
    made = os.geteuid() == 0
    if made:
        await asyncio.to_thread(_make_for, account, folder)
    argv = ["/bin/sh", "-c", UNPACK, "sh", str(folder), "made" if made else "new"]
    done = await run(account, argv, stdin=archive)
    if done.code:
        why = done.err.strip() or "it exists already, or the folder above may not be written"
        raise AccountError(f"could not make the folder {folder}: {why}")


def _unpack(folder: Path, archive: bytes) -> None:
    """Do it without a command, for the plugin's own account."""
    try:
        folder.mkdir(mode=0o700)
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for entry in tar:
                _unpack_entry(tar, entry, folder / entry.name)
    except OSError as error:
        raise AccountError(f"could not make the folder {folder}: {error.strerror}") from None


def _unpack_entry(tar: tarfile.TarFile, entry: tarfile.TarInfo, path: Path) -> None:
    content = tar.extractfile(entry)
    if content is None:
        path.mkdir(mode=entry.mode, exist_ok=True)
        return
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, entry.mode)
    with os.fdopen(number, "wb") as file:
        file.write(content.read())


def _make_for(account: Account, folder: Path) -> None:
    """As root: make the empty folder for the account, whose parent belongs to root."""
    try:
        folder.mkdir(mode=0o700)
        os.chown(folder, account.uid, account.gid)
    except OSError as error:
        raise AccountError(f"could not make the folder {folder}: {error.strerror}") from None


async def remove_folder(account: Account | None, folder: Path) -> None:
    """Remove the folder and all in it, as the account; no error when it is gone already.

    Raises:
        AccountError: something of it could not be removed.

    """
    argv = ["/bin/sh", "-c", 'chmod -R u+rwX -- "$1"; exec rm -rf -- "$1"', "sh", str(folder)]
    done = await run(account, argv)
    if not await asyncio.to_thread(_remove_empty, folder):
        raise AccountError(f"could not remove {folder}: {done.err.strip()}")


def _remove_empty(folder: Path) -> bool:
    """Remove a folder that the account emptied but could not take from root's folder above."""
    with contextlib.suppress(OSError):
        folder.rmdir()
    return not folder.exists()


async def write_word(account: Account | None, path: Path, word: str) -> None:
    """Write a short private file into a folder of the account's; no error when that is gone.

    Raises:
        AccountError: it cannot be written.

    """
    script = 'umask 077; test ! -d "$1" || printf %s "$3" > "$1/$2"'
    argv = ["/bin/sh", "-c", script, "sh", str(path.parent), path.name, word]
    done = await run(account, argv)
    if done.code:
        raise AccountError(f"could not write {path}: {done.err.strip()}")


async def read_file(
    account: Account | None, path: Path, *, tail: int = 0, start: int = 0, most: int = MOST_READ
) -> bytes | None:
    """Return a file of the account's, None if absent.

    It is the last `tail` bytes where that is not 0, otherwise `most` bytes from `start` on. What is
    not a regular file of the account's own is absent: a link, a FIFO, someone else's file.
    """
    if account is None or not needs_sudo(account):
        uid = (account or own_account()).uid
        return await asyncio.to_thread(_read_own, uid, path, tail, start, most)
    argv = ["/bin/sh", "-c", READ, "sh", str(path), str(tail), str(start + 1), str(most)]
    done = await run(account, argv)
    return done.out if done.code == 0 else None


def _read_own(uid: int, path: Path, tail: int, start: int, most: int) -> bytes | None:
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    status = os.fstat(number)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != uid:
        os.close(number)
        return None
    with os.fdopen(number, "rb") as file:
        file.seek(max(0, status.st_size - tail) if tail else start)
        return file.read(min(tail or most, MOST_READ))
