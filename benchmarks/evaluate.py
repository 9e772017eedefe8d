"""One generation of 40 candidates, late in a search: all at once, against one after the other in float32.

    python benchmarks/evaluate.py [--cache DIR] [--generations 20] [--json]
    python benchmarks/evaluate.py --survivors
    python benchmarks/evaluate.py --make

Trains the supernet of examples/demo.arch in the cache folder if it is not there (seed 0). The generations are those of
`populations/demo.json`: genomes of NSGA-II (40 x 21, seed 0) over that supernet; `--make` writes them anew. Candidates are
recalibrated on 128 training images and measured on 1,000 validation images. The base extracts each candidate as a network of
its own and does the same with it, in float32. Parents were measured in the generation before and are not timed. CPU time, one
thread, everything in one run; a part of the base goes before each of the others. The last rows are those children alone that
survive, which no race can spare.

`--survivors` compares who survives 20 generations, with a race and without, in each precision. What each image says of each
candidate is kept in the cache, so an interrupted run goes on; the first takes about half an hour. The base is float32 without
folding, which is to the last bit what each network gives by itself. Parents are measured as their children are.
"""

import argparse
import json
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
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
from hrdsl.runtime.evaluation.race import Race
from hrdsl.runtime.evaluation.scores import Scores
from hrdsl.runtime.evaluation.spent import Spent
from hrdsl.runtime.evaluation.survival import survivors
from hrdsl.runtime.objectives import problem_of
from hrdsl.runtime.search import nsga2
from hrdsl.runtime.search.problem import Contest, Evaluation, Objective, search
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

    problem = problem_of(compiled, run, measure)
    search(problem, config, nsga2.engine(problem, config), None, None)
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


RACE = Paired(0.01, 50)
PARTS = {
    "all on": Options(precision=torch.bfloat16, race=RACE),
    "without sharing": Options(share=False, precision=torch.bfloat16, race=RACE),
    "without folding": Options(fold=False, precision=torch.bfloat16, race=RACE),
    "without bfloat16": Options(race=RACE),
    "without racing": Options(precision=torch.bfloat16),
    "sharing alone": Options(fold=False),
}


class Lab:
    """A trained supernet, its images, and what is known of its candidates in float32."""

    def __init__(self, cache: Path) -> None:
        self.compiled, self.trainer, self.calibration, self.validation = trained(cache)
        self.generations = json.loads(POPULATIONS.read_text())["generations"]
        self.objectives = Objective("miou", maximize=True), Objective("macs", exact=True)
        weights = zlib.crc32(self.trainer.store.flat.detach().numpy().tobytes())
        self.kept = cache / f"scores-{weights:08x}"

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

    def scores(self, name: str, number: int) -> dict[Genome, Scores]:
        """What each image says of the children of a generation; asked once, then read."""
        path = self.kept / f"{name}-{number}.npz".replace(" ", "-")
        _, children = self.of(number)
        if not path.exists():
            evaluator = self.evaluator(MEASURED[name])
            with torch.no_grad():
                found = [s for group in evaluator.groups(children)[0] for s in evaluator.measured(group).items()]
            tables = np.stack([dict(found)[g].confusions.numpy().astype(np.uint16) for g in children])
            self.kept.mkdir(exist_ok=True)
            np.savez_compressed(path, tables=tables)
        tables = np.load(path)["tables"].astype(np.int64)
        return {g: Scores(torch.from_numpy(t), None, True) for g, t in zip(children, tables, strict=True)}

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
        _, children = lab.of(number)
        found, alone, base = {}, list[float](), 0.0
        for (name, options), some in zip(
            PARTS.items(), np.array_split(np.arange(len(children)), len(PARTS)), strict=True
        ):
            seconds, values = timed(partial(each, lab.alone, [children[k] for k in some]))
            base, alone = base + seconds, alone + values
            found[name] = generation(lab, number, options)
            print(f"{name}: {found[name][0]:.1f} s", file=sys.stderr, flush=True)
        report.add(number, "one after the other", base, 1.0, VALIDATE, "", "", "", "")
        for name, (seconds, answers, _, evaluator) in found.items():
            spent = evaluator.spent
            full = [k for k, g in enumerate(children) if not answers[g].images]
            tau = kendalltau([alone[k] for k in full], [answers[children[k]].values[0] for k in full]).statistic
            parts = ", ".join(f"{k} {v:.2f}" for k, v in spent.seconds.items())
            images = spent.images / len(children)
            report.add(number, name, seconds, seconds / base, images, spent.shared, spent.stopped, tau, parts)
        for name in ("all on", "without bfloat16"):
            report.targets.append(Target(f"generation {number}, {name}", 0.1, found[name][0] / base, "x"))
            floor(lab, number, name, found[name][1:3], base, report)


