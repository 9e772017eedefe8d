"""A training step of sampled sub-networks: as plans over the shared store, and as networks with weights of their own.

Four forms of one architecture: the plan as training uses it, kept from an earlier step or, as for an architecture that was
just sampled, made in the step; the network written by hand (`hand.py`); the extracted GraphModule. All have cross-entropy
and AdamW, those with weights of their own the fused one of torch, its fastest.
"""

from collections.abc import Iterator

import hand
import numpy as np
import torch
from timing import ROOT, Phases, Report, Target, interleave, ratio, seconds, spread
from torch import Tensor, nn

from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.compiler.module import extract
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.store import Store
from hrdsl.runtime.optimise import Optimizer, Readings

ROUNDS = 48
BATCH = 8
RATE = 1e-4
PASSES = ("zero", "forward", "backward")
Genome = tuple[int, ...]


def sampled(space: Compiled, count: int = 200) -> dict[str, Genome]:
    """The smallest, the median and the largest of some uniform architectures, by MACs."""
    drawn = space.decisions.sample(np.random.default_rng(0), count)
    order = space.costs(drawn, peak=False)["macs"].argsort()
    places = {"small": 0, "median": count // 2, "large": count - 1}
    return {name: tuple(map(int, drawn[order[k]])) for name, k in places.items()}


def planned(space: Compiled, store: Store, genes: Genome, x: Tensor, labels: Tensor, most: int = 256) -> Phases:
    """As `runtime.train` does it. `most`: how many plans are kept."""
    planner = Planner(space.graph, store, most)
    readings = Readings(planner)
    optimizer = Optimizer(store, "adamw", {"lr": RATE, "weight_decay": 0.01})

    def step() -> Iterator[str]:
        if not most:
            readings.of.cache_clear()
            planner.specialiser.lives.cache_clear()
        boxes = readings.of((genes,))
        yield "zero"
        plan = planner(genes)
        loss = nn.functional.cross_entropy(plan(x, "batch"), labels)
        yield "forward"
        with store.collecting(plan.parameters(), alone=True):
            loss.backward()
        yield "backward"
        optimizer.step(boxes, RATE)
        yield "optimizer"

    return step


def own(network: nn.Module, x: Tensor, labels: Tensor) -> Phases:
    """A network as any training loop has it."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.01, fused=True)
    network.train()

    def step() -> Iterator[str]:
        optimizer.zero_grad()
        yield "zero"
        loss = nn.functional.cross_entropy(network(x), labels)
        yield "forward"
        loss.backward()
        yield "backward"
        optimizer.step()
        yield "optimizer"

    return step


def forms(space: Compiled, genes: Genome, x: Tensor, labels: Tensor) -> tuple[dict[str, Phases], int]:
    """The forms, once their outputs are known to be equal; and how many operations are live."""
    store = Store(space.graph)
    planner = Planner(space.graph, store)
    networks = {
        "by hand": hand.network(space.graph, store, genes),
        "GraphModule": extract(space.graph, store, genes),
    }
    wanted = planner(genes)(x)
    for name, network in networks.items():
        if not torch.equal(network(x), wanted):
            raise SystemExit(f"{name}: the output differs")
    out = {"plan": planned(space, store, genes, x, labels), "new plan": planned(space, store, genes, x, labels, most=0)}
    return out | {name: own(network, x, labels) for name, network in networks.items()}, len(planner.specialiser(genes))


def main() -> None:
    torch.set_num_threads(1)
    space = compile_file(ROOT / "examples" / "demo.arch")
    torch.manual_seed(0)
    x, labels = torch.randn(BATCH, 3, 64, 64), torch.randint(0, 11, (BATCH, 32, 32))
    x = x.contiguous(memory_format=torch.channels_last)  # as plans lay it out: the same for all forms
    phases = (*PASSES, "optimizer")
    report = Report(
        f"Training step on examples/demo.arch, batch {BATCH}, {ROUNDS} rounds; the ratio is to the network by hand",
        ["architecture", "form", *(f"{p} ms" for p in phases), "passes: ratio [quartiles]", "with optimizer"],
    )
    for size, genes in sampled(space).items():
        variants, live = forms(space, genes, x, labels)
        times = interleave(variants, ROUNDS)
        base = seconds(times, "by hand", *PASSES), seconds(times, "by hand")
        for name in variants:
            parts = [f"{1e3 * spread(seconds(times, name, p)).median:.2f}" for p in phases]
            passes, whole = ratio(seconds(times, name, *PASSES), base[0]), ratio(seconds(times, name), base[1])
            report.add(f"{size}, {live} operations", name, *parts, passes, whole)
            if name == "plan":
                report.targets.append(
                    Target(f"training step, {size}: zero, forward, backward", 1.02, passes.median, "x")
                )
            if "plan" in name:
                report.targets.append(Target(f"training step, {size}: whole, {name}", 1.02, whole.median, "x"))
    report.print()


if __name__ == "__main__":
    main()
