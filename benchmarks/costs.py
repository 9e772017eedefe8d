"""Costs of 10,000 candidates at once, against torch's FlopCounterMode on one network after the other."""

import numpy as np
import torch
from spaces import compiled, generated
from timing import ROOT, Report, Target, interleave, number, once, seconds, spread
from torch.utils.flop_counter import FlopCounterMode

from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.compiler.module import extract
from hrdsl.compiler.store import Store
from hrdsl.compiler.sym import at

COUNT = 10_000


def measure(name: str, space: Compiled, report: Report) -> float:
    """Candidates per second for parameters and MACs."""
    costs, genes = space.costs, space.decisions.sample(np.random.default_rng(0), COUNT)
    networks = [extract(space.graph, Store(space.graph), tuple(map(int, g))).eval().to("meta") for g in genes[:3]]
    size = [at(n, ()) for n in (space.graph.input.width, *space.graph.input.extent)]
    x = torch.empty(1, *size, device="meta")

    def counted() -> list[int]:
        found = []
        for network in networks:
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                network(x)
            found.append(counter.get_total_flops())
        return found

    if [f // 2 for f in counted()] != costs(genes[:3])["macs"].tolist():
        raise SystemExit(f"{name}: the MACs differ")
    times = interleave(
        {
            "plain": once(lambda: costs(genes, peak=False)),
            "torch": once(counted),
        },
        rounds=12,
    )
    peaks = interleave({"peak": once(lambda: costs(genes))}, rounds=4)
    plain = spread(COUNT / s for s in seconds(times, "plain"))
    peak = spread(COUNT / s for s in seconds(peaks, "peak"))
    torch_rate = spread(len(networks) / s for s in seconds(times, "torch"))
    gain = spread(
        (b / len(networks)) / (a / COUNT) for a, b in zip(seconds(times, "plain"), seconds(times, "torch"), strict=True)
    )
    where = f"{name}, {len(space.graph.decisions)} decisions, {len(space.graph.nodes)} nodes"
    report.add(where, plain.median, peak.median, torch_rate.median, f"{number(gain.median)} x")
    return plain.median


def main() -> None:
    torch.set_num_threads(1)
    report = Report(
        f"Candidates per second, costs of {COUNT:,} at once",
        ["space", "parameters, MACs", "and peak memory", "FlopCounterMode", "gain"],
    )
    demo = measure("demo.arch", compile_file(ROOT / "examples" / "demo.arch"), report)
    large = measure("generated", compiled(generated(500)), report)
    report.targets.append(Target("costs of 10,000 candidates, demo", 500_000, demo, "per s", least=True))
    report.targets.append(Target("costs of 10,000 candidates, 500 nodes", 500_000, large, "per s", least=True))
    report.print()


if __name__ == "__main__":
    main()
