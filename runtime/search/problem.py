"""What every search shares: space, objectives, budget, loop. Genomes in, a front out. Imports numpy and `front`."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from .front import Floats, Front, Member, filtered, hypervolume, member_losses
from .front import Genome as Genome
from .linkage import Genes as Genes
from .linkage import Linkage, unlinked

DRAWS = 16
LARGEST_DRAW = 16384
LONGEST_REASON = 500
FULL = "can't allocate memory"
"""What torch says where the memory of the machine is full; elsewhere it raises an OutOfMemoryError."""
UNTIED = ("seed", "generations", "evaluations", "reference")


class Space(Protocol):
    """The decisions of an architecture space as integer genes, one column per decision."""

    @property
    def cardinalities(self) -> tuple[int, ...]: ...
    def sample(self, rng: np.random.Generator, count: int) -> Genes:
        """[count, G], uniform, canonical and structurally feasible."""

    def canonical(self, genes: Genes) -> Genes:
        """The same architectures with every inactive decision set to 0."""

    def feasible(self, genes: Genes) -> npt.NDArray[np.bool_]:
        """Where every requirement of the space holds, on its structure and on its cost."""

    def repair(self, genes: Genes, rng: np.random.Generator) -> Genes:
        """Canonical genomes near the given ones, feasible where possible."""

    def enumerate(self) -> Iterator[Genome]:
        """Every architecture once, in a fixed order."""


@dataclass(frozen=True, slots=True)
class Objective:
    """One number to optimise. `exact` ones come from the cost model, the others are measured."""

    name: str
    maximize: bool = False
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The answer for one genome: its values, or why there are none."""

    values: tuple[float, ...]
    error: str | None = None
    seconds: float = 0.0
    images: int = 0
    """How many images an estimate is from; 0: the values are measured in full."""


Costs: TypeAlias = Callable[[Genes], Floats]
Measure: TypeAlias = Callable[[Sequence[Genome]], Iterable[tuple[Genome, Evaluation]]]


@dataclass(frozen=True, slots=True)
class Contest:
    """What decides who survives a generation: all its genomes with their exact costs [P, exact], and those who are there,
    with their losses [I, M]. `survivors` of both stay, by fronts and by crowding distances with these weights."""

    objectives: tuple[Objective, ...]
    genomes: tuple[Genome, ...]
    exact: Floats
    incumbents: tuple[Genome, ...]
    losses: Floats
    survivors: int
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """A space and what is wanted of it.

    `cheap` answers the exact objectives of a population, [P, exact]. `expensive` measures the others: it yields each
    genome with its answer as soon as that is known, in any order; an answer depends on the genome alone, or a resumed
    search would not repeat itself. `limits` is the violation [P] of budgets set for this search: positive is refused; it is
    asked about genomes that are new and feasible only. `anchors` are asked first, by every engine that draws: the ends of
    the space, which the sandwich rule trains best, and what the search starts from. `linkage`: what varies together.
    `size`: how many architectures there are, where that is known. `contest` is told what is at stake before a generation is
    measured, where the engine keeps a population: then `expensive` may answer those who do not survive with estimates.
    """

    space: Space
    objectives: tuple[Objective, ...]
    expensive: Measure | None = None
    cheap: Costs | None = None
    limits: Costs | None = None
    anchors: tuple[Genome, ...] = ()
    linkage: Linkage | None = None
    size: int | None = None
    contest: Callable[[Contest], None] | None = None

    def linked(self) -> Linkage:
        return unlinked(len(self.space.cardinalities)) if self.linkage is None else self.linkage

    def signs(self) -> Floats:
        return np.array([-1.0 if objective.maximize else 1.0 for objective in self.objectives])


