"""A login node's sshd, and the tunnel that a hub opens through it: OpenSSH's own programs."""

from __future__ import annotations

import getpass
import shutil
import subprocess
from pathlib import Path

from farlab_real.netns import Namespace
from farlab_real.processes import Process

SSHD = "/usr/sbin/sshd"

# As most sites have it: what the hub's key may do is said beside the key.
_CONFIG = """
ListenAddress {host}
Port {port}
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
"""


class LoginNode:
    """An sshd at `host:port`, and the hub's key for it; `options` are those of authorized_keys."""

    def __init__(
        self, folder: Path, namespace: Namespace, host: str, port: int, options: str
    ) -> None:
        if not Path(SSHD).exists() or shutil.which("ssh") is None:
            raise RuntimeError("sshd or ssh is missing: apt-get install openssh-server")
        self.folder = folder
        self.host, self.port = host, port
        for name in ("host_key", "key"):
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
        own = (folder / "key.pub").read_text()
        (folder / "authorized_keys").write_text(f"{options} {own}")
        public = (folder / "host_key.pub").read_text()
        (folder / "known_hosts").write_text(f"[{host}]:{port} {public}")
        values = {"folder": folder, "host": host, "port": port}
        (folder / "sshd_config").write_text(_CONFIG.format(**values))
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's, made by its service at boot
        argv = namespace.command(SSHD, "-D", "-e", "-f", str(folder / "sshd_config"))
        self.process = Process(argv, folder / "sshd.log")

    def start(self) -> None:
        """Start it and return when it listens."""
        self.process.start()
        listening = f"listening on {self.host}"
        self.process.wait_until(lambda: listening in self.process.read_log(), "sshd listens")

    def tunnel(self, namespace: Namespace, path: Path, target: str) -> Process:
        """Return the client that makes a Unix socket lead to the target, to be started."""
        options = {
            "UserKnownHostsFile": self.folder / "known_hosts",
            "StrictHostKeyChecking": "yes",
            "IdentitiesOnly": "yes",
            "ExitOnForwardFailure": "yes",
            "StreamLocalBindUnlink": "yes",
            "ServerAliveInterval": "15",
        }
        argv = ["ssh", "-N", "-F", "none", "-i", str(self.folder / "key"), "-p", str(self.port)]
        for key, value in options.items():
            argv += ["-o", f"{key}={value}"]
        argv += ["-L", f"{path}:{target}", f"{getpass.getuser()}@{self.host}"]
        return Process(namespace.command(*argv), self.folder / "ssh.log")
