"""A generation of candidates evaluated together: statistics renewed for each, then its metrics, what is common once.

Genomes in, measured values out. The loop over minibatches is outside, the union of the candidates' plans inside. Without
racing, an answer depends on its genome alone, to the last bit: neither on the generation nor on how it was cut.
"""

import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import torch

from ...compiler.frozen import Frozen, frozen, gathering
from ...compiler.instruction import Instruction
from ...compiler.plan import Planner
from ...compiler.union import (
    Moments,
    Program,
    Sizes,
    Trace,
    Tracer,
    evaluating,
    grouped,
    needed,
    normalised,
    operations,
    union,
)
from ...dsl.settings import Chosen
from ..capture import Repeated, recorder
from ..evaluate import BATCH, CALIBRATION_BATCH
from ..search.front import Genome
from ..search.problem import Contest, Evaluation
from ..task import Examples
from .race import Race
from .scores import Scores, Truth, scores
from .spent import Spent, clock
from .trial import tried

MEMORY = 1 << 30
"""Bytes that the registers of a union may take."""
STATISTICS = 1 << 28
"""Bytes of statistics that are kept from one generation to the next."""
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
Group = Mapping[Genome, Trace]


class Paired(NamedTuple):
    """How candidates race: how often one that would have survived may be stopped, and images before the first decision."""

    error: float
    chunk: int


class Options(NamedTuple):
    """What may be switched. `share`: candidates run as one union; otherwise one after the other. `fold`: statistics become
    part of the weights before them, and maps have their channels last. `precision` is that of validation."""

    share: bool = True
    fold: bool = True
    precision: torch.dtype = torch.float32
    race: Paired | None = None
    memory: int = MEMORY

    @staticmethod
    def of(settings: Mapping[str, Any]) -> "Options":
        """Those of a `search` block."""
        race: Chosen = settings["race"]
        paired = None
        if race.name == "paired":
            paired = Paired(float(Fraction(race.options["error"])), race.options["chunk"])
        return Options(settings["share"], settings["fold"], PRECISIONS[settings["precision"]], paired)


