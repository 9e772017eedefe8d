"""Side by side in one run: plans over a store, and supernets whose modules read their weights in part.

The shared space is `elastic.arch`; `modules.py` is the same space as a tree of modules in the style of OFA. Outputs, also with
recalibrated statistics, are compared bit by bit first. Every step and every candidate begins with its switch. All optimisers
are fused AdamW, inputs of this space have their channels last.

With `ofa`, `nni` or `nvidia-modelopt` installed, their own small networks follow: a step of the supernet restricted to one
sub-network, against the static network that the same library extracts of it. Their inputs are laid out as torch does.
"""

import copy
import queue
import sys
import types
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import pairwise

import hand
import modules
import numpy as np
import torch
from step import RATE, Genome, own, planned, sampled
from timing import Phases, Report, Target, interleave, ratio, seconds, spread
from torch import Tensor, nn

from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.store import Store
from hrdsl.runtime.evaluation import Evaluator
from hrdsl.runtime.task import Examples

ROUNDS = 16
BATCH = 8
RECALIBRATE, VALIDATE, CANDIDATES = 64, 100, 6
SUBNETWORKS = 3
WIDTHS = (3, 32, 64, 64, 64)
"""Of the chain of convolutions that stands for a space of the peers."""
Pair = tuple[nn.Module, nn.Module, Tensor]
"""A supernet restricted to one sub-network, that as a static network, and their input."""


def last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def tree_step(made: modules.Tree, values: list[int], x: Tensor, labels: Tensor) -> Phases:
    inner = own(made, x, labels)

    def step() -> Iterator[str]:
        made.activate(values)
        yield from inner()

    return step


def steps(space: Compiled, report: Report) -> None:
    """A training step: the tree and the plan, each against the network by hand."""
    x, labels = last(torch.randn(BATCH, 3, 64, 64)), torch.randint(0, 10, (BATCH, 4, 4))
    for size, genes in sampled(space).items():
        store = Store(space.graph)
        planner, made, values = Planner(space.graph, store), modules.tree(store), modules.choices(space, genes)
        made.activate(values)
        by_hand = hand.network(space.graph, store, genes)
        if not all(torch.equal(network(x), planner(genes)(x)) for network in (made.train(), by_hand.train())):
            raise SystemExit("the outputs differ")
        variants = {
            "plan": planned(space, store, genes, x, labels, most=0),
            "tree": tree_step(made, values, x, labels),
            "by hand": own(by_hand, x, labels),
        }
        times = interleave(variants, ROUNDS)
        for name in variants:
            found = seconds(times, name)
            report.add(
                f"training step, {size}", name, 1e3 * spread(found).median, ratio(found, seconds(times, "by hand"))
            )
        gain = ratio(seconds(times, "plan"), seconds(times, "tree"))
        report.targets.append(Target(f"training step, {size}: plan / tree of modules", 1.0, gain.median, "x"))


def candidates(space: Compiled, report: Report) -> None:
    """Candidates: switch, statistics, metric; one after the other, and together."""
    store = Store(space.graph)
    planner, made = Planner(space.graph, store), modules.tree(store)
    planned_once = Planner(space.graph, store, most=0)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (RECALIBRATE + VALIDATE, 3, 64, 64), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 10, (len(images), 4, 4), dtype=torch.uint8, generator=generator)
    calibration = Examples(images[:RECALIBRATE], labels[:RECALIBRATE], 10, 255)
    validation = Examples(images[RECALIBRATE:], labels[RECALIBRATE:], 10, 255)
    drawn = space.decisions.sample(np.random.default_rng(1), CANDIDATES)
    genomes = [tuple(map(int, row)) for row in drawn]

    def of_tree(genes: Genome, show: Callable[[Tensor], object]) -> None:
        made.activate(modules.choices(space, genes))
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
        of_tree(genes, theirs.append)
        if not all(map(torch.equal, mine, theirs)):
            raise SystemExit("the outputs of a candidate differ")

    def each(measure: Callable[[Genome, Callable[[Tensor], object]], None]) -> Phases:
        def variant() -> Iterator[str]:
            for genes in genomes:
                measure(genes, lambda y: y.argmax(1))
            yield "all"

        return variant

    def together() -> Iterator[str]:
        list(Evaluator(planner, calibration, validation, ("miou",))(genomes))
        yield "all"

    variants = {"plan": each(of_plan), "generation of plans": together, "tree": each(of_tree)}
    times = interleave(variants, ROUNDS // 4)
    for name in variants:
        found = seconds(times, name)
        gain = ratio(found, seconds(times, "tree"))
        report.add("candidate (ratio to the tree)", name, 1e3 * spread(found).median / len(genomes), gain)
        if name != "tree":
            report.targets.append(Target(f"candidate: {name} / tree of modules", 1.0, gain.median, "x"))


# Peers -------------------------------------------------------------------------------------------------------------


def ofa() -> Iterator[Pair]:
    """OFA's MobileNetV3, batch 2 at 128 x 128."""
    six = types.ModuleType("torch._six")  # of torch before 1.13, which this release of `ofa` imports
    six.__dict__.update(queue=queue, string_classes=(str, bytes), container_abcs=__import__("collections.abc").abc)
    sys.modules.setdefault("torch._six", six)
    from ofa.imagenet_classification.elastic_nn.networks import OFAMobileNetV3

    net = OFAMobileNetV3(dropout_rate=0.0, ks_list=[3, 5, 7], expand_ratio_list=[3, 4, 6], depth_list=[2, 3, 4])
    for _ in range(SUBNETWORKS):
        net.sample_active_subnet()
        yield net, net.get_active_subnet(preserve_weight=True), torch.randn(2, 3, 128, 128)


def modelopt() -> Iterator[Pair]:
    """ModelOpt's AutoNAS over a chain of convolutions, batch 8 at 32 x 32. It would sample anew in every forward pass."""
    import modelopt.torch.nas as mtn
    from modelopt.torch.nas.autonas import AutoNASPatchManager

    AutoNASPatchManager.sample_during_training = False

    layers: list[nn.Module] = []
    for inner, outer in pairwise(WIDTHS):
        layers += [nn.Conv2d(inner, outer, 3, 1, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU()]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTHS[-1], 10))
    net = mtn.convert(net, "autonas")
    for _ in range(SUBNETWORKS):
        mtn.sample(net)
        yield net, mtn.export(copy.deepcopy(net)), torch.randn(8, 3, 32, 32)


