"""Interleaved timing: every variant in turn, in random order, in each of an even number of rounds.

The clock is CPU time of this process with one thread, so other work on the machine changes little. What counts is the
median over rounds of the ratio of two variants in the same round; absolute times only show the scale.
"""

import argparse
import gc
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median, quantiles

# For child processes; the scripts themselves call torch.set_num_threads(1).
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / ".path"))

Phases = Callable[[], Iterable[str]]
"""A variant: a generator function that yields the name of each phase when the phase ends."""
Times = dict[str, list[dict[str, float]]]
"""For each variant and round, the seconds of each phase."""


def interleave(variants: Mapping[str, Phases], rounds: int = 32, seed: int = 0) -> Times:
    """Seconds of each phase of each variant in each round; one untimed call goes before each timed one."""
    order, times = list(variants), Times({name: [] for name in variants})
    shuffle, enabled = random.Random(seed).shuffle, gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds + rounds % 2):
            shuffle(order)
            for name in order:
                for _ in variants[name]():
                    pass
                times[name].append(dict(laps(variants[name])))
            gc.collect()
    finally:
        if enabled:
            gc.enable()
    return times


def laps(variant: Phases) -> Iterator[tuple[str, float]]:
    begun = time.process_time()
    for phase in variant():
        yield phase, time.process_time() - begun
        begun = time.process_time()


def once(call: Callable[[], object]) -> Phases:
    """A call as a variant of one phase."""

    def variant() -> Iterator[str]:
        call()
        yield "all"

    return variant


def seconds(times: Times, variant: str, *phases: str) -> list[float]:
    """Per round: the sum of these phases, or of all."""
    return [sum(r[p] for p in phases or r) for r in times[variant]]


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with its quartiles."""

    low: float
    median: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f} [{self.low:.3f} .. {self.high:.3f}]"


def spread(values: Iterable[float]) -> Spread:
    found = list(values)
    low, _, high = quantiles(found, n=4) if len(found) > 1 else found * 3
    return Spread(low, median(found), high)


def ratio(above: Sequence[float], below: Sequence[float]) -> Spread:
    """The ratios of paired rounds."""
    return spread(a / b for a, b in zip(above, below, strict=True))


@dataclass(frozen=True, slots=True)
class Target:
    """One figure that was promised. `least`: larger is better."""

    name: str
    target: float
    measured: float
    unit: str = ""
    least: bool = False

    @property
    def ok(self) -> bool:
        return self.measured >= self.target if self.least else self.measured <= self.target

    def row(self) -> list[str]:
        sign = ">=" if self.least else "<="
        verdict = "ok" if self.ok else "missed"
        return [self.name, f"{sign} {number(self.target)} {self.unit}", f"{number(self.measured)} {self.unit}", verdict]


@dataclass(slots=True)
class Report:
    """What a benchmark prints: a table, and its targets."""

    title: str
    head: list[str]
    rows: list[list[str]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)

    def add(self, *cells: object) -> None:
        self.rows.append([number(c) if isinstance(c, float) else str(c) for c in cells])

    def print(self) -> None:
        """The table, or one JSON object with --json."""
        parser = argparse.ArgumentParser(description=self.title)
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        if parser.parse_known_args()[0].json:
            targets = [{**asdict(t), "ok": t.ok} for t in self.targets]
            rows = [dict(zip(self.head, r, strict=True)) for r in self.rows]
            print(json.dumps({"title": self.title, "rows": rows, "targets": targets}, indent=2))
            return
        print(f"{self.title}\n")
        print(table([self.head, *self.rows]))
        print(f"\n{table([t.row() for t in self.targets])}")


def number(value: float) -> str:
    """Three figures, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) >= 100 else f"{value:.3f}"


def table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)
