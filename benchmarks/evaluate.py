"""One generation of 40 candidates, late in a search: all at once, against one after the other in float32.

    python benchmarks/evaluate.py [--cache DIR] [--generations 10 15 20] [--json]
    python benchmarks/evaluate.py --make

Trains the supernet of examples/demo.arch in the cache folder if it is not there (seed 0). The generations are those of
`populations/demo.json`: genomes of NSGA-II (40 x 21, seed 0) over that supernet; `--make` writes them anew. Candidates are
recalibrated on 128 training images and measured on 1,000 validation images. The base extracts each candidate as a network of
its own and does the same with it, in float32. CPU time, one thread, everything in one run.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timing import ROOT

from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.runtime.evaluation import Evaluator, Options
from hrdsl.runtime.evaluation.survival import survivors
from hrdsl.runtime.objectives import problem_of
from hrdsl.runtime.search import nsga2
from hrdsl.runtime.search.problem import Evaluation
from hrdsl.runtime.searching import Listener, runs_of, supernet
from hrdsl.runtime.strategy import config_of
from hrdsl.runtime.task import Examples, examples
from hrdsl.runtime.train import SupernetTrainer

EXAMPLE = ROOT / "examples" / "demo.arch"
POPULATIONS = Path(__file__).parent / "populations" / "demo.json"
CACHE = Path(tempfile.gettempdir()) / "hrdsl-benchmarks"
POPULATION, GENERATIONS, RECALIBRATE, VALIDATE = 40, 21, 128, 1000
Genome = tuple[int, ...]


def trained(cache: Path) -> tuple[Compiled, SupernetTrainer, Examples, Examples]:
    """The supernet with its calibration and validation images."""
    compiled = compile_file(EXAMPLE)
    train, _ = runs_of(compiled)
    cache.mkdir(parents=True, exist_ok=True)
    trainer = supernet(compiled, train, torch.device("cpu"), cache, Listener())
    data = trainer.data
    calibration = Examples(data.images[:RECALIBRATE], data.labels, data.classes, data.ignore)
    size = compiled.graph.input.extent[0]
    validation = examples(train.settings["data"], "val", VALIDATE, size, torch.device("cpu"))
    return compiled, trainer, calibration, validation


def make(cache: Path) -> None:
    """Run NSGA-II, and keep who was asked in each generation and who was there before."""
    compiled, trainer, calibration, validation = trained(cache)
    _, run = runs_of(compiled)
    config = replace(config_of(run, compiled, 0), population=POPULATION, generations=GENERATIONS)
    few = Examples(validation.images[:200], validation.labels[:200], validation.classes, validation.ignore)
    evaluator = Evaluator(trainer.planner, calibration, few, ["miou"], Options())
    asked: list[dict[Genome, Evaluation]] = []

    def measure(genomes: Sequence[Genome]) -> Any:
        asked.append({})
        for genome, answer in evaluator(genomes):
            asked[-1][genome] = answer
            yield genome, answer
        print(f"generation {len(asked)}: {len(genomes)} candidates", flush=True)

    nsga2.run(problem_of(compiled, run, measure), config)
    generations, parents = [], dict[Genome, Evaluation]()
    for children in asked:
        generations.append({"parents": [*map(list, parents)], "children": [*map(list, children)]})
        everyone = parents | children
        genomes = list(everyone)
        macs = compiled.costs(np.array(genomes, np.int16), peak=False)["macs"]
        losses = np.stack([[-e.values[0] for e in everyone.values()], macs.astype(float)], axis=1)
        kept = survivors(losses[None], POPULATION)[0]
        parents = {g: everyone[g] for g, k in zip(genomes, kept, strict=True) if k}
    found = {"command": "python benchmarks/evaluate.py --make", "seed": 0, "generations": generations}
    POPULATIONS.parent.mkdir(exist_ok=True)
    POPULATIONS.write_text(json.dumps(found, separators=(",", ":")) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--make", action="store_true", help="write the populations anew")
    parser.add_argument("--generations", type=int, nargs="+", default=[20])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.make:
        make(args.cache)


if __name__ == "__main__":
    main()
