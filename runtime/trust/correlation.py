"""Does the supernet rank as training from scratch does? A trained supernet and a sample of its networks in, a report out."""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

from ...compiler.api import Compiled
from ..files import write
from ..search.problem import Evaluation, Measure, Objective
from ..steps import Step
from . import picture
from .agreement import Estimate, agreement
from .alone import Alone, Trainer

Genome = tuple[int, ...]
COEFFICIENTS = "tau", "rho", "spearman"
"""What does not ask which of two lists is the prediction."""
FEWEST = 3
"""Networks without which nothing can be said."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One network: its accuracy with the supernet's weights and with its own, or why one of them lacks. `alone` is the mean
    over its `trainings`."""

    genome: Genome
    macs: int
    supernet: float | None
    alone: float | None
    trainings: tuple[float, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Correlation:
    """All networks and how well the two accuracies agree. `agreement` is empty where fewer than `FEWEST` can be compared.

    `repeated`: how well two trainings of the same networks agree, the mean over pairs of seeds; empty with one seed.
    """

    metric: str
    networks: tuple[Compared, ...]
    agreement: Mapping[str, Estimate]
    repeated: Mapping[str, float]
    seconds: float

    @property
    def compared(self) -> tuple[tuple[float, float], ...]:
        """(supernet, alone) of every network that has both."""
        return tuple((n.supernet, n.alone) for n in self.networks if n.supernet is not None and n.alone is not None)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the training from scratch stands: training `network` of `networks`, and how many seconds are left."""

    network: int
    networks: int
    step: Step
    left: float


Heard = Callable[[Standing], None]


def correlate(
    compiled: Compiled,
    measure: Measure,
    goal: Objective,
    genomes: Sequence[Genome],
    alone: Sequence[Trainer],
    heard: Heard | None = None,
) -> Correlation:
    """Measure each genome both ways on the same validation images, by itself with each trainer in `alone`. What those already
    know is not trained again.

    `measure` answers with the weights of the supernet, one value: that of `goal`.
    """
    begun = time.monotonic()
    predicted = dict(measure(genomes))
    runs = [(trainer, genome) for trainer in alone for genome in genomes]
    missing = [trainer.find(genome) is None for trainer, genome in runs]
    watch = Watch(len(runs), len(runs) - sum(missing), heard)
    own: dict[Genome, list[Alone]] = {genome: [] for genome in genomes}
    for (trainer, genome), new in zip(runs, missing, strict=True):
        own[genome].append(trainer(genome, watch.step))
        watch.done += new
    networks = tuple(_compared(compiled, own[genome], predicted[genome]) for genome in genomes)
    return judged(goal, networks, time.monotonic() - begun)


def _compared(compiled: Compiled, own: Sequence[Alone], inherited: Evaluation) -> Compared:
    shared = inherited.values[0] if inherited.error is None else math.nan
    lost = next((run.error for run in own if run.error), None)
    error = lost or inherited.error or (None if math.isfinite(shared) else "the supernet's accuracy is not finite")
    trainings = tuple(run.accuracy for run in own if run.accuracy is not None)
    mean = fmean(trainings) if lost is None else None
    genome = own[0].genome
    return Compared(genome, int(compiled.costs.one(genome)["macs"]), _finite(shared), mean, trainings, error)


def judged(goal: Objective, networks: tuple[Compared, ...], seconds: float) -> Correlation:
    """The report of measured networks."""
    bare = Correlation(goal.name, networks, {}, {}, seconds)
    sign = 1 if goal.maximize else -1
    pairs = [(sign * predicted, sign * true) for predicted, true in bare.compared]
    if len(pairs) < FEWEST:
        return bare
    predicted, true = zip(*pairs, strict=True)
    seeds = list(zip(*(n.trainings for n in networks if n.alone is not None), strict=True))
    return replace(bare, agreement=agreement(predicted, true), repeated=_repeated(seeds))


def _repeated(seeds: Sequence[Sequence[float]]) -> dict[str, float]:
    """How well the accuracies of one seed predict those of another: coefficients of ranks and lines, the mean over pairs."""
    found = [agreement(one, other) for one, other in combinations(seeds, 2)]
    return {name: fmean(pair[name].value for pair in found) for name in COEFFICIENTS} if found else {}


class Watch:
    """Turns the steps of one network after the other into how far the whole is."""

    def __init__(self, networks: int, known: int, heard: Heard | None) -> None:
        self.networks, self.known, self.heard = networks, known, heard
        self.done = 0
        self.begun = time.monotonic()

    def step(self, step: Step) -> None:
        if self.heard is None:
            return
        share = self.done + step.step / step.steps
        left = (time.monotonic() - self.begun) / share * (self.networks - self.known - share)
        self.heard(Standing(self.known + self.done + 1, self.networks, step, left))


def as_json(found: Correlation, labels: Callable[[Genome], Mapping[str, str]]) -> dict[str, Any]:
    """The report as plain data; what has no value is null."""
    return {
        "metric": found.metric,
        "networks": [
            {
                **asdict(n),
                "genome": list(n.genome),
                "trainings": list(n.trainings),
                "choices": dict(labels(n.genome)),
            }
            for n in found.networks
        ],
        "compared": len(found.compared),
        "agreement": {
            name: {part: _finite(value) for part, value in asdict(e).items()} for name, e in found.agreement.items()
        },
        "repeated": {name: _finite(value) for name, value in found.repeated.items()},
        "seconds": round(found.seconds, 1),
    }


def write_report(found: Correlation, data: Mapping[str, Any], folder: Path) -> tuple[Path, Path]:
    """`correlation.json` and `correlation.svg`."""
    written = write(folder / "correlation.json", json.dumps(data, indent=2) + "\n")
    return written, write(folder / "correlation.svg", picture.scatter(found.compared, found.metric, found.agreement))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
