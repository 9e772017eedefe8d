"""Is a search better than drawing at random? Both over one supernet, by seeds; hypervolume over evaluations out."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..files import write
from ..search.front import hypervolume
from ..search.problem import Config, Engine, Evaluation, Measure, Objective, Problem, Progress, search
from ..search.random import Random
from ..search.study import Row, Study, identify
from . import picture
from .agreement import Estimate, mean

Genome = tuple[int, ...]
Strategy = Callable[[Problem, Config], Engine]
POINTS = 40
"""Points of a curve."""


@dataclass(frozen=True, slots=True)
class Race:
    """What one way to search found: for each seed its evaluations in the order in which they were asked."""

    name: str
    evaluations: int
    rows: Mapping[int, tuple[Row, ...]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A search against random search. Hypervolumes are shares of the rectangle between reference and zero cost.

    `finals`: at the end of each, by seed. `difference`: of the seeds, paired. `needed`: by seed, the evaluations after
    which the search had more than random search at its end; None if it never had.
    """

    races: tuple[Race, Race]
    curves: Mapping[str, tuple[tuple[int, Estimate], ...]]
    finals: Mapping[str, Mapping[int, float]]
    difference: Estimate
    needed: Mapping[int, int | None]


class Memory:
    """Measures a genome once for all searches of a comparison; what their studies hold is not measured again."""

    def __init__(self, measure: Measure, objectives: Sequence[Objective]) -> None:
        self.measure = measure
        self.wanted = [k for k, o in enumerate(objectives) if not o.exact]
        self.known: dict[Genome, Evaluation] = {}

    def learn(self, rows: Sequence[Row]) -> None:
        for row in rows:
            answer = row.evaluation
            values = tuple(answer.values[k] for k in self.wanted) if answer.error is None else ()
            self.known[row.genome] = replace(answer, values=values)

    def __call__(self, genomes: Sequence[Genome]) -> Iterator[tuple[Genome, Evaluation]]:
        yield from ((genome, self.known[genome]) for genome in genomes if genome in self.known)
        new = [genome for genome in genomes if genome not in self.known]
        yield from self.measure(new) if new else ()


def compare(
    problem: Problem,
    name: str,
    strategy: Strategy,
    configs: Mapping[int, Config],
    times: int,
    folder: Path,
    identity: str,
    heard: Callable[[str, int, Progress], None] | None = None,
) -> Comparison:
    """Search by `strategy` once for each seed, and random search with `times` as many evaluations.

    Each keeps a study of its own in `folder` and continues there. Raises StudyError.
    """
    assert problem.expensive is not None
    memory = Memory(problem.expensive, problem.objectives)
    shared = replace(problem, expensive=memory)
    found: dict[str, dict[int, tuple[Row, ...]]] = {name: {}, "random": {}}
    for seed, config in configs.items():
        total = config.total() * times
        wide = replace(config, evaluations=total, generations=math.ceil(total / config.population))
        for way, engine, chosen in ((name, strategy, config), ("random", Random, wide)):
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{way}-{seed}.sqlite"
            with Study(path, identify(identity, problem.objectives, chosen, way)) as study:
                memory.learn(study.rows)
                search(shared, chosen, engine(shared, chosen), study, _named(heard, way, seed))
                rows = tuple(sorted(study.known.values(), key=lambda row: row.position))
            memory.learn(rows)
            found[way][seed] = rows[: chosen.total()]
    some = next(iter(configs.values()))
    races = Race(name, some.total(), found[name]), Race("random", some.total() * times, found["random"])
    return judged(races, problem, some.reference or ())


def judged(races: tuple[Race, Race], problem: Problem, reference: Sequence[float]) -> Comparison:
    """The report of what both found."""
    ours, other = races
    curves, finals = {}, {}
    for race in races:
        at = sorted({round(share) for share in np.linspace(race.evaluations / POINTS, race.evaluations, POINTS)} - {0})
        lines = {seed: [volume(rows[:count], problem, reference) for count in at] for seed, rows in race.rows.items()}
        curves[race.name] = tuple((count, mean([line[k] for line in lines.values()])) for k, count in enumerate(at))
        finals[race.name] = {seed: line[-1] for seed, line in lines.items()}
    gains = [finals[ours.name][seed] - finals[other.name][seed] for seed in ours.rows]
    needed = {seed: passed(rows, finals[other.name][seed], problem, reference) for seed, rows in ours.rows.items()}
    return Comparison(races, curves, finals, mean(gains), needed)


def volume(rows: Sequence[Row], problem: Problem, reference: Sequence[float]) -> float:
    """The hypervolume of some evaluations as a share of the rectangle between the reference and zero cost, accuracy 1."""
    signs = problem.signs()
    values = [row.evaluation.values for row in rows if row.evaluation.error is None]
    if not values:
        return 0.0
    losses = np.array(values, dtype=np.float64) * signs
    whole = math.prod(abs(end) or 1.0 for end in reference)
    return hypervolume(losses, (signs * np.asarray(reference)).tolist()) / whole


def passed(rows: Sequence[Row], goal: float, problem: Problem, reference: Sequence[float]) -> int | None:
    """The least number of first evaluations with more hypervolume than `goal`: it never falls, so it is found by halving."""
    low, high = 0, len(rows)
    if volume(rows, problem, reference) <= goal:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if volume(rows[:middle], problem, reference) > goal:
            high = middle
        else:
            low = middle
    return high


def as_json(found: Comparison) -> dict[str, Any]:
    """The report as plain data; what has no value is null."""
    return {
        "searches": {
            race.name: {
                "evaluations": race.evaluations,
                "hypervolume": {str(seed): value for seed, value in found.finals[race.name].items()},
                "curve": [{"evaluations": at, **_plain(e)} for at, e in found.curves[race.name]],
            }
            for race in found.races
        },
        "difference": _plain(found.difference),
        "needed": {str(seed): count for seed, count in found.needed.items()},
    }


def write_report(found: Comparison, data: Mapping[str, Any], folder: Path) -> tuple[Path, Path]:
    """`comparison.json` and `comparison.svg`."""
    written = write(folder / "comparison.json", json.dumps(data, indent=2) + "\n")
    return written, write(folder / "comparison.svg", picture.curves(found.curves))


def _plain(estimate: Estimate) -> dict[str, float | None]:
    return {part: value if math.isfinite(value) else None for part, value in asdict(estimate).items()}


def _named(
    heard: Callable[[str, int, Progress], None] | None, way: str, seed: int
) -> Callable[[Progress], None] | None:
    return (lambda state: heard(way, seed, state)) if heard else None
