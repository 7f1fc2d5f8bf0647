"""slurmdbd for a test Slurm: its files, and what a slurm.conf needs to use it."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from farlab_real import mariadb


@dataclass(frozen=True)
class DbdPaths:
    """Where a cluster's accounting keeps its files, below the cluster's folder."""

    folder: Path

    @property
    def database(self) -> Path:
        """The folder of the database server."""
        return self.folder / "mariadb"

    @property
    def conf(self) -> Path:
        """The slurmdbd.conf."""
        return self.folder / "slurmdbd.conf"

    @property
    def env(self) -> dict[str, str]:
        """What tells slurmdbd where the database's socket is."""
        return {"MYSQL_UNIX_PORT": str(mariadb.socket_path(self.database))}


def write_conf(paths: DbdPaths, *, munge: Path, log: Path, port: int) -> None:
    """Write slurmdbd.conf, which slurmdbd wants to be private."""
    text = f"""\
AuthType=auth/munge
AuthInfo=socket={munge}
DbdHost={socket.gethostname()}
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm
CommunicationParameters=NoInAddrAny
LogFile={log}
PidFile={paths.folder}/slurmdbd.pid
"""
    paths.conf.touch(mode=0o600)
    paths.conf.write_text(text)


def slurm_lines(*, munge: Path, port: int, gpu_type: str) -> str:
    """Return what goes into slurm.conf."""
    return f"""\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={munge}
AccountingStorageTRES=gres/gpu,gres/gpu:{gpu_type}
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
"""
