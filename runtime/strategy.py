"""How a search block searches: its strategy as settings and engine, its `split` as one search after the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..compiler.api import Compiled
from ..compiler.decisions import Count
from ..dsl import errors
from ..dsl.diagnostic import ArchError
from ..dsl.model import Run
from ..dsl.settings import Chosen
from .faults import RunError
from .objectives import objectives_of, size_of
from .search import aging, exhaustive, local, nsga2, nsga3
from .search import random as random_search
from .search.front import Front, filtered, hypervolume, member_losses
from .search.problem import Config, Engine, Evaluation, Genome, Problem, Progress, Record, search

ENGINES: dict[str, Callable[[Problem, Config], Engine]] = {
    "nsga2": nsga2.engine,
    "nsga3": nsga3.engine,
    "aging": aging.Aging,
    "local": local.Local,
    "random": random_search.Random,
    "exhaustive": exhaustive.Exhaustive,
}
GENERATION = 40
"""Candidates in a generation of a strategy that has none."""
PLAIN = ("population", "generations", "pairing", "ceiling", "children", "tournament")
"""Options that are fields of `Config` as they are."""


def config_of(run: Run, compiled: Compiled, seed: int | None) -> Config:
    """The strategy's settings for a space under the constraints of the search. Raises ArchError where it holds too many, RunError
    where the strategy evaluates no candidates."""
    strategy: Chosen = run.settings["strategy"]
    if strategy.name not in ENGINES:
        raise RunError(
            f"`search {run.name}` has no candidates: `strategy = {strategy.name}` is for `hrdsl search` alone"
        )
    config = Config(seed=run.settings["seed"] if seed is None else seed, reference=reference(run, compiled))
    return replace(config, **_given(strategy, run, compiled))


def reference(run: Run, compiled: Compiled) -> tuple[float, ...] | None:
    """Where hypervolume is measured from: no accuracy, at the worst end of each cost; None where a goal has no worst end."""
    goals = objectives_of(run)
    space, exact = compiled.decisions, [o.name for o in goals if o.exact]
    rows = {False: space.largest(), True: space.smallest()}
    ends = {end: compiled.prices(np.array([genes], np.int16), exact) for end, genes in rows.items()}
    if any(not o.exact and not o.maximize for o in goals):
        return None
    return tuple(float(ends[o.maximize][o.name][0]) if o.exact else 0.0 for o in goals)


def _given(strategy: Chosen, run: Run, compiled: Compiled) -> dict[str, Any]:
    options = dict(strategy.options)
    if strategy.name == "exhaustive":
        return _budget(_few(compiled.decisions.count(), options["most"], run))
    rates: dict[str, Any] = {f"{n}_rate": float(options[n]) for n in ("crossover", "mutation") if n in options}
    given = rates | {n: options[n] for n in PLAIN if n in options}
    given |= {"weights": tuple(map(float, options.get("weights", ()))), "keep": float(options.get("keep", 0))}
    if "evaluations" in options:
        given |= _budget(options["evaluations"], options.get("population", GENERATION), options.get("children"))
    return given


def _budget(total: int, population: int = GENERATION, later: int | None = None) -> dict[str, Any]:
    """Generations enough for so many candidates in all."""
    first = min(population, total)
    generations = 1 + -(-(total - first) // (later or first))
    return {"population": first, "generations": generations, "evaluations": total}


def _few(count: Count, most: int, run: Run) -> int:
    if count.exact and count.value <= most:
        return count.value
    found = (
        f"{'' if count.exact else 'up to '}{count.value:,} architectures; at most {most:,} are evaluated one and all"
    )
    raise ArchError(errors.bad_setting("strategy", found, run.span, "nsga2"))


@dataclass(frozen=True, slots=True)
class Explored:
    """The front of a search, and those of its parts by their value; there is one part without a name where nothing splits."""

    front: Front
    parts: dict[str, Front]


def explore(
    parts: Mapping[str, Compiled],
    run: Run,
    problem: Problem,
    config: Config,
    record: Record | None = None,
    progress: Callable[[Progress], None] | None = None,
    starts: Sequence[Genome] = (),
) -> Explored:
    """Search each part of a space (`Compiled.parts`), one after the other, as one search: positions, generations and counts
    go on. `starts` enter the first generation after the ends of the space."""
    make = ENGINES[run.settings["strategy"].name]
    done, fronts, seconds = Front(), dict[str, Front](), 0.0
    for k, (name, part) in enumerate(parts.items()):
        fronts[name] = Front()
        if name and not _possible(part):
            continue
        here = replace(problem, space=part.decisions, anchors=(*_ends(part), *starts), size=size_of(part.decisions))
        place = Place(name, k, len(parts), done, seconds, config, problem)
        heard = None if progress is None else place.reported(progress)
        later = Later(record, done.evaluated, k * config.generations) if record else None
        fronts[name] = search(here, config, make(here, config), later, heard)
        done, seconds = place.joined(fronts[name]), place.seconds
    return Explored(done, fronts)


def _ends(part: Compiled) -> tuple[Genome, Genome]:
    return part.decisions.smallest(), part.decisions.largest()


def _possible(part: Compiled) -> bool:
    """Whether some architecture of a part keeps within the costs."""
    try:
        part.decisions.check()
    except ArchError:
        return False
    return True


@dataclass(slots=True)
class Place:
    """Where one part of a search stands among the others."""

    name: str
    number: int
    count: int
    before: Front
    seconds: float
    config: Config
    problem: Problem

    def joined(self, front: Front) -> Front:
        """The front of what was searched before and of this part."""
        signs = self.problem.signs()
        members = filtered(self.before.members + front.members, signs)
        volume = None
        if self.config.reference is not None:
            volume = hypervolume(member_losses(members, signs), (signs * self.config.reference).tolist())
        before = self.before
        return Front(members, before.evaluated + front.evaluated, before.failed + front.failed, volume)

    def reported(self, progress: Callable[[Progress], None]) -> Callable[[Progress], None]:
        """Progress of the part as progress of the whole search."""
        begun = self.seconds

        def heard(state: Progress) -> None:
            self.seconds = begun + state.seconds
            front = self.joined(Front(state.front, state.evaluated))
            progress(
                Progress(
                    self.number * self.config.generations + state.generation,
                    self.count * self.config.generations,
                    front.evaluated,
                    self.before.evaluated + (self.count - self.number) * self.config.total(),
                    front.members,
                    front.hypervolume,
                    self.seconds,
                    self.name,
                )
            )

        return heard


@dataclass(frozen=True, slots=True)
class Later:
    """A record of which the first positions and generations belong to other parts."""

    record: Record
    positions: int
    generations: int

    def find(self, position: int, genome: Genome) -> Evaluation | None:
        return self.record.find(self.positions + position, genome)

    def add(self, position: int, genome: Genome, evaluation: Evaluation, generation: int) -> None:
        self.record.add(self.positions + position, genome, evaluation, self.generations + generation)
