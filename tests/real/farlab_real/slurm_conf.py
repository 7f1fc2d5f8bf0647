"""The files of a test Slurm: slurm.conf, gres.conf, the fake GPUs and the munge key."""

from __future__ import annotations

import os
import random
import secrets
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from farlab_real import slurmdbd

NVIDIA_MAJOR = 195


@dataclass(frozen=True)
class ClusterShape:
    """What the cluster looks like: the number of nodes of each kind and what each node has."""

    nodes: int = 4
    """GPU nodes (g1, g2, ...), partition `gpu`."""
    gpus: int = 8
    """GPUs on each GPU node."""
    gpu_type: str = "a100"
    cpu_nodes: int = 2
    """Nodes without GPUs (c1, c2, ...), partition `cpu`, which is the default."""
    quantum_nodes: int = 1
    """Nodes with one quantum device each (q1, ...), partition `quantum`."""
    cpus: int = 16
    memory_mb: int = 65536
    max_time: str = "UNLIMITED"
    """MaxTime of every partition, as Slurm writes it (`8:00:00`)."""
    min_job_age: int = 300
    """Seconds for which Slurm remembers an ended job."""
    kill_wait: int = 10
    """Seconds between SIGTERM and SIGKILL at a job's end."""
    accounting: bool = False
    """Whether a slurmdbd keeps the jobs: takes some seconds and a database server."""

    def node_names(self) -> list[str]:
        """Return every node's name, in the order of the partitions gpu, cpu, quantum."""
        kinds = (("g", self.nodes), ("c", self.cpu_nodes), ("q", self.quantum_nodes))
        return [f"{letter}{number}" for letter, count in kinds for number in range(1, count + 1)]


@dataclass(frozen=True)
class ClusterPaths:
    """Where a cluster keeps its files; everything lies below one folder."""

    folder: Path

    @property
    def conf(self) -> Path:
        """The slurm.conf; the value of SLURM_CONF."""
        return self.folder / "slurm.conf"

    @property
    def munge_socket(self) -> Path:
        """The socket on which this cluster's own munged listens."""
        return self.folder / "munge" / "munge.sock"

    @property
    def munge_key(self) -> Path:
        """The key of this cluster's munged, readable by root alone."""
        return self.folder / "munge-private" / "munge.key"

    @property
    def dbd(self) -> slurmdbd.DbdPaths:
        """The files of the cluster's accounting."""
        return slurmdbd.DbdPaths(self.folder)

    @property
    def logs(self) -> Path:
        """The folder of the daemons' logs."""
        return self.folder / "log"

    @property
    def devices(self) -> Path:
        """The folder of the fake GPU devices."""
        return self.folder / "dev"


def free_ports(count: int) -> list[int]:
    """Return `count` neighbouring free TCP ports on 127.0.0.1, below the ephemeral range."""
    for _ in range(200):
        first = random.randrange(12000, 32000 - count)
        ports = list(range(first, first + count))
        if all(_is_free(port) for port in ports):
            return ports
    raise RuntimeError(f"no {count} neighbouring free ports on 127.0.0.1; stop other test clusters")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def write_files(paths: ClusterPaths, shape: ClusterShape) -> None:
    """Write every file that the daemons need; jobs of any local account can use the cluster."""
    make_folders(paths)
    ports = free_ports(2 + len(shape.node_names()))
    make_devices(paths.devices, [*(f"nvidia{n}" for n in range(shape.gpus)), "qpu0"])
    (paths.folder / "gres.conf").write_text(gres_conf(paths, shape))
    paths.conf.write_text(slurm_conf(paths, shape, ports))
    paths.conf.chmod(0o644)
    if shape.accounting:
        log = paths.logs / "slurmdbd.log"
        slurmdbd.write_conf(paths.dbd, munge=paths.munge_socket, log=log, port=ports[-1])


