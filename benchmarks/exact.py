"""Are the numbers exact? For sampled architectures of every example space:

    python benchmarks/exact.py [--architectures 200]

MACs are half of what torch.utils.flop_counter counts on the extracted network, parameters are the sum of numel(), and plan,
GraphModule over the store and extracted network give bit-identical outputs, with statistics of the batch and with stored
ones (one thread). Exits with 1 at the first difference.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from hrdsl.compiler.api import Compiled, compile_module
from hrdsl.compiler.module import extract, over_store
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.store import Store
from hrdsl.dsl.model import build_model
from hrdsl.dsl.modules import load

EXAMPLES = Path(__file__).parent.parent / "examples"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", type=int, default=200)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for file in sorted(EXAMPLES.glob("*.arch")):
        module = load(file)
        for space in build_model(module).spaces:
            compiled = compile_module(module, space.name)
            count = check(compiled, args.architectures)
            print(f"{file.name} {space.name}: {count} architectures exact and bit-identical", flush=True)


@torch.no_grad()
def check(compiled: Compiled, architectures: int) -> int:
    """Check distinct sampled architectures; how many there were. Exits at a difference."""
    store = Store(compiled.graph)
    planner = Planner(compiled.graph, store)
    rows = np.unique(compiled.decisions.sample(np.random.default_rng(0), architectures), axis=0)
    costs = compiled.costs(rows)
    shape = compiled.graph.input
    x = torch.randn(2, int(shape.width), *(int(n) for n in shape.extent), generator=torch.Generator().manual_seed(0))
    for i, row in enumerate(rows):
        genes = tuple(int(g) for g in row)
        plan = planner(genes)
        plan.reset_statistics()
        plan(x, "calibrate")
        network = extract(compiled.graph, store, genes, plan.statistics).eval()
        with FlopCounterMode(display=False) as counter:
            stored = network(x[:1])
        expect("MACs", genes, int(costs["macs"][i]) * 2, counter.get_total_flops())
        expect("parameters", genes, int(costs["parameters"][i]), sum(p.numel() for p in network.parameters()))
        expect("stored", genes, True, torch.equal(stored, plan(x[:1], "stored")))
        batch = plan(x, "batch", training=False)
        expect("GraphModule", genes, True, torch.equal(batch, over_store(compiled.graph, store, genes).eval()(x)))
        expect("extracted", genes, True, torch.equal(batch, network.train()(x)))
    return len(rows)


def expect(what: str, genes: tuple[int, ...], want: object, got: object) -> None:
    if want != got:
        sys.exit(f"{what} of {genes}: {got} instead of {want}")


if __name__ == "__main__":
    main()
