"""One generation of 40 candidates, late in a search: all at once, against one after the other in float32.

    python benchmarks/evaluate.py [--cache DIR] [--generations 20] [--survivors] [--json]
    python benchmarks/evaluate.py --make

Trains the supernet of examples/demo.arch in the cache folder if it is not there (seed 0). The generations are those of
`populations/demo.json`: genomes of NSGA-II (40 x 21, seed 0) over that supernet; `--make` writes them anew. Candidates are
recalibrated on 128 training images and measured on 1,000 validation images. The base extracts each candidate as a network of
its own and does the same with it, in float32. Parents were measured in the generation before and are not timed. CPU time, one
thread, everything in one run. `--survivors` compares who survives in every generation, which takes long.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau
from timing import ROOT, Report, Target
from torch import nn

from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.compiler.module import extract
from hrdsl.runtime.checkpoint import CheckpointError
from hrdsl.runtime.evaluate import CALIBRATION_BATCH, network_miou
from hrdsl.runtime.evaluation import Evaluator, Options, Paired
from hrdsl.runtime.evaluation.spent import Spent
from hrdsl.runtime.evaluation.survival import survivors
from hrdsl.runtime.objectives import problem_of
from hrdsl.runtime.search import nsga2
from hrdsl.runtime.search.problem import Contest, Evaluation, Objective
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
    try:
        trainer = supernet(compiled, train, torch.device("cpu"), cache, Listener())
    except CheckpointError:  # of an earlier version
        (cache / "supernet.ckpt").unlink()
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


PARTS = {
    "all on": Options(precision=torch.bfloat16, race=Paired(0.01, 100)),
    "without sharing": Options(share=False, precision=torch.bfloat16, race=Paired(0.01, 100)),
    "without folding": Options(fold=False, precision=torch.bfloat16, race=Paired(0.01, 100)),
    "without bfloat16": Options(race=Paired(0.01, 100)),
    "without racing": Options(precision=torch.bfloat16),
    "sharing alone": Options(fold=False),
}


class Lab:
    """A trained supernet, its images, and what is known of its candidates in float32."""

    def __init__(self, cache: Path) -> None:
        self.compiled, self.trainer, self.calibration, self.validation = trained(cache)
        self.generations = json.loads(POPULATIONS.read_text())["generations"]
        self.objectives = Objective("miou", maximize=True), Objective("macs", exact=True)
        self.path = cache / f"float32-{VALIDATE}.json"
        self.truth: dict[str, float] = json.loads(self.path.read_text()) if self.path.exists() else {}

    def of(self, generation: int) -> tuple[list[Genome], list[Genome]]:
        """Parents and children; generations count from 1."""
        found = self.generations[generation - 1]
        return [tuple(g) for g in found["parents"]], [tuple(g) for g in found["children"]]

    def evaluator(self, options: Options) -> Evaluator:
        return Evaluator(self.trainer.planner, self.calibration, self.validation, ["miou"], options)

    def macs(self, genomes: Sequence[Genome]) -> Any:
        return self.compiled.costs(np.array(genomes, np.int16), peak=False)["macs"].astype(float)

    def losses(self, genomes: Sequence[Genome], values: Sequence[float]) -> Any:
        return np.stack([-np.array(values), self.macs(genomes)], axis=1)

    def exact(self, genomes: Sequence[Genome]) -> list[float]:
        """In float32; to the last bit what each plan gives by itself."""
        missing = [g for g in genomes if str(g) not in self.truth]
        if missing:
            for genome, answer in self.evaluator(Options(fold=False))(missing):
                self.truth[str(genome)] = answer.values[0]
            self.path.write_text(json.dumps(self.truth))
        return [self.truth[str(g)] for g in genomes]

    def contest(self, parents: Sequence[Genome], values: Sequence[float], children: Sequence[Genome]) -> Contest:
        losses, macs = self.losses(parents, values), self.macs(children)[:, None]
        return Contest(self.objectives, tuple(children), macs, tuple(parents), losses, POPULATION, (1.0, 1.0))

    def alone(self, genome: Genome) -> float:
        """The base: a network of its own, its statistics renewed, then its metric."""
        network = extract(self.compiled.graph, self.trainer.store, genome)
        norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d)]
        network.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
        with torch.no_grad():
            for x, _ in self.calibration.chunks(CALIBRATION_BATCH):
                network(x)
        return network_miou(network, self.validation)


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.process_time()
    found = call()
    return time.process_time() - begun, found


def each(call: Callable[[Genome], float], genomes: Sequence[Genome]) -> list[float]:
    return [call(genome) for genome in genomes]


def survived(lab: Lab, everyone: Sequence[Genome], values: Sequence[float]) -> set[Genome]:
    kept = survivors(lab.losses(everyone, values)[None], POPULATION)[0]
    return {g for g, k in zip(everyone, kept, strict=True) if k}


def generation(
    lab: Lab, number: int, options: Options
) -> tuple[float, dict[Genome, Evaluation], list[float], Evaluator]:
    """CPU seconds of one generation, its answers, and the values of its parents, which are measured before."""
    parents, children = lab.of(number)
    evaluator = lab.evaluator(options)
    before = dict(evaluator(parents))
    values = [before[g].values[0] for g in parents]
    evaluator.spent = Spent()
    evaluator.contest(lab.contest(parents, values, children))
    seconds, answers = timed(lambda: dict(evaluator(children)))
    return seconds, answers, values, evaluator


def times(lab: Lab, numbers: Sequence[int], report: Report) -> None:
    for number in numbers:
        parents, children = lab.of(number)
        base, alone = timed(partial(each, lab.alone, children))
        everyone = [*parents, *children]
        truth = survived(lab, everyone, [*lab.exact(parents), *alone])
        report.add(number, "one after the other", base, 1.0, VALIDATE, "", "", "", "", "")
        for name, options in PARTS.items():
            seconds, answers, values, evaluator = generation(lab, number, options)
            spent = evaluator.spent
            mine = [answers[g].values[0] for g in children]
            full = [k for k, g in enumerate(children) if not answers[g].images]
            tau = kendalltau([alone[k] for k in full], [mine[k] for k in full]).statistic
            same = len(truth & survived(lab, everyone, [*values, *mine]))
            parts = ", ".join(f"{k} {v:.2f}" for k, v in spent.seconds.items())
            report.add(
                number,
                name,
                seconds,
                seconds / base,
                spent.images / len(children),
                spent.shared,
                spent.stopped,
                tau,
                same,
                parts,
            )
            if name == "all on":
                report.targets.append(Target(f"generation {number}, all on", 0.1, seconds / base, "x"))


def compare(lab: Lab, report: Report) -> None:
    """Who survives each generation, in float32 and with everything on."""
    same, shared = 0, []
    for number in range(2, len(lab.generations) + 1):
        parents, children = lab.of(number)
        everyone = [*parents, *children]
        truth = survived(lab, everyone, lab.exact(everyone))
        _, answers, values, evaluator = generation(lab, number, PARTS["all on"])
        found = survived(lab, everyone, [*values, *(answers[g].values[0] for g in children)])
        same += found == truth
        shared.append(len(found & truth))
        report.add(
            number,
            "survivors",
            "",
            "",
            evaluator.spent.images / len(children),
            evaluator.spent.shared,
            evaluator.spent.stopped,
            "",
            len(found & truth),
            "",
        )
    report.targets.append(Target("generations with the same survivors, of 20", 19, same, least=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--make", action="store_true", help="write the populations anew")
    parser.add_argument("--generations", type=int, nargs="*", default=[20])
    parser.add_argument("--survivors", action="store_true", help="compare who survives in every generation")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.make:
        make(args.cache)
        return
    report = Told(
        f"One generation of {POPULATION} on examples/demo.arch, {RECALIBRATE} + {VALIDATE} images",
        [
            "generation",
            "how",
            "CPU s",
            "ratio",
            "images each",
            "shared",
            "stopped",
            "tau",
            "same survivors",
            "seconds by part",
        ],
    )
    lab = Lab(args.cache)
    times(lab, args.generations, report)
    if args.survivors:
        compare(lab, report)
    report.print()


class Told(Report):
    """A report whose rows are told as soon as they are known: all of them take long."""

    def add(self, *cells: object) -> None:
        Report.add(self, *cells)
        print("  ".join(self.rows[-1]), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