def make_folders(paths: ClusterPaths) -> None:
    """Make the folders: what users need is open to all, the munge key and Slurm's state are not."""
    paths.folder.mkdir(parents=True, exist_ok=True)
    for folder in (paths.folder, paths.munge_socket.parent, paths.devices, paths.logs):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
    for folder in (paths.munge_key.parent, paths.folder / "state", paths.folder / "spool"):
        folder.mkdir(exist_ok=True)
    paths.munge_key.parent.chmod(0o700)
    (paths.folder / "state").chmod(0o700)
    (paths.folder / "spool").chmod(0o755)  # job scripts start from here as their account
    paths.munge_key.touch(mode=0o600)
    paths.munge_key.write_bytes(secrets.token_bytes(128))


def make_devices(folder: Path, names: list[str]) -> None:
    """Make the device files that stand for GPUs and quantum devices; no driver is behind them.

    Slurm could count quantum devices without a file, but then it can't say when one is free.
    """
    for number, name in enumerate(names):
        device = folder / name
        if not device.exists():
            os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(NVIDIA_MAJOR, number))


def gres_conf(paths: ClusterPaths, shape: ClusterShape) -> str:
    """Return gres.conf: the GPUs of the g nodes and the quantum devices of the q nodes."""
    lines = []
    if shape.nodes and shape.gpus:
        device = f"{paths.devices}/nvidia[0-{shape.gpus - 1}]"
        if shape.gpus == 1:
            device = f"{paths.devices}/nvidia0"
        lines.append(f"NodeName=g[1-{shape.nodes}] Name=gpu Type={shape.gpu_type} File={device}")
    if shape.quantum_nodes:
        lines.append(
            f"NodeName=q[1-{shape.quantum_nodes}] Name=qpu Type=qmio File={paths.devices}/qpu0"
        )
    return "\n".join(lines) + "\n"


def slurm_conf(paths: ClusterPaths, shape: ClusterShape, ports: list[int]) -> str:
    """Return slurm.conf for daemons that all run on this host and listen on loopback only."""
    folder, host = paths.folder, socket.gethostname()
    head = f"""\
ClusterName=farlab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={paths.munge_socket}
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={paths.logs}/slurmctld.log
SlurmdLogFile={paths.logs}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0,default_queue_depth=10000,\
bf_interval=2,bf_continue
JobCompType=jobcomp/none
DefMemPerCPU=512
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmdParameters=config_overrides
GresTypes=gpu,qpu
ReturnToService=2
MaxJobCount=20000
TreeWidth=65533
MinJobAge={shape.min_job_age}
KillWait={shape.kill_wait}
SlurmctldTimeout=300
SlurmdTimeout=300
MessageTimeout=30
"""
    head += accounting_lines(paths, shape, ports[-1])
    return head + "\n".join([*node_lines(shape, host, ports[1:-1]), *partition_lines(shape), ""])


def accounting_lines(paths: ClusterPaths, shape: ClusterShape, port: int) -> str:
    """Return who keeps the jobs that have ended."""
    if shape.accounting:
        munge = paths.munge_socket
        return slurmdbd.slurm_lines(munge=munge, port=port, gpu_type=shape.gpu_type)
    storage, gather = "accounting_storage/none", "jobacct_gather/none"
    return f"AccountingStorageType={storage}\nJobAcctGatherType={gather}\n"


def node_lines(shape: ClusterShape, host: str, ports: list[int]) -> list[str]:
    """Return one NodeName line per node, each with its own port."""
    gres = {"g": f" Gres=gpu:{shape.gpu_type}:{shape.gpus}", "q": " Gres=qpu:qmio:1", "c": ""}
    if not shape.gpus:
        gres["g"] = ""
    return [
        f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={shape.cpus} "
        f"RealMemory={shape.memory_mb} State=UNKNOWN{gres[name[0]]}"
        for name, port in zip(shape.node_names(), ports, strict=True)
    ]


def partition_lines(shape: ClusterShape) -> list[str]:
    """Return one line per partition that has nodes; `cpu` is the default where it exists."""
    kinds = (
        ("gpu", "g", shape.nodes),
        ("cpu", "c", shape.cpu_nodes),
        ("quantum", "q", shape.quantum_nodes),
    )
    default = "cpu" if shape.cpu_nodes else "gpu"
    return [
        f"PartitionName={name} Nodes={letter}[1-{count}] State=UP MaxTime={shape.max_time} "
        f"Default={'YES' if name == default else 'NO'}"
        for name, letter, count in kinds
        if count
    ]
