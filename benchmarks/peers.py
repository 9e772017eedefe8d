"""Side by side in one run: plans over a store, and supernets whose modules read their weights in part.

`elastic.arch` against the same space as a tree of modules in the style of OFA (`modules.py`); then, for each of `ofa`, `nni` and
`nvidia-modelopt` that is installed, a space that it can express against the library's own supernet (`installed.py`). All hold
the weights of one store, and their outputs, also with recalibrated statistics, are compared first: bit by bit with the tree.
Every step and every candidate begins with its switch; no plan is kept from an earlier one. All optimisers are fused AdamW.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import hand
import installed
import numpy as np
import torch
from modules import SPACE, Supernet, Tree, choices, fill
from step import RATE, Genome, own, planned, sampled
from timing import Phases, Report, Target, interleave, ratio, seconds, spread
from torch import Tensor

from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.store import Store
from hrdsl.runtime.evaluation import Evaluator
from hrdsl.runtime.task import Examples

ROUNDS = 16
BATCH = 8
RECALIBRATE, VALIDATE, CANDIDATES = 64, 100, 6
CLASSES = 10


@dataclass(frozen=True)
class Pair:
    """A space as plans, and as another library's supernet."""

    name: str
    space: Compiled
    make: Callable[[], Supernet]
    exact: bool

    def made(self, store: Store) -> Supernet:
        """The supernet with the weights of a store."""
        made = self.make()
        fill(made, store)
        return made

    def images(self, count: int) -> Tensor:
        size = self.space.graph.input.extent
        return torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    def labels(self, count: int, outputs: Tensor) -> Tensor:
        """Of as many places as there are outputs [N, classes, ...]."""
        return torch.randint(0, CLASSES, (count, *outputs.shape[2:]), generator=torch.Generator().manual_seed(0))

    def same(self, mine: Tensor, theirs: Tensor) -> None:
        if not (torch.equal(mine, theirs) if self.exact else torch.allclose(mine, theirs, atol=1e-4)):
            raise SystemExit(f"{self.name}: the outputs differ by {float((mine - theirs).abs().max()):.3g}")


def last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def switched(made: Supernet, values: list[int], x: Tensor, labels: Tensor) -> Phases:
    inner = own(made, x, labels)

    def step() -> Iterator[str]:
        made.activate(values)
        yield from inner()

    return step


def steps(pair: Pair, report: Report) -> None:
    """A training step: the other supernet and the plan, each against the network by hand."""
    space = pair.space
    x = last(pair.images(BATCH).float() / 255)
    for size, genes in sampled(space).items():
        store = Store(space.graph)
        made, values = pair.made(store).train(), choices(space, genes)
        made.activate(values)
        by_hand = hand.network(space.graph, store, genes).train()
        wanted = Planner(space.graph, store)(genes)(x)
        pair.same(wanted, by_hand(x))
        pair.same(wanted, made(x))
        labels = pair.labels(BATCH, wanted)
        variants = {
            "plan": planned(space, store, genes, x, labels, most=0),
            pair.name: switched(made, values, x, labels),
            "by hand": own(by_hand, x, labels),
        }
        times = interleave(variants, ROUNDS)
        for name in variants:
            found = seconds(times, name)
            gain = ratio(found, seconds(times, "by hand"))
            report.add(f"{space.graph.name}: training step, {size}", name, 1e3 * spread(found).median, gain)
        gain = ratio(seconds(times, "plan"), seconds(times, pair.name))
        report.targets.append(Target(f"training step, {size}: plan / {pair.name}", 1.0, gain.median, "x"))


def candidates(pair: Pair, report: Report) -> None:
    """Candidates: switch, statistics, metric; one after the other, and together."""
    space = pair.space
    store = Store(space.graph)
    planner, made = Planner(space.graph, store), pair.made(store)
    planned_once = Planner(space.graph, store, most=0)
    genomes = [tuple(map(int, row)) for row in space.decisions.sample(np.random.default_rng(1), CANDIDATES)]
    images = pair.images(RECALIBRATE + VALIDATE)
    labels = pair.labels(len(images), planner(genomes[0])(last(images[:1].float()))).to(torch.uint8)
    calibration = Examples(images[:RECALIBRATE], labels[:RECALIBRATE], CLASSES, 255)
    validation = Examples(images[RECALIBRATE:], labels[RECALIBRATE:], CLASSES, 255)

    def of_other(genes: Genome, show: Callable[[Tensor], object]) -> None:
        made.activate(choices(space, genes))
        made.recalibrate(last(x) for x, _ in calibration.chunks(32))
        with torch.no_grad():
            for x, _ in validation.chunks(50):
                show(made(last(x)))

    def of_plan(genes: Genome, show: Callable[[Tensor], object]) -> None:
        plan = planned_once(genes)
        plan.reset_statistics()
        with torch.no_grad():
            for x, _ in calibration.chunks(32):
                plan(last(x), "calibrate")
            for x, _ in validation.chunks(50):
                show(plan(last(x), "stored"))

    for genes in genomes[:3]:
        mine, theirs = list[Tensor](), list[Tensor]()
        of_plan(genes, mine.append)
        of_other(genes, theirs.append)
        pair.same(torch.cat(mine), torch.cat(theirs))

    def each(measure: Callable[[Genome, Callable[[Tensor], object]], None]) -> Phases:
        def variant() -> Iterator[str]:
            for genes in genomes:
                measure(genes, lambda y: y.argmax(1))
            yield "all"

        return variant

    def together() -> Iterator[str]:
        list(Evaluator(planner, calibration, validation, ("miou",))(genomes))
        yield "all"

    variants = {"plan": each(of_plan), "generation of plans": together, pair.name: each(of_other)}
    times = interleave(variants, ROUNDS // 4)
    for name in variants:
        found = seconds(times, name)
        gain = ratio(found, seconds(times, pair.name))
        each_ms = 1e3 * spread(found).median / len(genomes)
        report.add(f"{space.graph.name}: candidate (ratio to {pair.name})", name, each_ms, gain)
        if name != pair.name:
            report.targets.append(Target(f"candidate: {name} / {pair.name}", 1.0, gain.median, "x"))


def pairs() -> Iterator[Pair]:
    yield Pair("tree of modules", compile_file(SPACE), Tree, True)
    for name, path, make in installed.found():
        yield Pair(name, compile_file(path), make, False)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    title = f"Supernets side by side, batch {BATCH}; learning rate {RATE}; ratios of steps are to the network by hand"
    report = Report(title, ["what", "form", "ms", "ratio [quartiles]"])
    for pair in pairs():
        steps(pair, report)
        candidates(pair, report)
    report.print()


if __name__ == "__main__":
    main()
