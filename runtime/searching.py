"""A whole search: supernet trained, candidates evaluated, a study that resumes, a front at the end.

One folder holds everything: `supernet.ckpt`, `study.sqlite`, and what `results` writes.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..compiler.api import Compiled
from ..dsl import errors
from ..dsl.diagnostic import ArchError
from ..dsl.model import TIMES, Run
from ..dsl.modules import Module
from .device import one_thread
from .distributed import ALONE, Group
from .evaluation import Evaluator, Options
from .evaluation.spent import Spent
from .faults import RunError
from .latency.goal import tabled, timed, with_latency
from .latency.table import Heard as Timed
from .objectives import objectives_of, problem_of
from .search.front import Front
from .search.guard import guarded
from .search.problem import Measure
from .search.problem import Progress as Generation
from .search.study import Study, identify
from .starting import starts, write_choices
from .steps import Progress
from .strategy import config_of, explore
from .task import Examples, check, examples, task_of
from .train import SupernetTrainer
from .workers.pool import Crew, Workers

Genome = tuple[int, ...]
SPENT = "evaluation.json"
"""The file of a study that says what evaluating took."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears of progress; nothing here prints."""

    training: Progress | None = None
    generation: Callable[[Generation], None] | None = None
    evaluated: Callable[[int], None] | None = None
    latency: Timed | None = None


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search leaves: the trained supernet and the front over it. `seconds` counts interrupted runs too."""

    compiled: Compiled
    run: Run
    trainer: SupernetTrainer
    calibration: Examples
    front: Front
    parts: dict[str, Front]
    """The fronts of the parts of a split search, by value."""
    generations: tuple[Generation, ...]
    seconds: float
    spent: Spent
    """What evaluating candidates took in this process, and in those before it that were interrupted."""


def runs_of(compiled: Compiled, train: str | None = None, search: str | None = None) -> tuple[Run, Run]:
    """The `train` and the `search` block of a space. Raises ArchError if one lacks, or nothing is open."""
    space = compiled.space
    found = compiled.run("train", train), compiled.run("search", search)
    for run, kind in zip(found, ("train", "search"), strict=True):
        if run is None:
            raise ArchError(errors.no_run(kind, space.name, space.span))
    assert found[0] and found[1]
    if not compiled.graph.decisions and found[1].settings["strategy"].name != "prune":
        raise ArchError(errors.nothing_to_search(space.name, space.span))
    return found[0], found[1]


def digest(module: Module) -> str:
    """Identifies a file together with all that it uses."""
    sources = {module.source.text}
    todo = list(module.uses.values())
    while todo:
        used = todo.pop()
        sources.add(used.source.text)
        todo += used.uses.values()
    return hashlib.sha256("\0".join(sorted(sources)).encode()).hexdigest()


def supernet(
    compiled: Compiled,
    train: Run,
    device: torch.device,
    folder: Path | None,
    listen: Listener,
    cache: Path | None = None,
    group: Group = ALONE,
) -> SupernetTrainer:
    """The trained supernet of a space; from `folder` if it is there, and kept there. Raises RunError."""
    settings = train.settings
    check(compiled.graph, settings["data"])
    size = compiled.graph.input.extent[0]
    data = examples(settings["data"], "train", settings["images"], size, device, cache, task_of(compiled.graph))
    trainer = SupernetTrainer(compiled, settings, data, device, group)
    trainer.run(folder / "supernet.ckpt" if folder else None, listen.training)
    return trainer


def calibration_of(trainer: SupernetTrainer, run: Run) -> Examples:
    """The training images that renew the statistics of a candidate."""
    return trainer.data.first(run.settings["recalibrate"])


def evaluator_of(trainer: SupernetTrainer, run: Run, cache: Path | None = None) -> Evaluator:
    """What measures the metrics of a search over a trained supernet."""
    settings, size = trainer.settings, trainer.compiled.graph.input.extent[0]
    calibration = calibration_of(trainer, run)
    validation = examples(
        settings["data"], "val", run.settings["validate"], size, trainer.device, cache, task_of(trainer.compiled.graph)
    )
    measured = [o.name for o in objectives_of(run) if not o.exact and o.name not in TIMES]
    return Evaluator(trainer.planner, calibration, validation, measured, Options.of(run.settings))


def measure_of(trainer: SupernetTrainer, run: Run, cache: Path | None = None) -> Measure:
    """What a search measures of its candidates over a trained supernet: the same here and in worker processes."""
    found = evaluator_of(trainer, run, cache)
    return with_latency(found, trainer.compiled, run, trainer.device, trainer.store)


@contextmanager
def measuring(
    trainer: SupernetTrainer, runs: tuple[Run, Run], folder: Path, cache: Path | None, crew: Crew | None
) -> Iterator[tuple[Measure, Evaluator | None]]:
    """The measure of a search: here, with its evaluator, or in the processes of a crew."""
    found = evaluator_of(trainer, runs[1], cache)  # its images are in the cache then, for workers too
    if crew is None:
        yield guarded(with_latency(found, trainer.compiled, runs[1], trainer.device, trainer.store)), found
        return
    from .workers.candidates import MEASURE, arguments

    given = arguments(trainer.compiled, runs, folder, trainer.device, cache)
    with Workers(crew, MEASURE, given) as workers:
        yield workers, None


def require_comparable(run: Run) -> None:
    """Raises RunError unless who survives a generation can be foretold, where candidates race."""
    if run.settings["race"].name == "none":
        return
    if run.settings["strategy"].name != "nsga2":
        raise RunError("candidates race for the survival of NSGA-II: write `strategy = nsga2(...)`, or `race = none`")
    if not tabled(run) and any(o.name in TIMES for o in run.objectives):
        raise RunError("what is measured on the device cannot be estimated: write `latency = table`, or `race = none`")


def require_apart(run: Run) -> None:
    """Raises RunError unless candidates can be measured apart from each other, and at once."""
    if run.settings["race"].name != "none":
        raise RunError("candidates that race are compared by one process: leave out --workers, or write `race = none`")
    if not tabled(run) and any(o.name in TIMES for o in run.objectives):
        raise RunError("workers disturb what is measured: leave out --workers, or write `latency = table`")


def search(
    compiled: Compiled,
    folder: Path,
    device: torch.device,
    listen: Listener,
    seed: int | None = None,
    names: tuple[str | None, str | None] = (None, None),
    cache: Path | None = None,
    crew: Crew | None = None,
    begin: Sequence[Path] = (),
) -> Searched:
    """Train, search, and return the front. Continues where an earlier call with the same file and folder stopped. With a
    `crew`, worker processes measure the candidates; the front is the same. `begin`: studies and networks to start from.

    Raises ArchError, RunError, StudyError.
    """
    train, run = runs_of(compiled, *names)
    require_comparable(run)
    if crew is not None:
        require_apart(run)
    compiled = timed(compiled, run, folder, device, cache, listen.latency)
    restricted = compiled.restricted(run.name)
    restricted.decisions.check()
    parts = restricted.parts(run.name)
    config = config_of(run, restricted, seed)
    begun = starts(restricted, begin, config.seed)
    goals, engine = objectives_of(run), run.settings["strategy"].name
    identity = identify(_identity(compiled, train, run), goals, config, engine, begun)
    folder.mkdir(parents=True, exist_ok=True)
    with Study(folder / "study.sqlite", identity) as study:
        trainer = supernet(compiled, train, device, folder, listen, cache)
        generations: list[Generation] = []

        def heard(state: Generation) -> None:
            if not generations or generations[-1].front != state.front:
                write_choices(restricted, goals, Front(state.front), folder)
            generations.append(state)
            if evaluator is not None and evaluator.spent != known:
                evaluator.spent.write(folder / SPENT)
            if listen.generation:
                listen.generation(state)

        with one_thread(), measuring(trainer, (train, run), folder, cache, crew) as (measure, evaluator):
            known = Spent.read(folder / SPENT)
            if evaluator is not None:
                evaluator.spent = Spent.read(folder / SPENT)
            problem = problem_of(restricted, run, measure, listen.evaluated)
            if evaluator is not None and evaluator.options.race:
                problem = replace(problem, contest=evaluator.contest)
            found = explore(parts, run, problem, config, study, heard, begun)
        seconds = trainer.seconds + sum(row.evaluation.seconds for row in study.known.values())
    spent, calibration = Spent.read(folder / SPENT), calibration_of(trainer, run)
    return Searched(restricted, run, trainer, calibration, found.front, found.parts, tuple(generations), seconds, spent)


def _identity(compiled: Compiled, train: Run, run: Run) -> str:
    """What a study belongs to: the texts, the parameters of the space, how the supernet trains and is evaluated."""
    settings = {
        k: str(v) for r in (train, run) for k, v in r.settings.items() if k not in ("strategy", "seed") or r is train
    }
    plain = json.dumps(
        [
            digest(compiled.model.module),
            compiled.space.name,
            {k: str(v) for k, v in compiled.settings.items()},
            settings,
        ]
    )
    return hashlib.sha256(plain.encode()).hexdigest()
