"""How long a call takes on a device: warmed up, repeated until a declared time is over, as median and quartiles."""

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple

import torch

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
LEAST = 5
"""Samples, however long they take."""
CALM = 0.95
"""The share of a sample in which the process must have had a processor."""
PATIENCE = 4
"""Times as long as declared, at most."""
SAMPLE = 2e5
"""Nanoseconds that a sample lasts at least: a short call is repeated within it."""
MOST = 1 << 14
"""Times, at most."""

Clock = Callable[[Callable[[], Any], int], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a latency holds for. `threads` is 0 on a GPU."""

    device: str
    torch: str
    threads: int
    batch: int
    precision: str

    def __str__(self) -> str:
        threads = f", {self.threads} thread{'s' * (self.threads != 1)}" if self.threads else ""
        return f"{self.device}{threads}, batch {self.batch}, {self.precision}, torch {self.torch}"


class Timing(NamedTuple):
    """Nanoseconds of one call: the median of `samples`, and the quartiles around it.

    Samples in which the processor was given to others are left out and counted as `disturbed`. Where fewer than `LEAST` are
    left, the least disturbed ones count, each with the time that this process had.
    """

    median: float
    low: float
    high: float
    samples: int
    disturbed: int


def conditions(device: torch.device, threads: int = 1, batch: int = 1, precision: str = "float32") -> Conditions:
    """The conditions on this machine."""
    if device.type == "cuda":
        return Conditions(torch.cuda.get_device_name(device), torch.__version__, 0, batch, precision)
    return Conditions(_processor(), torch.__version__, threads, batch, precision)


def _processor() -> str:
    """The name of the processor, and the vector instructions that torch uses on it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    name = next(names, platform.processor() or platform.machine())
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many threads for the CPU; 0 leaves them."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def measure(call: Callable[[], Any], device: torch.device, seconds: float) -> Timing:
    """The time of one call, on the device's own clock. It runs a few times before, then for about `seconds`.

    On a machine that others use it goes on, up to PATIENCE times as long, until `LEAST` samples were not disturbed.
    """
    with torch.inference_mode():
        clock = _on_cuda if device.type == "cuda" else _on_cpu
        clock(call, 1)
        repeats = _repeats(clock, call)
        samples: list[tuple[float, float]] = []
        begun, calm = time.perf_counter(), 0
        while (
            len(samples) < LEAST
            or (spent := time.perf_counter() - begun) < seconds
            or (calm < LEAST and spent < PATIENCE * seconds)
        ):
            samples.append(clock(call, repeats))
            calm += samples[-1][1] >= CALM
    kept = [ns for ns, share in samples if share >= CALM]
    if len(kept) < LEAST:
        kept = [ns * min(share, 1.0) for ns, share in sorted(samples, key=lambda s: -s[1])[:LEAST]]
    low, median, high = quantiles(kept, n=4, method="inclusive")
    return Timing(median, low, high, len(kept), len(samples) - len(kept))


def _repeats(clock: Clock, call: Callable[[], Any]) -> int:
    """How often a sample runs the call: doubled until that lasts long enough, which warms up too."""
    repeats = 1
    while repeats < MOST:
        ns, share = clock(call, repeats)
        if ns * repeats * min(share, 1.0) >= SAMPLE:
            break
        repeats *= 2
    return repeats


def _on_cpu(call: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Nanoseconds of one call, and the share of them that this process had a processor."""
    begun, used = time.perf_counter_ns(), time.process_time_ns()
    for _ in range(repeats):
        call()
    used, spent = time.process_time_ns() - used, time.perf_counter_ns() - begun
    return spent / repeats, used / max(spent, 1)


def _on_cuda(call: Callable[[], Any], repeats: int) -> tuple[float, float]:
    begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    begun.record()
    for _ in range(repeats):
        call()
    ended.record()
    ended.synchronize()
    return float(begun.elapsed_time(ended)) * 1e6 / repeats, 1.0
