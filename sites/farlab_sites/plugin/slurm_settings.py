"""What a site operator says about Slurm in `plugin.yaml`, under `driver: {slurm: ...}`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class SlurmSettings(BaseModel):
    """Where Slurm is and how often it is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    conf: Path | None = Field(None, description="slurm.conf; absent: Slurm's own default")
    bin: Path = Field(Path("/usr/bin"), description="the folder of sbatch, squeue and the others")
    query_every: float = Field(
        1.0,
        ge=0.1,
        le=15,
        description="seconds between two looks at the queue, for all jobs together",
    )
    time_limit: float = Field(
        30.0, ge=1, description="seconds after which one of Slurm's commands is given up"
    )
