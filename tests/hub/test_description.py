"""The API does what its description says: schemathesis tries every operation of it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from farlab_hub.api import ROUTES
from farlab_hub.handlers import ApiHandler
from farlab_hub.openapi import describe
from farlab_sites.carriers import PodStatus

ST = str(Path(sys.executable).with_name("st"))
# What the catalogue has, which a description can't know.
OFFERED = {"site": ["cloud"], "profile": ["gpu"], "size": ["small"], "image": ["plain"]}
OFFERED |= {"partition": [""], "gpus": [0, None]}


def description() -> dict[str, Any]:
    """Return the description, with choices that this service's catalogue offers."""
    said = describe(ROUTES)
    kernel = said["components"]["schemas"]["KernelRequest"]["properties"]
    for name, values in OFFERED.items():
        kernel[name] = {"enum": values}
    for field in said["paths"]["/usage/estimate"]["get"]["parameters"]:
        if field["name"] in OFFERED:
            field["schema"] = {"enum": OFFERED[field["name"]]}
        elif field["name"] == "walltime":
            field["schema"] = {"enum": ["1:00:00", "90"]}
    minutes = {"type": "integer", "minimum": 1, "maximum": 366 * 24 * 60}
    kernel["walltime"] = {"anyOf": [minutes, {"type": "null"}]}
    return said


def test_every_handler_is_described():
    handlers = {route.handler for route in ROUTES}
    for handler in handlers:
        verbs = {verb for verb in ("GET", "POST", "DELETE") if verb.lower() in vars(handler)}
        assert verbs == set(handler.operations()), handler
    assert set(ApiHandler.__subclasses__()) - handlers == {
        handler for handler in ApiHandler.__subclasses__() if handler.__name__ == "UnknownHandler"
    }


async def test_the_description_is_published(running):
    assert await running.api.get("openapi.json") == json.loads(json.dumps(describe(ROUTES)))


async def test_the_service_does_what_it_says(place, running, tmp_path, monkeypatch):
    # Jobs end at once, so that what is followed ends; nothing else in here waits long either.
    place.sites["cloud"].first = PodStatus("", "", "Succeeded")
    read = running.service.workloads.read

    async def impatient(uid: str, *, after: int = 0, timeout: float = 0.0) -> Any:
        return await read(uid, after=after, timeout=min(timeout, 0.1))

    monkeypatch.setattr(running.service.workloads, "read", impatient)
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(description()))
    base = running.api.base.rstrip("/")
    process = await asyncio.create_subprocess_exec(
        ST, "run", str(file), f"--url={base}", "--header=Authorization: Bearer alice",
        "--phases=coverage,fuzzing", "--max-examples=10", "--generation-deterministic",
        "--no-color", "--request-timeout=60", "--suppress-health-check=all",
        cwd=tmp_path, env={**os.environ, "NO_COLOR": "1"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    print(output.decode())