@dataclass(frozen=True, slots=True)
class Config:
    """How to search: for `generations`, or until `evaluations`. Rates are per pair and per gene.

    `weights` of the objectives and `ceiling` are NSGA-II's; `children` in each later generation (None: the population),
    `tournament` and `keep` are those of aging evolution.
    """

    seed: int = 0
    population: int = 40
    generations: int = 20
    evaluations: int | None = None
    pairing: Literal["two_point", "uniform"] = "two_point"
    crossover_rate: float = 0.9
    mutation_rate: float | None = None
    weights: tuple[float, ...] = ()
    ceiling: bool = False
    children: int | None = None
    tournament: int = 10
    keep: float = 0.0
    reference: tuple[float, ...] | None = None

    def later(self) -> int:
        """Candidates in each generation but the first."""
        return self.population if self.children is None else self.children

    def total(self) -> int:
        most = self.population + (self.generations - 1) * self.later()
        return most if self.evaluations is None else min(most, self.evaluations)

    def trajectory(self) -> dict[str, object]:
        """What decides which genomes are asked. A budget decides only how many: a study may go on with a larger one."""
        return {name: value for name, value in asdict(self).items() if name not in UNTIED}


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a search stands after a generation. `seconds` counts this run only."""

    generation: int
    generations: int
    evaluated: int
    total: int
    front: tuple[Member, ...]
    hypervolume: float | None
    seconds: float
    part: str = ""
    """Which of several searches is going on."""


class Engine(Protocol):
    """A way to choose genomes."""

    def ask(self) -> Genes:
        """The next generation: admitted by a `Pool`, hence new and feasible. None when the space is exhausted."""

    def tell(self, losses: Floats) -> None:
        """What the first rows of the last `ask` came to, [P, M] minimised; a failed candidate is +inf throughout."""


@runtime_checkable
class Populated(Protocol):
    """An engine that keeps the best of all generations: their genomes [P, G] and their losses [P, M]."""

    genes: Genes
    losses: Floats


class Record(Protocol):
    """A memory of evaluations that outlives the process; `position` counts the genomes asked."""

    def find(self, position: int, genome: Genome) -> Evaluation | None: ...
    def add(self, position: int, genome: Genome, evaluation: Evaluation, generation: int) -> None: ...


class Pool:
    """Everything asked so far. It admits canonical and feasible genomes, within the limits, each once.

    `bound` is a further limit, [P, G] -> violation [P], which an engine may set anew in each generation.
    """

    def __init__(self, problem: Problem) -> None:
        self.space = problem.space
        self.limits = problem.limits
        self.bound: Costs | None = None
        self.anchors = problem.anchors
        self.size = math.prod(problem.space.cardinalities) if problem.size is None else problem.size
        self.asked: set[bytes] = set()

    def admit(self, genes: Genes, most: int, rng: np.random.Generator | None = None) -> Genes:
        """The first `most` rows that are admissible and new; with a generator, infeasible rows are repaired first.

        Cheapest first: structure and exact costs, then what was asked before, then the limits of this search.
        """
        genes = self.space.canonical(genes)
        ok = self.space.feasible(genes)
        if rng is not None and not ok.all():
            genes = genes.copy()
            genes[~ok] = self.space.repair(genes[~ok], rng)
            ok = self.space.feasible(genes)
        rows, taken = self._new(genes, np.flatnonzero(ok)), list[int]()
        while rows and len(taken) < most:
            chunk, rows = rows[: most - len(taken)], rows[most - len(taken) :]
            taken += np.array(chunk)[self._within(genes[chunk])].tolist()
        self.asked.update(genes[row].tobytes() for row in taken)
        return genes[taken]

    def draw(self, rng: np.random.Generator, count: int) -> Genes:
        """Up to `count` genomes by rejection, hence uniform; if that finds too few, the last draw is repaired."""
        ends, self.anchors = np.array(self.anchors, np.int16).reshape(-1, len(self.space.cardinalities)), ()
        found = [self.admit(ends, count)]
        missing, size, last = count - len(found[0]), count, False
        for attempt in range(DRAWS):
            if not missing or last or self._exhausted():
                break
            last = attempt == DRAWS - 1 or (size == LARGEST_DRAW and not len(found[-1]))
            found.append(self.admit(self.space.sample(rng, size), missing, rng if last else None))
            missing, size = missing - len(found[-1]), min(2 * size, LARGEST_DRAW)
        return np.concatenate(found)

    def _new(self, genes: Genes, rows: npt.NDArray[np.intp]) -> list[int]:
        """Those rows that were not asked, each genome once."""
        first: dict[bytes, int] = {}
        for row in rows.tolist():
            first.setdefault(genes[row].tobytes(), row)
        return [row for key, row in first.items() if key not in self.asked]

    def _within(self, genes: Genes) -> npt.NDArray[np.bool_]:
        """Which rows keep the limits; the one that an engine sets is looked at first."""
        good = np.ones(len(genes), np.bool_)
        for limit in (self.bound, self.limits):
            if limit is not None and good.any():
                good[good] = limit(genes[good]) <= 0
        return good

    def _exhausted(self) -> bool:
        return len(self.asked) >= self.size


def one_by_one(measure: Callable[[Genome], Sequence[float]]) -> Measure:
    """Measure each genome by itself; one that raises fails alone, with its reason."""

    def measured(genomes: Sequence[Genome]) -> Iterator[tuple[Genome, Evaluation]]:
        for genome in genomes:
            start = time.perf_counter()
            values, error = _tried(measure, genome)
            yield genome, Evaluation(values, error, time.perf_counter() - start)

    return measured


def _tried(measure: Callable[[Genome], Sequence[float]], genome: Genome) -> tuple[tuple[float, ...], str | None]:
    try:
        return tuple(measure(genome)), None
    except Exception as fault:
        return (), reason_of(fault)


def reason_of(fault: Exception) -> str:
    """Why a candidate has no values, in one line."""
    full = isinstance(fault, MemoryError) or type(fault).__name__ == "OutOfMemoryError" or FULL in str(fault)
    return one_line(f"{'out of memory' if full else type(fault).__name__}: {fault}".rstrip(": "))


def one_line(reason: str) -> str:
    """A reason as a study keeps it."""
    return " ".join(reason.split())[:LONGEST_REASON].encode(errors="replace").decode()


def search(
    problem: Problem,
    config: Config,
    engine: Engine,
    record: Record | None,
    progress: Callable[[Progress], None] | None,
) -> Front:
    """Ask, answer, tell, until the budget is spent. What the record knows is not evaluated again: this resumes."""
    start, front = time.perf_counter(), Front()
    for generation in range(1, config.generations + 1):
        genes = engine.ask()[: config.total() - front.evaluated]
        if not len(genes):
            break
        genomes = [tuple(row) for row in genes.tolist()]
        if problem.contest is not None and isinstance(engine, Populated):
            problem.contest(contest(problem, config, engine, genes))
        answers = answered(problem, genes, genomes, front.evaluated, generation, record)
        engine.tell(losses(problem, answers))
        front = extended(problem, config, front, genomes, answers)
        if progress is not None:
            spent = time.perf_counter() - start
            counts = (generation, config.generations, front.evaluated, config.total())
            progress(Progress(*counts, front.members, front.hypervolume, spent))
    return front


def contest(problem: Problem, config: Config, engine: Populated, genes: Genes) -> Contest:
    """What is at stake when these genomes are measured."""
    exact = problem.cheap(genes) if problem.cheap is not None else np.empty((len(genes), 0))
    generation, incumbents = (tuple(tuple(row) for row in rows.tolist()) for rows in (genes, engine.genes))
    weights = tuple(config.weights) or (1.0,) * len(problem.objectives)
    return Contest(problem.objectives, generation, exact, incumbents, engine.losses, config.population, weights)


def answered(
    problem: Problem, genes: Genes, genomes: list[Genome], first: int, generation: int, record: Record | None
) -> list[Evaluation]:
    """The evaluations of one generation, in its order; each new one is recorded as soon as it is known."""
    positions = {genome: first + row for row, genome in enumerate(genomes)}
    known = {genome: record.find(position, genome) for genome, position in positions.items()} if record else {}
    answers = {genome: answer for genome, answer in known.items() if answer is not None}
    missing = [row for row, genome in enumerate(genomes) if genome not in answers]
    for genome, answer in evaluated(problem, genes[missing], [genomes[row] for row in missing]):
        answers[genome] = answer
        if record is not None:
            record.add(positions[genome], genome, answer, generation)
    return [answers[genome] for genome in genomes]


def evaluated(problem: Problem, genes: Genes, genomes: list[Genome]) -> Iterator[tuple[Genome, Evaluation]]:
    """Exact costs for all at once, then the measurements one after the other."""
    if not genomes:
        return
    exact = problem.cheap(genes) if problem.cheap is not None else np.empty((len(genomes), 0))
    costs = dict(zip(genomes, exact.tolist(), strict=True))
    measure = problem.expensive or (lambda these: ((genome, Evaluation(())) for genome in these))
    for genome, answer in measure(genomes):
        yield genome, complete(problem.objectives, costs.pop(genome), answer)
    if costs:
        raise RuntimeError(f"the evaluator left {len(costs)} of {len(genomes)} genomes unanswered")


def complete(objectives: tuple[Objective, ...], exact: list[float], measured: Evaluation) -> Evaluation:
    """Exact and measured values in the order of the objectives. A value that is not finite is a failure."""
    if measured.error is not None:
        return Evaluation((), measured.error, measured.seconds)
    if len(exact) + len(measured.values) != len(objectives):
        raise RuntimeError(
            f"{len(objectives)} objectives, but {len(exact)} exact and {len(measured.values)} measured values"
        )
    costs, measures = iter(exact), iter(measured.values)
    values = tuple(float(next(costs if objective.exact else measures)) for objective in objectives)
    for objective, value in zip(objectives, values, strict=True):
        if not math.isfinite(value):
            return Evaluation((), f"{objective.name} is {value}", measured.seconds)
    return Evaluation(values, None, measured.seconds, measured.images)


def losses(problem: Problem, answers: list[Evaluation]) -> Floats:
    """The objectives as a matrix [P, M] to minimise, +inf where there is no answer."""
    worst = (math.inf,) * len(problem.objectives)
    signs = problem.signs()
    return np.array([worst if answer.error is not None else signs * answer.values for answer in answers])


def extended(problem: Problem, config: Config, front: Front, genomes: list[Genome], answers: list[Evaluation]) -> Front:
    """The front after one more generation."""
    pairs = zip(genomes, answers, strict=True)
    new = tuple(Member(genome, answer.values) for genome, answer in pairs if answer.error is None and not answer.images)
    signs = problem.signs()
    members = filtered(front.members + new, signs)
    volume = None
    if config.reference is not None:
        volume = hypervolume(member_losses(members, signs), (signs * config.reference).tolist())
    failed = front.failed + sum(answer.error is not None for answer in answers)
    return Front(members, front.evaluated + len(answers), failed, volume)
