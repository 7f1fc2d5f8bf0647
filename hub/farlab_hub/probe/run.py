"""One interval: what the pods in it used, as Cloud Usage Records, published to each output."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from ..apel.cloud import Vm, vm_item
from ..apel.items import Item, Refusal
from ..apel.message import plain
from ..apel.months import Month, months_between
from ..apel.naming import WITHHELD, Place, fqan
from ..apel.publisher import Outcome, Publisher, way_of
from ..apel.state import State
from .config import Output, ProbeConfig
from .pods import STARTED, Pod, Pods
from .prometheus import Client, Series

_FACTS = (
    "kube_pod_container_resource_requests",
    "kube_pod_created",
    "kube_pod_start_time",
    "kube_pod_completion_time",
    "kube_pod_container_info",
    "kube_pod_annotations",
)
_CPU = "container_cpu_usage_seconds_total"
_TICK = 0.001  # seconds; a Prometheus' times are no finer


@dataclass(frozen=True)
class Window:
    """An interval, in whole seconds since the epoch; `until` is not part of it."""

    since: int
    until: int

    @property
    def months(self) -> list[Month]:
        """The months that it touches."""
        return list(months_between(Month.of(self.since), Month.of(self.until - 1)))

    def chunks(self, size: int) -> Iterator[Window]:
        """Yield it in parts of at most that many seconds, none of which crosses a month's end."""
        begin = self.since
        while begin < self.until:
            end = min(begin - begin % size + size, self.until, Month.of(begin).end)
            yield Window(begin, end)
            begin = end


@dataclass(frozen=True)
class Seen:
    """What was seen in an interval."""

    window: Window
    pods: Pods
    last: float
    """When pods were last looked at: a Prometheus that was down ended no pod."""


def publish_window(
    config: ProbeConfig, window: Window, state: State, *, again: bool
) -> Iterator[tuple[str, Month, Outcome]]:
    """Publish what an interval's pods used, and yield what came of it for each output and month."""
    publishers = {
        output: Publisher(state, output.name, way_of(output)) for output in config.outputs
    }
    for publisher in publishers.values():
        publisher.resume()
    seen = asyncio.run(read(config, window))
    for output, publisher in publishers.items():
        for month in window.months:
            made = items(config, output, seen, month)
            yield output.name, month, publisher.publish(month, made, again=again)


async def read(config: ProbeConfig, window: Window) -> Seen:
    """Read what a Prometheus saw of the pods in an interval."""
    pods = Pods(config.user)
    selected = f'namespace=~"{_quoted(config.namespaces)}",pod=~"{_quoted(config.pods)}"'
    async with Client(config.prometheus) as client:
        begin = await _begin(client, config, window, selected)
        for chunk in Window(begin, window.until).chunks(config.chunk):
            await _read_chunk(client, pods, chunk, selected)
            if Month.of(chunk.until).start == chunk.until:
                pods.snapshot(chunk.until)
        looked = await _last_look(client, config, window)
    seen = (pod.last_running or 0.0 for pod in pods.by_uid.values())
    return Seen(window, pods, max(looked, *seen, 0.0))


def _quoted(pattern: str) -> str:
    return pattern.replace("\\", "\\\\")


async def _begin(client: Client, config: ProbeConfig, window: Window, selected: str) -> int:
    """Return from when on to read: the first start of a pod that is in the interval."""
    length = window.until - window.since
    query = f"min(last_over_time(kube_pod_start_time{{{selected}}}[{length}s]))"
    found = [series.samples[-1][1] async for series in client.ask(query, window.until - _TICK)]
    earliest = window.since - config.look_back
    return max(earliest, min(window.since, int(found[0]))) if found else window.since


async def _last_look(client: Client, config: ProbeConfig, window: Window) -> float:
    """Return when Prometheus last looked at anything in the interval's last part, to a minute."""
    length = min(config.chunk, window.until - window.since)
    query = f"max(max_over_time(timestamp(up)[{length}s:1m]))"
    found = [series.samples[-1][1] async for series in client.ask(query, window.until - _TICK)]
    return min(found[0], window.until) if found else window.until


async def _read_chunk(client: Client, pods: Pods, chunk: Window, selected: str) -> None:
    """Read one part in four questions. Facts come first: counters are told apart by them."""
    # From one tick before: whether the first moment itself is in depends on the version.
    length = f"[{(chunk.until - chunk.since) * 1000}ms]"

    def ask(query: str) -> AsyncIterator[Series]:
        return client.ask(query, chunk.until - _TICK)

    async for series in ask(f'kube_pod_status_phase{{phase="Running",{selected}}}{length}'):
        pods.running(series, chunk.since)
    facts = f'{{__name__=~"{"|".join(_FACTS)}",{selected}}}'
    async for series in ask(f"last_over_time({facts}{length})"):
        pods.fact(series)
    async for series in ask(f"min_over_time({STARTED}{{{selected}}}{length})"):
        pods.started(series)
    async for series in ask(f'{_CPU}{{container!="",container!="POD",{selected}}}{length}'):
        pods.cpu(series, chunk.since)


def items(
    config: ProbeConfig, output: Output, seen: Seen, month: Month
) -> Iterator[Item | Refusal]:
    """Yield one month's records, in an order that stays."""
    place = Place(plain(config.site), config.site)
    for uid in sorted(seen.pods.by_uid):
        if vm := _vm(config, output, seen, seen.pods.by_uid[uid], month):
            yield vm_item(vm, place, output.memory)


def _vm(config: ProbeConfig, output: Output, seen: Seen, pod: Pod, month: Month) -> Vm | None:
    """Return what a pod used until it ended, or until the end of a month or of the interval."""
    begin, end = pod.begin, pod.end(seen.last, config.gone_after_s)
    moment = min(seen.last if end is None else end, month.end)
    if begin is None or begin >= moment or moment < max(month.start, seen.window.since):
        return None
    counted = [one for one, cores in pod.cores.items() if cores > 0]
    if config.without_requests:
        counted = sorted({*pod.cores, *pod.cpu})
    elif not counted:
        return None
    over = end is not None and end < month.end
    # What a month's end has kept; a pod that ended before it has no more than at its end.
    used = pod.snapshots.get(month.end, pod.cpu) if not over else pod.cpu
    cpu = sum(used[one] for one in counted if one in used) if pod.cpu else None
    vo = config.vos.get(pod.namespace) or config.vo or output.vo or ""
    hidden = output.names == WITHHELD
    return Vm(
        uuid=pod.uid,
        created=min(round(moment), month.end - 1),
        machine=pod.name,
        user=WITHHELD if hidden else pod.user or pod.namespace,
        group=vo,
        global_name=WITHHELD if hidden else pod.user,
        fqan=fqan(vo),
        start=round(begin),
        end=min(round(moment), month.end - 1) if over else None,
        wall=round(moment - begin),
        cpu=None if cpu is None else round(cpu),
        cores=sum(pod.cores.get(one, 0.0) for one in counted),
        memory=round(sum(pod.memory.values())),
        image=pod.image,
    )
