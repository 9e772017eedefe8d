"""Evolution against random search on one trained supernet: hypervolume of the front at the same number of evaluations.

    python benchmarks/front.py --study DIR [--seeds 0 1 2]

Trains the supernet of examples/demo.arch in DIR if it is not there. Both searches see the same supernet, the same images
and the same budget; the hypervolume (accuracy x saved MACs, as a share of the whole rectangle) is measured from an accuracy
of 0 at the MACs of the largest architecture.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from hrdsl.compiler.api import compile_file
from hrdsl.runtime.device import pick
from hrdsl.runtime.evaluate import candidate_miou
from hrdsl.runtime.objectives import problem_of
from hrdsl.runtime.search import nsga2
from hrdsl.runtime.search import random as random_search
from hrdsl.runtime.search.problem import one_by_one
from hrdsl.runtime.searching import Listener, runs_of, supernet
from hrdsl.runtime.strategy import config_of
from hrdsl.runtime.task import Examples, examples

EXAMPLE = Path(__file__).parent.parent / "examples" / "demo.arch"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(json.dumps(compare(args.study, args.seeds, pick(args.device)), indent=2))


def compare(folder: Path, seeds: Sequence[int], device: torch.device) -> dict[str, object]:
    """Hypervolumes of both searches by seed."""
    compiled = compile_file(EXAMPLE)
    train, run = runs_of(compiled)
    trainer = supernet(compiled, train, device, folder, Listener())
    data, size = trainer.data, compiled.graph.input.extent[0]
    calibration = Examples(data.images[: run.settings["recalibrate"]], data.labels, data.classes, data.ignore)
    validation = examples(train.settings["data"], "val", run.settings["validate"], size, device)
    known: dict[tuple[int, ...], float] = {}

    def measure(genes: tuple[int, ...]) -> list[float]:
        if genes not in known:
            known[genes] = candidate_miou(trainer.planner, genes, calibration, validation)
        return [known[genes]]

    found: dict[str, dict[int, float]] = {"evolution": {}, "random": {}}
    for seed in seeds:
        config = config_of(run, compiled, seed)
        budget = config.total()
        assert config.reference is not None
        whole = config.reference[1]
        for name, engine, chosen in (
            ("evolution", nsga2, config),
            ("random", random_search, replace(config, evaluations=budget)),
        ):
            front = engine.run(problem_of(compiled, run, one_by_one(measure)), chosen)
            found[name][seed] = round((front.hypervolume or 0.0) / whole, 5)
            print(
                f"seed {seed} {name:10s} {found[name][seed]:.4f}  {front.evaluated} evaluations, {len(front.members)} networks",
                flush=True,
            )
    return {"evaluations": budget, "hypervolume": found}


if __name__ == "__main__":
    main()
