"""Peak memory of a training step: a sub-network over the store, against the same network by hand plus the store.

What counts are the bytes of tensors alive at once, by torch's profiler, which sees every allocation and release; work space
inside of oneDNN is not seen. The first step, which makes the optimiser's state, and one more go before. "The store" is what
a supernet has anyway: parameters, their gradients and the state of the optimiser, all at full size.
"""

import gc

import hand
import torch
from step import BATCH, own, planned, sampled
from timing import ROOT, Phases, Report, Target
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from hrdsl.compiler.api import compile_file
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.store import Store

STATES = 4
"""Parameters, gradients, first and second moments."""


def run(step: Phases) -> None:
    for _ in step():
        pass


def peak(step: Phases) -> int:
    """The most bytes that a step has at once beyond what was there before it."""
    for _ in range(2):
        run(step)
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        run(step)
    changes = sorted(
        (event.start_ns(), event.nbytes())
        for event in found.profiler.kineto_results.events()  # type: ignore[union-attr]
        if event.name() == "[memory]" and event.device_type() == DeviceType.CPU
    )
    now = most = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def size(tensors: list[Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def alone(network: nn.Module, x: Tensor, labels: Tensor) -> int:
    """What a network of its own takes: its weights and states, which stay, and the peak of a step."""
    more = peak(own(network, x, labels))
    kept = list(network.parameters())
    return 3 * size(kept) + more  # the gradients are released at the begin of a step and made within


def main() -> None:
    torch.set_num_threads(1)
    space = compile_file(ROOT / "examples" / "demo.arch")
    torch.manual_seed(0)
    x, labels = torch.randn(BATCH, 3, 64, 64), torch.randint(0, 11, (BATCH, 32, 32))
    x = x.contiguous(memory_format=torch.channels_last)
    report = Report(
        f"Peak memory of a training step on examples/demo.arch, batch {BATCH}, MB",
        ["architecture", "network alone", "store", "over the store", "ratio"],
    )
    for name, genes in sampled(space).items():
        store = Store(space.graph)
        held = STATES * size([store.flat])
        network = alone(hand.network(space.graph, store, genes), x, labels)
        kept = size(list(Planner(space.graph, store)(genes).parameters()))  # gradients of the step before
        shared = held + kept + peak(planned(space, store, genes, x, labels))
        ratio = shared / (network + held)
        report.add(name, network / 1e6, held / 1e6, shared / 1e6, ratio)
        report.targets.append(Target(f"memory of a training step, {name} / (network + store)", 1.1, ratio, "x"))
    report.print()


if __name__ == "__main__":
    main()