def nni() -> Iterator[Pair]:
    """NNI's random one-shot supernet over the same chain. With `bias = False` its convolutions cannot be extracted."""
    import nni as root
    from nni.nas.nn.pytorch import ModelSpace, MutableBatchNorm2d, MutableConv2d, MutableLinear
    from nni.nas.oneshot.pytorch.strategy import RandomOneShot
    from nni.nas.oneshot.pytorch.supermodule.base import BaseSuperNetModule

    class Chain(ModelSpace):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            layers, inner = list[nn.Module](), 3
            for k, most in enumerate(WIDTHS[1:]):
                outer = root.choice(f"width{k}", [most // 2, most])
                layers += [MutableConv2d(inner, outer, 3, padding=1), MutableBatchNorm2d(outer), nn.ReLU()]
                inner = outer
            self.body, self.head = nn.Sequential(*layers), MutableLinear(inner, 10)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(self.body(x).mean((2, 3)))
            return out

    net = RandomOneShot().mutate_model(Chain())
    for _ in range(SUBNETWORKS):
        chosen: dict[str, object] = {}
        for module in net.modules():
            if isinstance(module, BaseSuperNetModule):
                chosen |= module.resample(chosen)
        yield net, net.freeze(chosen), torch.randn(8, 3, 32, 32)


PEERS: dict[str, tuple[str, Callable[[], Iterator[Pair]]]] = {
    "ofa": ("ofa", ofa),
    "nni": ("nni", nni),
    "nvidia-modelopt": ("modelopt", modelopt),
}


def peers(report: Report) -> None:
    """Each peer that is installed: its supernet against its own static network."""
    for name, (package, pairs) in PEERS.items():
        if find_spec(package) is None:
            report.add(f"{name}: not installed", "", "", "")
            continue
        for k, (dynamic, static, x) in enumerate(pairs()):
            if not torch.allclose(dynamic.train()(x), static.train()(x), atol=1e-4):
                raise SystemExit(f"{name}: the outputs differ")
            classes = int(static(x).shape[-1])
            labels = torch.randint(0, classes, (len(x),))
            times = interleave({"supernet": own(dynamic, x, labels), "static": own(static, x, labels)}, ROUNDS // 2)
            found = seconds(times, "supernet")
            gain = ratio(found, seconds(times, "static"))
            report.add(
                f"{name}, sub-network {k + 1} (ratio to its static network)", name, 1e3 * spread(found).median, gain
            )


def chain(report: Report) -> None:
    """The chain of the peers in our language: a plan, made in each step, against the network by hand."""
    space = compile_file(modules.SPACE.with_name("chain.arch"))
    x, labels = torch.randn(8, 3, 32, 32), torch.randint(0, 10, (8,))
    for size, genes in sampled(space).items():
        store = Store(space.graph)
        variants = {
            "plan": planned(space, store, genes, x, labels, most=0),
            "by hand": own(hand.network(space.graph, store, genes), x, labels),
        }
        times = interleave(variants, ROUNDS)
        found = seconds(times, "plan")
        gain = ratio(found, seconds(times, "by hand"))
        report.add(f"chain, {size} (ratio to the network by hand)", "plan", 1e3 * spread(found).median, gain)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    space = compile_file(modules.SPACE)
    report = Report(
        f"Supernets side by side, batch {BATCH}; learning rate {RATE}", ["what", "form", "ms", "ratio [quartiles]"]
    )
    steps(space, report)
    candidates(space, report)
    chain(report)
    peers(report)
    report.print()


if __name__ == "__main__":
    main()
