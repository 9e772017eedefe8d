"""Switching architecture: from a genome to a plan that is ready to run, everything known from earlier visits."""

import numpy as np
import torch
from spaces import compiled, generated
from timing import Report, Target, interleave, number, once, seconds, spread

from hrdsl.compiler.plan import Planner
from hrdsl.compiler.store import Store

ARCHITECTURES = 60
LIVE = 250


def main() -> None:
    torch.set_num_threads(1)
    space = compiled(generated(620))
    store = Store(space.graph)
    planner = Planner(space.graph, store, most=0)  # no plan is kept: each switch makes its own
    drawn = [tuple(map(int, row)) for row in space.decisions.sample(np.random.default_rng(0), 400)]
    lives = {genes: len(planner.specialiser(genes)) for genes in drawn}
    genomes = sorted(lives, key=lambda g: abs(lives[g] - LIVE))[:ARCHITECTURES]
    count = float(np.median([lives[g] for g in genomes]))

    def walk() -> None:
        for genes in genomes:
            planner.specialiser(genes)

    def switch() -> None:
        for genes in genomes:
            planner(genes).program("batch", True)

    def cold() -> None:
        for genes in genomes[:6]:
            Planner(space.graph, store, most=0)(genes).program("batch", True)

    times = interleave({"walk": once(walk), "switch": once(switch)})
    first = interleave({"cold": once(cold)}, rounds=4)
    report = Report(
        f"Switching architecture: {ARCHITECTURES} of {len(space.graph.nodes)} nodes, {number(count)} live operators (median)",
        ["what", "ms"],
    )
    warm = spread(1e3 * s / ARCHITECTURES for s in seconds(times, "switch"))
    report.add("live operations alone", spread(1e3 * s / ARCHITECTURES for s in seconds(times, "walk")))
    report.add("plan ready to run", warm)
    report.add("the same with a new planner", spread(1e3 * s / 6 for s in seconds(first, "cold")))
    report.targets.append(Target("switch of architecture, 250 live operators", 1.0, warm.median, "ms"))
    report.print()


if __name__ == "__main__":
    main()
