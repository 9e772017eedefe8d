"""What pruning costs: a removal against a training step, and the step after half of the units are gone; how near budgets are met.

The HR-NAS segmentation supernet, 2x3x128x256, one thread, CPU time. The released implementation takes 0.94 to 1.04 s for a
removal and 1.83 to 1.89 s for a training step on the machine where the reference was measured.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from statistics import median

import numpy as np
from timing import ROOT, Report, Target

FILE = ROOT / "examples/hrnas/cityscapes.arch"
SHAPE = (2, 3, 128, 256)
ROUNDS = 24
WARM = 4
"""Steps until memory is taken: the allocator splits what the first ones freed."""


def clock(call: Callable[[], object]) -> float:
    begun = time.process_time()
    call()
    return time.process_time() - begun


class Supernet:
    """The supernet with its optimizer, at its largest."""

    def __init__(self) -> None:
        import torch

        from hrdsl.compiler.api import compile_file
        from hrdsl.compiler.plan import Planner
        from hrdsl.compiler.store import Store
        from hrdsl.compiler.units import units
        from hrdsl.runtime.optimise import Optimizer, Readings
        from hrdsl.runtime.pruning.shrink import Remaining

        torch.manual_seed(0)
        self.space = compile_file(FILE, settings={"height": SHAPE[2], "columns": SHAPE[3]})
        genes = self.space.decisions.largest()
        self.left = Remaining(units(self.space.graph, genes)[0], genes)
        self.store = Store(self.space.graph)
        self.planner = Planner(self.space.graph, self.store)
        self.readings = Readings(self.planner)
        self.optimizer = Optimizer(self.store, "adamw", {"lr": 1e-3, "weight_decay": 1e-5})
        self.x = torch.randn(SHAPE)

    def step(self) -> None:
        """Forward, backward, optimizer."""
        genome = self.left.genome
        plan, boxes = self.planner(genome), self.readings.of((genome,))
        loss = plan(self.x, "batch").square().mean()
        with self.store.collecting(plan.parameters(), alone=True):
            loss.backward()
        self.optimizer.step(boxes, 1e-3)

    def shrink(self, multiple: int) -> int:
        """Remove half of all units, with the states of the optimizer; how many groups lost some. Which ones is left to chance, as
        where the released implementation was measured. `multiple`: of channels that groups are left with."""
        from hrdsl.runtime.pruning.choose import Queue

        rng, count = np.random.default_rng(0), sum(self.left.counts())
        queue = Queue(self.left, [rng.random(n) for n in self.left.counts()], multiple=multiple)
        first = int(np.searchsorted(queue.size.cumsum(), count / 2)) + 1
        dead = queue.dead(first)
        flats = self.store.flat, self.optimizer.first, self.optimizer.second
        self.left.remove(dead, self.store.places, flats)
        self.store.release()
        self.optimizer.release()
        return len(dead)


def off(multiple: int) -> float:
    """How far from its budget the cost stays, at worst: 60, 40, 20 and 10 % of the MACs, three seeds of chance."""
    from hrdsl.compiler.api import compile_file
    from hrdsl.runtime.pruning.choose import Queue, enough
    from hrdsl.runtime.pruning.limits import Limits
    from hrdsl.runtime.pruning.shrink import Remaining

    limits = Limits(compile_file(FILE, settings={"height": SHAPE[2], "columns": SHAPE[3]}))
    left, cost, full = Remaining(limits.groups, limits.genes), limits.cost("macs"), limits.full("macs")
    found = []
    for seed, share in product(range(3), (0.6, 0.4, 0.2, 0.1)):
        rng = np.random.default_rng(seed)
        queue = Queue(left, [rng.random(n) for n in left.counts()], multiple=multiple)
        genome = queue.genome(enough(queue, [(cost, share * full)]))
        found.append(abs(float(cost(np.array([genome], np.int16))[0]) / (share * full) - 1))
    return max(found)


def run(multiple: int) -> dict[str, float]:
    """The supernet, and beside it one without half of its units; their steps in turn."""
    import torch

    from hrdsl.runtime import native

    native.settle()
    torch.set_num_threads(1)
    whole = Supernet()
    for _ in range(WARM):
        whole.step()
    peak = getrusage(RUSAGE_SELF).ru_maxrss / 1e6
    half = Supernet()
    half.step()
    begun = time.process_time()
    groups = half.shrink(multiple)
    removal = time.process_time() - begun
    first = clock(half.step)
    rounds = [(clock(whole.step), clock(half.step)) for _ in range(ROUNDS)]
    step, rest = (median(times) for times in zip(*rounds, strict=True))
    found = {"step": step, "removal": removal, "groups": groups, "first": first, "rest": rest, "gigabytes": peak}
    return {**found, "ratio": median(b / a for a, b in rounds), "off": off(multiple)}


def alone(multiple: int) -> dict[str, float]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "run", str(multiple)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent)
    return dict(json.loads(done.stdout))


def main() -> None:
    if sys.argv[1:2] == ["run"]:
        print(json.dumps(run(int(sys.argv[2]))))
        return
    found = {f"multiple = {multiple}": alone(multiple) for multiple in (1, 8, 16)}
    title = "Pruning of the HR-NAS segmentation supernet, 2x3x128x256: half of the units, drawn at random"
    report = Report(title, ["what", *found])
    blocks, wider = found["multiple = 8"], found["multiple = 16"]
    for name in blocks:
        report.add(name, *(f"{figures[name]:.3f}" for figures in found.values()))
    share = blocks["removal"] / blocks["step"]
    report.targets += [
        Target("a removal, share of a training step for each group", 0.02, share / blocks["groups"], "x"),
        Target("a removal, share of a training step", 0.1 * 0.94 / 1.86 / 0.47, share, "x"),
        Target("a step without half of the units, in blocks of 8", 0.58, blocks["ratio"], "x"),
        Target("a step without half of the units, in blocks of 16", 0.58, wider["ratio"], "x"),
        Target("MACs off their budget, at worst, in blocks of 8", 0.02, blocks["off"]),
        Target("memory of the process", 0.9, median(each["gigabytes"] for each in found.values()), "GB"),
    ]
    report.print()


if __name__ == "__main__":
    main()
