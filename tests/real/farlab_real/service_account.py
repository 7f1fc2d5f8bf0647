"""A plugin that runs as an ordinary account and acts as others through sudo."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from farlab_real.local_accounts import AccountsUnavailableError, sudo_leave
from farlab_real.plugin_pods import Client, configuration, eventually
from farlab_real.processes import Process


@contextlib.asynccontextmanager
async def running_as(
    service: str, leave: Sequence[str], home: Path, **more: Any
) -> AsyncIterator[Client]:
    """Run the plugin as `service`, which may act as the accounts in `leave` and as nobody else.

    `more` are further keys of plugin.yaml. Raises AccountsUnavailableError when other accounts
    can't reach this Python.
    """
    entry = pwd.getpwnam(service)
    drop = ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
    if subprocess.run([*drop, sys.executable, "-c", "import aiohttp"], check=False).returncode:
        raise AccountsUnavailableError("other accounts can't run this Python: open its folders")
    more = {"accounts": {"allow": [*leave]}, **more}
    (home / "plugin.yaml").write_text(configuration(home, **more))
    os.chown(home, entry.pw_uid, entry.pw_gid)
    farlab = [sys.executable, "-m", "farlab_sites.plugin.main", "--config", f"{home}/plugin.yaml"]
    process = Process([*drop, *farlab], home / "log", env={"PATH": os.environ["PATH"]})
    client = Client(f"unix://{home}/plugin.sock")

    async def answers() -> bool:
        assert process.running, process.read_log()
        return (home / "plugin.sock").exists()

    with sudo_leave(service, leave):
        process.start()
        try:
            await eventually(answers, "the plugin listens")
            yield client
        finally:
            await client.session.close()
            process.stop()