def floor(
    lab: Lab, number: int, name: str, known: tuple[dict[Genome, Evaluation], list[float]], base: float, report: Report
) -> None:
    """What those children take that survive, which no race can spare."""
    parents, children = lab.of(number)
    answers, values = known
    alive = survived(lab, [*parents, *children], [*values, *(answers[g].values[0] for g in children)]) & {*children}
    evaluator = lab.evaluator(PARTS[name]._replace(race=None))
    list(evaluator(parents))
    evaluator.spent = Spent()
    seconds, _ = timed(lambda: dict(evaluator([g for g in children if g in alive])))
    parts = ", ".join(f"{k} {v:.2f}" for k, v in evaluator.spent.seconds.items())
    how = f"{name}, the {len(alive)} that survive alone"
    report.add(number, how, seconds, seconds / base, VALIDATE, evaluator.spent.shared, "", "", parts)


MEASURED = {"base": Options(fold=False), "float32": Options(), "bfloat16": Options(precision=torch.bfloat16)}
"""How candidates are measured where who survives is compared."""


class Replay:
    """An evaluator that knows what each image says of each candidate."""

    def __init__(self, known: dict[Genome, Scores]) -> None:
        self.known, self.kept, self.spent = known, known, Spent()
        self.metrics, self.validation = ("miou",), range(VALIDATE)

    def groups(self, genomes: Iterable[Genome]) -> Any:
        group = dict.fromkeys(genomes)
        return [group] if group else [], {}

    def calibrate(self, group: Any) -> None:
        pass

    def validate(self, group: Iterable[Genome], first: int, last: int) -> dict[Genome, Scores]:
        found = {g: Scores(self.known[g].confusions[first:last], None, True) for g in group}
        self.spent.images += (last - first) * len(found)
        return found

    def values(self, score: Scores) -> tuple[float, ...]:
        return (score.metric("miou"),)


CASES = {
    "raced": ("base", True),
    "folded": ("float32", False),
    "folded, raced": ("float32", True),
    "bfloat16": ("bfloat16", False),
    "bfloat16, raced": ("bfloat16", True),
}
"""How candidates are measured, and whether they race."""


def compare(lab: Lab, report: Report) -> None:
    """Who survives each generation, against who does where all are measured in full in float32."""
    known: dict[str, dict[Genome, Scores]] = {name: lab.scores(name, 1) for name in MEASURED}
    same = dict.fromkeys(CASES, 0)
    for number in range(2, len(lab.generations) + 1):
        for name, scores in known.items():
            scores |= lab.scores(name, number)
        wanted, _ = outcome(lab, number, known["base"], False)
        for case, (name, races) in CASES.items():
            found, images = outcome(lab, number, known[name], races)
            same[case] += found == wanted
            report.add(
                number, case, "", "", images, "", "", "", f"{len(found & wanted)} of {POPULATION} survivors the same"
            )
    for case, count in same.items():
        report.targets.append(Target(f"generations with the same survivors, {case}, of 20", 19, count, least=True))


def outcome(lab: Lab, number: int, known: dict[Genome, Scores], races: bool) -> tuple[set[Genome], float]:
    """Who survives a generation, and the images that each child saw."""
    parents, children = lab.of(number)
    values = {g: known[g].metric("miou") for g in [*parents, *children]}
    replay = Replay(known)
    if races:
        stake = lab.contest(parents, [values[g] for g in parents], children)
        values |= {g: a.values[0] for g, a in Race(replay, stake, *RACE).run()}  # type: ignore[arg-type]
    images = replay.spent.images / len(children) if races else VALIDATE
    return survived(lab, list(values), list(values.values())), images


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
            "seconds by part",
        ],
    )
    lab = Lab(args.cache)
    if args.survivors:
        compare(lab, report)
    else:
        times(lab, args.generations, report)
    report.print()


class Told(Report):
    """A report whose rows are told as soon as they are known: all of them take long."""

    def add(self, *cells: object) -> None:
        Report.add(self, *cells)
        print("  ".join(self.rows[-1]), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