class Evaluator:
    """Measures candidates over one trained store, whose weights do not change as long as this lives."""

    def __init__(
        self,
        planner: Planner,
        calibration: Examples,
        validation: Examples,
        metrics: Sequence[str],
        options: Options | None = None,
    ) -> None:
        """`metrics`: what is measured, in the order of the values (`Scores.metric`)."""
        self.planner = planner
        self.calibration = calibration
        self.validation = validation
        self.metrics = tuple(metrics)
        self.options = options or Options()
        self.tracer = Tracer(planner, last=self.options.fold)
        self.statistics = Statistics()
        self.spent = Spent()
        self.kept: dict[Genome, Scores] = {}
        """What every image says of those who survived the last generation."""
        self._contest: Contest | None = None
        self._frozen: tuple[set[int], Frozen] = set(), Frozen([], {})
        self._records = recorder(planner.store.flat.device)
        shown = (calibration, CALIBRATION_BATCH), (validation, BATCH)
        self._sizes = [Sizes(next(data.chunks(min(batch, len(data))))[0]) for data, batch in shown]

    def contest(self, contest: Contest) -> None:
        """What is at stake for the generation that is asked for next. Without racing this changes nothing."""
        self._contest = contest if self.options.race else None

    @torch.no_grad()
    def __call__(self, genomes: Sequence[Genome]) -> Iterator[tuple[Genome, Evaluation]]:
        """The measured values of each genome; one that fails has its reason, and the others have their values."""
        self._begin()
        contest, self._contest = self._contest, None
        if contest is not None and contest.incumbents:
            yield from self._raced(contest, set(genomes))
            return
        self.kept = {}
        groups, failed = self.groups(genomes)
        yield from failed.items()
        for group in groups:
            begun = time.perf_counter()
            found, failed = tried(self.measured, group)
            seconds = (time.perf_counter() - begun) / len(group)
            if self.options.race:
                self.kept |= found
            for genome, score in found.items():
                yield genome, Evaluation(self.values(score), None, seconds)
            yield from failed.items()

    def values(self, score: Scores) -> tuple[float, ...]:
        return tuple(score.metric(name) for name in self.metrics)

    def _begin(self) -> None:
        if self.tracer.full:
            self.tracer.forget()
            self.statistics.clear()
        self.statistics.trim()
        for sizes in self._sizes:
            sizes.forget()

    def groups(self, genomes: Iterable[Genome]) -> tuple[list[dict[Genome, Trace]], dict[Genome, Evaluation]]:
        """Genomes with their traces, depth first, cut where a union would take more memory than it may; and those without
        a plan."""
        begun = clock()
        traces, failed = tried(lambda group: {genome: self.tracer(genome) for genome in group}, dict.fromkeys(genomes))
        order = sorted(traces, key=lambda genome: traces[genome].order)
        if self.options.share and order:
            ops, names = operations(traces.values()), iter(order)
            for sizes in self._sizes:
                sizes.add(ops)
            cut = grouped([traces[g] for g in order], self._sizes, self.options.memory)
            groups = [{next(names): trace for trace in group} for group in cut]
        else:
            groups = [{genome: traces[genome]} for genome in order]
        self.spent.add("plan", begun)
        return groups, failed

    def measured(self, group: Group) -> dict[Genome, Scores]:
        """What all validation images say of each candidate, once its statistics are renewed."""
        self.calibrate(group)
        return self.validate(group, 0, len(self.validation))

    def calibrate(self, group: Group) -> None:
        """Gather the statistics that are not known yet."""
        begun = clock()
        calls = union(group.values())
        norms = {i.out: i for i in calls if i.norm is not None}
        found = {register: self._blank(i) for register, i in norms.items() if register not in self.statistics}
        made = gathering(needed(calls, found), self.options.precision)
        program = Program(made.calls, (), made.constants)
        for count, (x, _) in enumerate(self.calibration.chunks(CALIBRATION_BATCH) if found else (), 1):
            for k, i in enumerate(made.calls):
                if i.out in found:
                    program.calls[k] = normalised(i, found[i.out], 1 / count)
            for _ in program(x.to(self.options.precision)):
                pass
        self.statistics.update(found)
        for register in norms:
            self.statistics.move_to_end(register)
        self.spent.add("recalibrate", begun)
        self.spent.group(group, calls)

    def _blank(self, i: Instruction) -> Moments:
        assert i.norm is not None
        like = self.planner.store.flat
        return like.new_zeros(i.norm.channels), like.new_ones(i.norm.channels)

    def validate(self, group: Group, first: int, last: int) -> dict[Genome, Scores]:
        """What some validation images say of each candidate; its statistics are known."""
        parts: dict[int, list[Scores]] = {trace.result: [] for trace in group.values()}
        program = self._program(union(group.values()), parts)
        begun, data, quick = clock(), self.validation, self.options.fold
        run = Repeated(program, self._records, (last - first) // BATCH)
        for start in range(first, last, BATCH):
            rows = torch.arange(start, min(start + BATCH, last), device=data.images.device)
            x, labels = data.batch(rows)
            truth = Truth.of(labels, data.classes, data.ignore)
            for result, logits in run(x.to(self.options.precision)):
                measuring = clock()
                parts[result].append(scores(logits, truth, "loss" in self.metrics, quick))
                self.spent.add("metric", measuring)
        self.spent.images += (last - first) * len(group)
        self.spent.add("validate", begun)
        joined = {result: Scores.joined(several) for result, several in parts.items()}
        return {genome: joined[trace.result] for genome, trace in group.items()}

    def _program(self, calls: Sequence[Instruction], results: Iterable[int]) -> Program:
        """The calls as validation runs them."""
        begun, how = clock(), self.options
        if how.fold or how.precision != torch.float32:
            made = self._made(calls, set(results))
            program = Program(needed(made.calls, results), results, made.constants)
        else:
            stored = [evaluating(i) if i.norm is None else normalised(i, self.statistics[i.out]) for i in calls]
            program = Program(stored, results)
        self.spent.add("fold", begun)
        return program

    def _made(self, calls: Sequence[Instruction], results: set[int]) -> Frozen:
        """The calls folded; those of a group serve for what is left of it, too."""
        if not results <= self._frozen[0]:
            self._frozen = results, frozen(calls, self.statistics, results, self.options.precision, self.options.fold)
        return self._frozen[1]

    def _raced(self, contest: Contest, wanted: set[Genome]) -> Iterator[tuple[Genome, Evaluation]]:
        """The whole generation races, also those whose answer is known from before an interruption: it decides the same."""
        assert self.options.race is not None
        error, chunk = self.options.race
        for genome, answer in Race(self, contest, error, -(-chunk // BATCH) * BATCH).run():
            if genome in wanted:
                yield genome, answer


class Statistics(OrderedDict[int, Moments]):
    """Moments by the register of their normalisation."""

    def trim(self, most: int = STATISTICS) -> None:
        """Forget those that were not used for longest, until the rest takes at most so many bytes."""
        held = sum(tensor.nbytes for moments in self.values() for tensor in moments)
        while held > most:
            held -= sum(tensor.nbytes for tensor in self.popitem(last=False)[1])
