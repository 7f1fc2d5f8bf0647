"""What a Slurm site has free now: at most one sinfo in ten seconds, and the shared queue."""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from farlab_sites.plugin.driver import BatchSystemDown
from farlab_sites.plugin.slurm_commands import SlurmCommands
from farlab_sites.plugin.slurm_queue import Queue, Snapshot, moment

NODES_KEPT = 10.0  # seconds
ESTIMATE_KEPT = 60.0  # seconds
FIELDS = (
    ("PartitionName", 60),
    ("Available", 12),
    ("NodeList", 60),
    ("StateLong", 24),
    ("CPUsState", 40),
    ("Memory", 16),
    ("Gres", 200),
    ("GresUsed", 200),
)
FORMAT = ",".join(f"{name}:{width}|" for name, width in FIELDS)
SINFO = ("sinfo", "--noheader", "--Node", f"--Format={FORMAT}")
USABLE = frozenset({"idle", "mixed", "allocated", "completing", "planned"})
RESOURCES = {"gpu": "nvidia.com/gpu", "qpu": "farlab/qpu"}
START = re.compile(r"to start at (\S+)")


@dataclass(frozen=True)
class Node:
    """One node as a member of one partition."""

    partition: str
    available: str  # of the partition: up, down, drain, inact
    name: str
    usable: bool
    cpus: int
    cpus_free: int
    memory: int  # MiB
    gres: dict[str, int]  # kind to number: gpu, qpu
    gres_free: dict[str, int]

    @property
    def free(self) -> bool:
        """Whether nothing runs on it."""
        return self.usable and self.cpus_free == self.cpus


def parse(text: str) -> list[Node]:
    """Return the nodes of sinfo's output; lines that make no sense are left out."""
    rows = ([part.strip() for part in line.split("|")] for line in text.splitlines())
    return [_node(parts) for parts in rows if len(parts) == len(FIELDS) + 1]


def _node(parts: list[str]) -> Node:
    partition, available, name, state, cpus, memory, gres, used = parts[:8]
    _, idle, _, total = (int(number) for number in cpus.split("/"))
    # A trailing sign says more, `*` that the node does not answer, `~` that it is asleep.
    usable = state.rstrip("~#+$@^-") in USABLE
    has, busy = gres_counts(gres), gres_counts(used)
    return Node(
        partition=partition,
        available=available,
        name=name,
        usable=usable,
        cpus=total,
        cpus_free=idle if usable else 0,
        memory=int(memory) if memory.isdigit() else 0,
        gres=has,
        gres_free={kind: max(0, n - busy.get(kind, 0)) if usable else 0 for kind, n in has.items()},
    )


def gres_counts(text: str) -> dict[str, int]:
    """Return how many of each kind: `gpu:a100:4(IDX:0-3),qpu:qmio:1` is 4 gpu and 1 qpu."""
    counts: dict[str, int] = defaultdict(int)
    for part in re.sub(r"\([^)]*\)", "", text).split(","):
        kind, *rest = part.split(":")
        if rest and rest[-1].isdigit():
            counts[kind] += int(rest[-1])
    return dict(counts)


def partition_facts(nodes: Iterable[Node], snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return what each partition has, and how many jobs wait for it."""
    members: dict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        members[node.partition].append(node)
    return [_partition(name, group, snapshot) for name, group in members.items()]


def _partition(name: str, nodes: list[Node], snapshot: Snapshot) -> dict[str, Any]:
    usable = [node for node in nodes if node.usable]
    up = nodes[0].available == "up"
    facts = {
        "name": name,
        "state": nodes[0].available if usable or not up else "down",
        "nodes": len(usable),
        "nodes_down": len(nodes) - len(usable),
        "nodes_free": sum(node.free for node in nodes),
        "cpus": sum(node.cpus for node in usable),
        "cpus_free": sum(node.cpus_free for node in nodes),
        "waiting": len(snapshot.waiting.get(name, ())),
        "start_estimate": None,
    }
    for kind in RESOURCES:
        facts[f"{kind}s"] = sum(node.gres.get(kind, 0) for node in usable)
        facts[f"{kind}s_free"] = sum(node.gres_free.get(kind, 0) for node in nodes)
    return facts


def resources(nodes: Iterable[Node]) -> dict[str, Any]:
    """Return what the usable nodes have in total, as interLink's ping answer wants it."""
    usable = {node.name: node for node in nodes if node.usable}.values()
    accelerators = [
        {"resourceType": resource, "available": sum(node.gres.get(kind, 0) for node in usable)}
        for kind, resource in RESOURCES.items()
    ]
    return {
        "cpu": str(sum(node.cpus for node in usable)),
        "memory": f"{sum(node.memory for node in usable)}Mi",
        "pods": str(sum(node.cpus for node in usable)),
        "accelerators": [one for one in accelerators if one["available"]],
    }


class Facts:
    """The site's facts, kept for a while and shared by everyone who asks."""

    def __init__(self, commands: SlurmCommands, queue: Queue) -> None:
        self._commands = commands
        self._queue = queue
        self._lock = asyncio.Lock()
        self._nodes: list[Node] = []
        self._asked = float("-inf")
        self._estimates: dict[str, tuple[float, str | None]] = {}

    async def answer(self) -> dict[str, Any]:
        """Return the answer to a ping.

        Raises:
            BatchSystemDown: Slurm did not answer.

        """
        snapshot = await self._queue.look()
        async with self._lock:
            if time.monotonic() - self._asked > NODES_KEPT:
                self._nodes = parse(await self._commands.query(*SINFO))
                self._asked = time.monotonic()
            partitions = partition_facts(self._nodes, snapshot)
            for facts in partitions:
                if _full(facts):
                    facts["start_estimate"] = await self._estimate(facts)
        return {"status": "ok", "resources": resources(self._nodes), "partitions": partitions}

    async def _estimate(self, facts: dict[str, Any]) -> str | None:
        """Return when Slurm thinks that the smallest job could start there, in ISO 8601."""
        name = facts["name"]
        asked, known = self._estimates.get(name, (float("-inf"), None))
        if time.monotonic() - asked < ESTIMATE_KEPT:
            return known
        kinds = [f"--gres={kind}:1" for kind in RESOURCES if facts[f"{kind}s"]]
        flags = ("--test-only", f"--partition={name}", "--ntasks=1", *kinds[:1], "--wrap=true")
        try:
            done = await self._commands.change(None, "sbatch", *flags)
        except BatchSystemDown:
            return known
        found = START.search(done.err)
        start = moment(found[1]) if found and not done.code else None
        self._estimates[name] = (time.monotonic(), start.isoformat() if start else None)
        return self._estimates[name][1]


def _full(facts: dict[str, Any]) -> bool:
    """Say whether a job that needs what the partition is for has to wait."""
    if facts["state"] != "up":
        return False
    kinds = [kind for kind in RESOURCES if facts[f"{kind}s"]]
    return not facts["cpus_free"] or any(not facts[f"{kind}s_free"] for kind in kinds)
