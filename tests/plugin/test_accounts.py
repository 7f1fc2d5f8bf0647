"""Acting as a local account: what is refused, what a command gets, and safe reads."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from farlab_real.local_accounts import local_accounts
from farlab_sites.plugin import accounts
from farlab_sites.plugin.accounts import Account, AccountError, AccountPolicy, CommandTimeout


@pytest.fixture(scope="module")
def names() -> Iterator[list[str]]:
    with local_accounts(2) as made:
        yield made


@pytest.fixture
def two(names: list[str]) -> list[Account]:
    policy = AccountPolicy(["flt.*"])
    return [policy.resolve(name) for name in names]


@pytest.fixture
def base() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="farlab-accounts-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("root", "system account"),
        ("daemon", "system account"),
        ("nobody", "system account"),
        ("no-such-account", "no local account"),
        ("", "not the name"),
        ("-u root", "not the name"),
        ("a;id", "not the name"),
        ("$(id)", "not the name"),
        ("a\n", "not the name"),
        ("0", "not the name"),
        ("ünal", "not the name"),
    ],
)
def test_accounts_that_never_run_jobs(name: str, why: str) -> None:
    with pytest.raises(AccountError, match=why):
        AccountPolicy([".*"]).resolve(name)


def test_only_what_the_site_allows_is_used(names: list[str]) -> None:
    for allow in ([], ["itw[0-9]+"], [names[0][:-1]], [names[1]]):
        with pytest.raises(AccountError, match=r"may not be used at this site.*plugin\.yaml"):
            AccountPolicy(allow).resolve(names[0])
    assert AccountPolicy(["flt.*"]).resolve(names[0]).name == names[0]


def test_a_user_number_is_admitted_like_its_name(two: list[Account]) -> None:
    policy = AccountPolicy([two[0].name])
    assert policy.admits(two[0].uid)
    assert not policy.admits(two[1].uid)
    assert not policy.admits(0)
    assert not policy.admits(3999999999)


async def test_a_command_has_the_accounts_rights_and_no_more(
    two: list[Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLUGINS_SECRET", "x")
    done = await accounts.run(two[0], ["sh", "-c", "id; env; pwd; umask"], env={"MORE": "a b"})
    out = done.out.decode()
    assert f"uid={two[0].uid}({two[0].name})" in out
    assert "root" not in out
    assert "PLUGINS_SECRET" not in out
    assert "MORE=a b" in out
    assert f"HOME={two[0].home}" in out


async def test_a_command_that_hangs_is_ended(two: list[Account]) -> None:
    for account in (None, two[0]):
        with pytest.raises(CommandTimeout, match=r"did not end within 0\.2 s"):
            await accounts.run(account, ["sleep", "600"], limit=0.2)


async def test_a_command_whose_caller_gives_up_is_ended(two: list[Account], base: Path) -> None:
    mark = base / "pid"
    mark.touch()
    mark.chmod(0o666)
    argv = ["sh", "-c", f"echo $$ > {mark}; exec sleep 600"]
    task = asyncio.create_task(accounts.run(two[0], argv, limit=100))
    while not mark.read_text():
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    running = Path("/proc") / mark.read_text().strip()
    while running.exists():
        await asyncio.sleep(0.02)


async def test_a_missing_program_is_said(two: list[Account]) -> None:
    with pytest.raises(AccountError, match="could not run /no/such/program: No such file"):
        await accounts.run(two[0], ["/no/such/program"])


async def test_a_folder_is_the_accounts_alone(two: list[Account], base: Path) -> None:
    archive = accounts.pack({"a/b/secret": (b"s3", 0o600), "run": (b"#!", 0o700)})
    folder = base / "job"
    await accounts.create_folder(two[0], folder, archive)
    for path, mode in ((folder, 0o700), (folder / "a", 0o700), (folder / "a/b/secret", 0o600)):
        status = path.stat()
        assert (status.st_uid, status.st_mode & 0o777) == (two[0].uid, mode)
    assert await accounts.read_file(two[0], folder / "a/b/secret") == b"s3"
    other = await accounts.run(two[1], ["cat", str(folder / "run")])
    assert other.code != 0
    with pytest.raises(AccountError, match="could not make the folder"):
        await accounts.create_folder(two[1], folder, archive)
    await accounts.remove_folder(two[0], folder)
    await accounts.remove_folder(two[0], folder)  # again: no error
    assert not folder.exists()


async def test_a_folder_of_the_plugins_own_account(base: Path) -> None:
    folder = base / "own"
    await accounts.create_folder(None, folder, accounts.pack({"x/y": (b"1", 0o600)}))
    assert (folder.stat().st_mode & 0o777, (folder / "x/y").read_bytes()) == (0o700, b"1")
    with pytest.raises(AccountError, match="could not make the folder"):
        await accounts.create_folder(None, folder, accounts.pack({}))
    await accounts.remove_folder(None, folder)
    assert not folder.exists()


async def test_reads_never_leave_the_accounts_own_files(two: list[Account], base: Path) -> None:
    folder = base / "job"
    await accounts.create_folder(two[0], folder, accounts.pack({"log": (b"0123456789", 0o600)}))
    theirs = base / "theirs"
    theirs.write_text("root's")
    (folder / "link").symlink_to(theirs)
    (folder / "loop").symlink_to(folder / "loop")
    os.link(theirs, folder / "hard")
    os.mkfifo(folder / "fifo")
    os.chown(folder / "fifo", two[0].uid, two[0].gid)
    (folder / "up").symlink_to(base)
    for name in ("link", "loop", "hard", "fifo", "up/theirs", "absent", "."):
        assert await accounts.read_file(two[0], folder / name) is None
    assert await accounts.read_file(two[0], folder / "log", tail=3) == b"789"
    assert await accounts.read_file(two[0], folder / "log", tail=99) == b"0123456789"
