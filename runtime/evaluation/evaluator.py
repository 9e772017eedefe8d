"""A generation of candidates evaluated together: statistics renewed for each, then its metrics, what is common once.

Genomes in, measured values out. The loop over minibatches is outside, the union of the candidates' plans inside. Without
racing, an answer depends on its genome alone, to the last bit: neither on the generation nor on how it was cut.
"""

import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ...compiler.frozen import frozen
from ...compiler.instruction import Instruction
from ...compiler.plan import Planner
from ...compiler.union import Moments, Program, Sizes, Trace, Tracer, evaluating, grouped, needed, normalised, union
from ..evaluate import BATCH, CALIBRATION_BATCH
from ..search.front import Genome
from ..search.guard import guarded
from ..search.problem import Evaluation, reason_of
from ..task import Examples
from .scores import Scores, scores

MEMORY = 1 << 30
"""Bytes that the registers of a union may take."""
STATISTICS = 1 << 28
"""Bytes of statistics that are kept from one generation to the next."""


PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Options:
    """What may be switched. `share`: candidates run as one union; otherwise one after the other. `fold`: statistics become part
    of the weights before them, and maps have their channels last. `precision` is that of validation."""

    share: bool = True
    fold: bool = True
    precision: torch.dtype = torch.float32
    memory: int = MEMORY

    @staticmethod
    def of(settings: Mapping[str, Any]) -> "Options":
        """Those of a `search` block."""
        return Options(settings["share"], settings["fold"], PRECISIONS[settings["precision"]])


