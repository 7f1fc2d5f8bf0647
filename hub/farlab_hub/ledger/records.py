"""What one workload used: the usage record, which everything else in the ledger adds up."""

from __future__ import annotations

from dataclasses import dataclass

MEASURED, ESTIMATED, MIXED = "measured", "estimated", "mixed"
"""Where an energy comes from: the batch system, the site's watts, or some of each (in sums)."""

HEARTBEAT = "heartbeat"
"""The `source` of a record whose end nobody saw: it ends when the job was last seen running."""


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """What one workload used. Times in seconds since the epoch; memory in bytes.

    Usage begins when the batch system starts the job, not when its pod is made. A record without
    an end is of a workload that lives; `heartbeat` is when it was last seen running. Until a
    record is `final`, what the site says later may still correct it.
    """

    uid: str
    """The workload's: there is one record of each."""
    owner: str
    issuer_subject: str
    """The global user name, `SUBJECT@ISSUER`; empty where the login has none."""
    groups: tuple[str, ...]
    """The owner's, when the workload was asked for."""
    vo: str
    """The one group that the hours are counted for; empty for a user in none."""
    account: str
    """The local account that ran it; empty for the plugin's own."""
    site: str
    kind: str
    profile: str
    image: str
    job_id: str
    submitted: float
    started: float | None
    ended: float | None
    heartbeat: float
    cores: float
    """Allocated, with three decimals."""
    gpus: float
    gpu_type: str
    memory: int
    """Allocated."""
    cpu_s: float | None
    """CPU seconds that it really used."""
    peak_memory: int | None
    energy_kwh: float | None
    energy_source: str
    """`measured`, `estimated`, or empty where nothing is known."""
    co2e_g: float | None
    state: str
    """The workload's."""
    reason: str
    exit_code: int | None
    source: str
    """Who said when it began and ended: `sacct`, `runner`, `kubelet`, `status`, `heartbeat`."""
    final: bool

    @property
    def wait_s(self) -> float:
        """How long it waited until it began, or until it ended without."""
        begun = self.started if self.started is not None else self.ended
        return max(0.0, begun - self.submitted) if begun is not None else 0.0

    @property
    def wall_s(self) -> float:
        """How long it ran; 0 for what never began, up to the heartbeat for what still runs."""
        if self.started is None:
            return 0.0
        until = self.ended if self.ended is not None else self.heartbeat
        return max(0.0, until - self.started)