@dataclass(slots=True)
class Spent:
    """What evaluating took. `asked` calls would have run one candidate after the other, `run` did; `images` and `shown`
    count images for each candidate: asked for, and looked at. `seconds` are by part."""

    candidates: int = 0
    groups: int = 0
    images: int = 0
    shown: int = 0
    asked: int = 0
    run: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, part: str, begun: float) -> None:
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - begun


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
        """`metrics`: which of `METRICS`, in the order of the values."""
        self.planner = planner
        self.calibration = calibration
        self.validation = validation
        self.metrics = tuple(metrics)
        self.options = options or Options()
        self.tracer = Tracer(planner, last=self.options.fold)
        self.statistics = Statistics()
        self.spent = Spent()
        self._sizes: dict[str, Sizes] = {}

    @torch.no_grad()
    def __call__(self, genomes: Sequence[Genome]) -> Iterator[tuple[Genome, Evaluation]]:
        """The measured values of each genome, group by group; one that fails has its reason, and the others have theirs."""
        self._begin()
        traces, failed = self._traced(genomes)
        yield from failed.items()
        measure = guarded(lambda group: self._answers({genome: traces[genome] for genome in group}))
        for group in self._groups(traces):
            yield from measure(group)

    def _begin(self) -> None:
        if self.tracer.full:
            self.tracer.forget()
            self.statistics.clear()
        self.statistics.trim()
        first = {"calibrate": (self.calibration, CALIBRATION_BATCH), "validate": (self.validation, BATCH)}
        self._sizes = {
            part: Sizes(next(data.chunks(min(batch, len(data))))[0]) for part, (data, batch) in first.items()
        }

    def _traced(self, genomes: Sequence[Genome]) -> tuple[dict[Genome, Trace], dict[Genome, Evaluation]]:
        traces, failed = dict[Genome, Trace](), dict[Genome, Evaluation]()
        for genome in genomes:
            try:
                traces[genome] = self.tracer(genome)
            except Exception as fault:
                failed[genome] = Evaluation((), reason_of(fault))
        return traces, failed

    def _groups(self, traces: Mapping[Genome, Trace]) -> list[list[Genome]]:
        """Depth first, cut where the union would take more memory than it may."""
        order = sorted(traces, key=lambda genome: traces[genome].order)
        if not self.options.share:
            return [[genome] for genome in order]
        calls = union(traces.values())
        for sizes in self._sizes.values():
            sizes.add(map(evaluating, calls))
        names = iter(order)
        cut = grouped([traces[genome] for genome in order], tuple(self._sizes.values()), self.options.memory)
        return [[next(names) for _ in group] for group in cut]

    def _answers(self, group: Mapping[Genome, Trace]) -> Iterator[tuple[Genome, Evaluation]]:
        begun = time.perf_counter()
        found = self._evaluated(group)
        seconds = (time.perf_counter() - begun) / len(group)
        for genome, score in found.items():
            yield genome, Evaluation(tuple(score.metric(name) for name in self.metrics), None, seconds)

    def _evaluated(self, group: Mapping[Genome, Trace]) -> dict[Genome, Scores]:
        calls = union(group.values())
        self.spent.candidates += len(group)
        self.spent.groups += 1
        self.spent.asked += sum(len(op.calls) for trace in group.values() for op in trace.ops)
        self.spent.run += len(calls)
        self.calibrate(calls)
        return self.validate(calls, group)

    def calibrate(self, calls: Sequence[Instruction]) -> None:
        """Gather the statistics that are not known yet."""
        begun = time.perf_counter()
        norms = {i.out: i for i in calls if i.norm is not None}
        fresh = {register: i for register, i in norms.items() if register not in self.statistics}
        found = {register: self._blank(i) for register, i in fresh.items()}
        chosen = [evaluating(i) for i in needed(calls, fresh)]
        program = Program(chosen, ())
        for count, (x, _) in enumerate(self.calibration.chunks(CALIBRATION_BATCH) if fresh else (), 1):
            for k, i in enumerate(chosen):
                if i.out in found:
                    program.calls[k] = normalised(i, found[i.out], 1 / count)
            for _ in program(x):
                pass
        self.statistics.update(found)
        for register in norms:
            self.statistics.move_to_end(register)
        self.spent.add("recalibrate", begun)

    def _blank(self, i: Instruction) -> Moments:
        assert i.norm is not None
        like = self.planner.store.flat
        return like.new_zeros(i.norm.channels), like.new_ones(i.norm.channels)

    def validate(self, calls: Sequence[Instruction], group: Mapping[Genome, Trace]) -> dict[Genome, Scores]:
        """What all validation images say of each candidate."""
        begun = time.perf_counter()
        data = self.validation
        parts: dict[int, list[Scores]] = {trace.result: [] for trace in group.values()}
        program = self._program(calls, parts)
        for x, labels in data.chunks(BATCH):
            for result, logits in program(x.to(self.options.precision)):
                parts[result].append(scores(logits, labels, data.classes, data.ignore, "loss" in self.metrics))
        self.spent.images += len(data) * len(group)
        self.spent.shown += len(data) * len(group)
        self.spent.add("validate", begun)
        joined = {result: Scores.joined(several) for result, several in parts.items()}
        return {genome: joined[trace.result] for genome, trace in group.items()}

    def _program(self, calls: Sequence[Instruction], results: Iterable[int]) -> Program:
        """The calls as validation runs them."""
        begun, how = time.perf_counter(), self.options
        if how.fold or how.precision != torch.float32:
            made = frozen(calls, self.statistics, results, how.precision, how.fold)
            program = Program(made.calls, results, made.constants)
        else:
            program = Program([self._stored(i) for i in calls], results)
        self.spent.add("fold", begun)
        return program

    def _stored(self, i: Instruction) -> Instruction:
        return evaluating(i) if i.norm is None else normalised(i, self.statistics[i.out])


class Statistics(OrderedDict[int, Moments]):
    """Moments by the register of their normalisation."""

    def trim(self, most: int = STATISTICS) -> None:
        """Forget those that were not used for longest, until the rest takes at most so many bytes."""
        held = sum(tensor.nbytes for moments in self.values() for tensor in moments)
        while held > most:
            held -= sum(tensor.nbytes for tensor in self.popitem(last=False)[1])
